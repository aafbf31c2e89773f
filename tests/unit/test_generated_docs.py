# SPDX-License-Identifier: Apache-2.0
"""The generated pages and pictures of docs are what the code says, and the architecture names what exists."""

import ast
import re
from pathlib import Path

import pytest

from remsim.wire.messages.schema import ALTERNATIVES
from tests.reference import ROOT
from tools.architecture_picture import levels, stops
from tools.generate_docs import PAGES
from tools.protocol_page import protocol_page, schema_comment
from tools.states_page import MACHINES, Machine, state_meanings


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path](), "run: .venv/bin/python -m tools.generate_docs"


def test_every_message_is_on_the_page_and_says_who_sends_it() -> None:
    page = protocol_page()
    for struct in ALTERNATIVES.values():
        assert f"### {struct.name}\n" in page
        (row,) = [line for line in page.splitlines() if line.startswith("| ") and f"` | {struct.name} |" in line]
        assert " to " in row or " answers " in row
        assert " to " in schema_comment(struct) or " answers " in row


def test_every_transition_table_of_the_sources_is_drawn() -> None:
    tables = set()
    for path in (ROOT / "src" / "remsim").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                if node.target.id.endswith("_TRANSITIONS"):
                    module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
                    tables.add((module, node.target.id))
    assert {(machine.module, machine.name) for machine in MACHINES} == tables


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_can_be_reached_and_is_explained(machine: Machine) -> None:
    reached = {machine.first, *machine.table.values()}
    assert reached == set(type(machine.first))
    meanings = state_meanings(type(machine.first))
    # Names that are sentences need no explanation.
    assert all(state in meanings for state in type(machine.first) if state.value == state.name)


@pytest.mark.parametrize("title", ["The path of a TPDU", "The path of a mapping"])
def test_path_has_at_most_seven_stops(title: str) -> None:
    assert 2 <= len(stops(title)) <= 7


def test_files_that_the_architecture_names_exist() -> None:
    files = {
        span
        for page in ("architecture.md", "design-notes.md", "development.md")
        for span in re.findall(r"`([a-z_0-9]+/[a-z_0-9./]*)`", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    }
    assert len(files) > 20
    folders = (ROOT, ROOT / "src", ROOT / "src" / "remsim")
    assert not {file for file in files if not any((folder / file).exists() for folder in folders)}


def test_architecture_is_at_most_three_screens() -> None:
    lines = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 180
    glossary = [line for line in lines[: lines.index("## Three programs, two planes")] if line.startswith("| ")]
    assert len(glossary) - 1 <= 20


def test_picture_shows_every_package() -> None:
    picture = (ROOT / "docs" / "pictures" / "packages.svg").read_text(encoding="utf-8")
    assert not {name for name in levels() if f">{name}</text>" not in picture}

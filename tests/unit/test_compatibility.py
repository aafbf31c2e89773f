# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md says of every known limit of the C suite what became of it, and names tests that exist."""

import ast
import re
from functools import cache

import pytest

from tests.reference import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
ROWS = {row.split("|")[1].strip(): row for row in PAGE.splitlines() if re.match(r"\| \d+ \|", row)}
_TEST = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


@cache
def _tests_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def test_every_known_limit_has_one_row() -> None:
    limits = (ROOT / "docs" / "reference" / "known-limits.md").read_text(encoding="utf-8")
    listed = re.findall(r"^(\d+)\. ", limits, re.MULTILINE)
    told = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert listed == [str(number) for number in range(1, len(listed) + 1)]
    assert told == listed


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_row_says_what_became_of_it_and_shows_it(row: str) -> None:
    _, _, was, here, why, _ = row.split("|")
    fate = re.match(r" \*(mended|kept|later)\*", here)
    assert was.strip()
    assert fate, row
    assert why.strip()
    if fate[1] == "mended":
        assert _TEST.search(why), "what is mended is shown by a test"


@pytest.mark.parametrize(("path", "name"), sorted(set(_TEST.findall(PAGE))))
def test_named_test_exists(path: str, name: str) -> None:
    assert (ROOT / "tests" / path).is_file()
    assert not name or name in _tests_in(path)

# SPDX-License-Identifier: Apache-2.0
"""The files of the page: those of others are as published, none asks for anything elsewhere, and they are small."""

import gzip
import hashlib
import re
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from remsim.server.page import assets
from tests.reference import ROOT

STATIC = Path(str(resources.files("remsim.server.page").joinpath("static")))
TEMPLATES = sorted(STATIC.with_name("templates").glob("*.html"))
#: Scripts and styles that a browser gets before any data.
MAX_COMPRESSED = 300_000
#: Parts of views that templates of their own have made.
PIECES = (
    *("head", "facts", "health", "history"),
    *("bank", "client", "mapping"),
    *("waiting", "granted", "ended"),
    *("tokens", "certificates", "codes", "webhooks"),
)


def origins(folder: Path) -> dict[str, dict[str, str]]:
    listed = tomllib.loads((folder / "ORIGINS.toml").read_text(encoding="utf-8"))["file"]
    return {entry["name"]: entry for entry in listed}


@pytest.mark.parametrize("folder", [STATIC, ROOT / "tests" / "browser" / "vendored"], ids=["page", "tests"])
def test_files_of_others_are_as_published_and_say_whence(folder: Path) -> None:
    listed = origins(folder)
    assert listed
    for name, entry in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"], name
        assert entry["version"]
        assert entry["licence"]
        assert entry["origin"]


def test_everything_is_served_and_everything_that_is_not_listed_is_ours() -> None:
    names = {path.name for path in STATIC.iterdir()} - {"ORIGINS.toml"}
    assert names == set(assets.TYPES)
    ours = names - set(origins(STATIC))
    assert all("SPDX-License-Identifier: Apache-2.0" in (STATIC / name).read_text()[:200] for name in ours)


def test_address_carries_the_hash_of_the_content() -> None:
    for name in assets.TYPES:
        found = assets.asset(name)
        assert found.address == f"{assets.PREFIX}/{name}?v={hashlib.sha256(found.content).hexdigest()[:16]}"
        assert gzip.decompress(found.compressed) == found.content


def test_all_files_together_are_small() -> None:
    assert sum(len(assets.asset(name).compressed) for name in assets.TYPES) < MAX_COMPRESSED / 2


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_template_has_no_code_no_style_and_no_address_of_others(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\son[a-z]+=|\sstyle=|<style|<script(?! defer src=)|hx-on|https?://", text)
    # What is put in as it is was rendered, and escaped, by another template.
    safe = set(re.findall(r"\{\{ ([^}]*)\|safe \}\}", text))
    assert safe <= {
        *("board.pieces['problems'].html", "board.banks_html", "board.clients_html", "rows"),
        *(f"pieces['{name}']" for name in PIECES),
    }

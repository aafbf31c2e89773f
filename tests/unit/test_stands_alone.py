# SPDX-License-Identifier: Apache-2.0
"""The project stands alone: nothing in it looks outside of the repository, and whatever it points at is there."""

import ast
import re
from pathlib import Path, PurePosixPath

import pytest

from tests import pages, sources
from tests.reference import ROOT, reference

#: Recordings and stand-ins come with every clone; they must not weigh it down.
MAX_REFERENCE_BYTES = 1_000_000

#: Words for a place beside the repository. REMSIM_SHARED_ACCESS and --shared are settings.
_OUTSIDE = re.compile(r"\.\./shared\b|\bREMSIM_SHARED(?!_)|\bbeside the repository\b|\breference folder\b")
#: Folders upwards: a run of "..", at least one of them beside a slash.
_UPWARDS = re.compile(r"(?<![.\w])(?:\.\./)+(?:\.\.(?![.\w]))?|/\.\.(?:/\.\.)*(?![.\w])")

#: This file and the tests of its like name what they look for.
_NAMES_THEM = {"tests/unit/test_stands_alone.py"}
#: Pages that the site has under other names.
_SITE_NAMES = {"index.md", "changelog.md", "new.md"}

TRACKED = {path.relative_to(ROOT).as_posix(): path for path in sources.tracked()}
FOLDERS = {parent.as_posix() for name in TRACKED for parent in PurePosixPath(name).parents}
MARKDOWN = sorted(name for name in TRACKED if name.endswith(".md"))
REFERENCE = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("[!R]*.md")}


def _text(name: str) -> str:
    return TRACKED[name].read_text(encoding="utf-8", errors="replace")


def _depth(name: str) -> int:
    """How many folders lie between the root and the file."""
    return name.count("/")


def _too_far_up(text: str, depth: int) -> list[str]:
    return [found.group() for found in _UPWARDS.finditer(text) if found.group().count("..") > depth]


def _below_root(node: ast.expr, file_depth: int, known: dict[str, int]) -> int | None:
    """How deep below the root the path of an expression lies; None if it begins neither at this file nor at ROOT.

    Negative once it has been above the root: the names of folders there differ from clone to clone.
    """
    match node:
        case ast.Name(name):
            return known.get(name)
        case ast.Call(ast.Name("Path"), [ast.Name("__file__")]):
            return file_depth + 1
        case ast.Call(ast.Attribute(value, "resolve" | "absolute"), []):
            return _below_root(value, file_depth, known)
        case ast.Attribute(value, "parent"):
            steps = [-1]
        case ast.Subscript(ast.Attribute(value, "parents"), ast.Constant(int(index))):
            steps = [-1] * (1 + index)
        case ast.BinOp(value, ast.Div(), ast.Constant(str(part))):
            steps = [-1 if each == ".." else 1 for each in part.split("/")]
        case _:
            return None
    depth = _below_root(value, file_depth, known)
    for step in steps:
        if depth is None or depth < 0:
            break
        depth += step
    return depth


def _climbs(text: str, file_depth: int) -> list[str]:
    """Expressions that lead from this file, or from the root, to a place above the root."""
    if "__file__" not in text and "ROOT" not in text:
        return []
    tree = ast.parse(text)
    known = {"ROOT": 0}
    for node in ast.walk(tree):
        match node:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
                depth = _below_root(value, file_depth, known)
                if depth is not None:
                    known[name] = depth
    expressions = [node for node in ast.walk(tree) if isinstance(node, ast.expr)]
    return [ast.unparse(node) for node in expressions if (_below_root(node, file_depth, known) or 0) < 0]


def test_nothing_speaks_of_a_place_outside() -> None:
    wrong = []
    for name in TRACKED.keys() - _NAMES_THEM:
        text = _text(name)
        wrong += [f"{name}: {found.group()}" for found in _OUTSIDE.finditer(text)]
        wrong += [f"{name}: {found}" for found in _too_far_up(text, _depth(name))]
    assert not wrong


def test_no_path_climbs_above_the_root() -> None:
    wrong = {}
    for path in sources.python_files():
        name = path.relative_to(ROOT).as_posix()
        if found := _climbs(path.read_text(encoding="utf-8"), _depth(name)):
            wrong[name] = found
    assert not wrong


@pytest.mark.parametrize(
    "line",
    [
        "X = Path(__file__).resolve().parent.parent.parent.parent",
        "X = Path(__file__).parents[3]",
        "X = ROOT.parent / 'shared'",
        "HERE = Path(__file__).parent\nX = HERE / '..' / '..' / '..' / 'shared'",
        "X = ROOT / '../elsewhere'",
    ],
)
def test_climbing_is_seen(line: str) -> None:
    assert _climbs(line, 2)


@pytest.mark.parametrize(
    "line",
    [
        "X = Path(__file__).resolve().parent.parent.parent",
        "X: Final = Path(__file__).parent / 'sets.json'",
        "X = path.parent",
        "X = ROOT / 'docs' / '../src'",
    ],
)
def test_staying_below_the_root_is_allowed(line: str) -> None:
    assert not _climbs(line, 2)


@pytest.mark.parametrize(
    ("text", "depth", "is_wrong"),
    [
        ('cd "$(dirname "$0")/.."', 1, False),
        ('cd "$(dirname "$0")/.."', 0, True),
        ("[x](../../docs/x.md)", 2, False),
        ("[x](../../docs/x.md)", 1, True),
        ("a ... b, 1..1024, …/x, …", 0, False),
    ],
)
def test_folders_upwards_are_counted(text: str, depth: int, is_wrong: bool) -> None:
    assert bool(_too_far_up(text, depth)) is is_wrong


def test_recordings_are_small_and_come_with_the_repository() -> None:
    recorded = {name: path for name, path in TRACKED.items() if name.startswith("tests/reference/")}
    assert len(recorded) > 100
    assert sum(path.stat().st_size for path in recorded.values()) < MAX_REFERENCE_BYTES
    for folder in ("vectors/rspro", "vectors/simtrace2", "traces", "tools"):
        assert f"tests/reference/{folder}/README.md" in recorded, "say where it comes from"
        assert reference(*folder.split("/")).is_dir()


def _is_astray(name: str, link: str) -> bool:
    if "://" in link or link.startswith("mailto:"):
        return False
    target, _, anchor = link.partition("#")
    here = PurePosixPath(name)
    parts: list[str] = []
    for part in (here.parent / target).parts if target else here.parts:
        if part == ".." and not parts:
            return True
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    path = "/".join(parts) or "."
    if anchor:
        return path not in TRACKED or anchor not in pages.anchors(_text(path))
    return path not in TRACKED and path not in FOLDERS


@pytest.mark.parametrize("name", MARKDOWN)
def test_links_lead_to_something_in_the_repository(name: str) -> None:
    assert not [link for link in pages.links(_text(name)) if _is_astray(name, link)]


@pytest.mark.parametrize(
    "link", ["../x.md", "/etc/passwd", "docs/none.md", "docs/manual.md#nothing", "#nothing", ".venv/pyvenv.cfg"]
)
def test_links_that_lead_astray_are_seen(link: str) -> None:
    assert _is_astray("README.md", link)


def test_citations_name_sections_that_exist() -> None:
    known = {page: pages.sections(text) for page, text in REFERENCE.items()}
    cited = {name: pages.citations(_text(name), known) for name in TRACKED.keys() - _NAMES_THEM}
    assert sum(map(len, cited.values())) > 100
    assert not [f"{name}: {each}" for name in cited for each in cited[name] if each.number not in known[each.page]]


def test_citations_are_found_in_all_their_forms() -> None:
    text = """(known-limits.md, 81 and 46) rspro.md, 9.4; ``rsres.md``, section 2.4. # (known-limits.md,
    # 79: x. interop.md b and c, simtrace2.md, 3.2 to 3.6; [RSPRO](rspro.md), 8.2. known-limits 3, 27)
    known-limits.md 1-6, pcscd 1.9.9, rspro.md, end of 9.5.
    Line 45 of known-limits.md; interop.md, a-b-c. rspro.md for all"""
    assert {
        str(each) for each in pages.citations(text, ["known-limits", "rspro", "rsres", "interop", "simtrace2"])
    } == {
        *(f"known-limits.md, {number}" for number in (81, 46, 79, 3, 27, 1, 6, 45)),
        *("rspro.md, 9.4", "rspro.md, 8.2", "rspro.md, 9.5", "rsres.md, 2.4"),
        *("interop.md, b", "interop.md, c", "simtrace2.md, 3.2", "simtrace2.md, 3.6"),
    }


def test_sections_are_those_of_headings_items_and_rows() -> None:
    text = "# Page\n\n## 7. State\n\n1. a\n2. b\n\n### 7.4 x\n## (b) y\n## z\n\n3. c\n\n| 4.1 | d |\n```\n9. e\n```\n"
    assert pages.sections(text) == {"7", "7.1", "7.2", "7.4", "b", "3", "4.1"}


def test_pages_named_in_sources_exist() -> None:
    names = {Path(name).name for name in TRACKED} | _SITE_NAMES
    astray = {
        f"{name}: {found}"
        for name in TRACKED.keys() - _NAMES_THEM
        if name.endswith(".py")
        for found in re.findall(r"\b[a-z][\w-]+\.md\b", _text(name))
        if found not in names
    }
    assert not astray

# SPDX-License-Identifier: Apache-2.0
"""What every source file keeps to: licence line, length, names, and nothing that ties it to one machine."""

import ast
import re
from pathlib import Path

import pytest

from tests import sources
from tests.reference import ROOT

SPDX = "# SPDX-License-Identifier: Apache-2.0"
MAX_LINES = 600

#: A longer function is hard to hold in mind; 40 is the aim.
MAX_FUNCTION_LINES = 60

#: Names that say nothing about what is inside.
EMPTY_NAMES = {"utils", "util", "utilities", "misc", "common", "helpers", "helper"}

#: Tests that mirror no module: they look at all of them, or at what is around them.
OF_THE_WHOLE = {
    "test_imports",
    "test_one_place",
    "test_sources",
    "test_import_shares",
    "test_leftovers",
    "test_requirements",
    "test_check_coverage",
    "test_slowest",
    "test_compatibility",
    "test_patterns",
    "test_generated_docs",
    "test_console_pages",
    "test_settings_page",
    "test_stands_alone",
    "test_captures",
    "test_man_pages",
    "test_replay_capture",
}

#: Parts in which each module has a unit test of its own.
MIRRORED = {
    *("core", "wire", "card", "uicc", "trace", "config"),
    *("policy", "redaction", "vpcd"),
}

#: Modules that assign to an attribute named ``state`` and set no state of a machine past its table, and why.
_OTHER_STATES = {
    "remsim.core.state_machine": "the one place where a machine moves",
    "remsim.client.metrics": "a gauge",
    "remsim.demo.stage": "words on the screen",
    "remsim.uicc.auth": "the memory of a card",
    "remsim.uicc.card": "the memory of a card",
    "remsim.uicc.pins": "the memory of a card",
    "remsim.uicc.session": "the memory of a card",
}

#: What ties the project to one machine or names where its packages are fetched from.
_TIED = re.compile(
    r"(?<![\w.}])/(?:home|Users|root|work)/\w"  # somebody's folders; behind a } it is the root of a process
    r"|\bissue #?\d"  # a tracker that a reader of the sources does not see
    r"|\b(?:pypi\.org|pythonhosted\.org|test\.pypi|registry\.npmjs|deb\.debian\.org)\b"
)

#: Private words and riddles that plain ones replaced. As whole words and as parts of names (``lane``, ``open_lane``,
#: ``TpduLane``), in any case, with or without a plural.
_BANNED = re.compile(
    r"(?<![A-Za-z])(?:whoever|stranger|house|desk|office|keeper|turnstile|crowd|lane|books|recall|verbs"
    r"|governor|governs|contender|rival|octet|news)s?(?![a-z])",
    re.IGNORECASE,
)

#: A capital letter within a name begins a word: ``TpduLane`` is ``Tpdu Lane``.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

#: What the words are part of, where others chose them.
_FOREIGN_WORDS = re.compile(r"OCTET[ _]STRING|OctetString|Test desk|octet_string", re.IGNORECASE)

#: Kinds of files that are written by people and read by people.
_WRITTEN = {".py", ".pyi", ".md", ".toml", ".sh", ".c"}

#: Recordings and vectors name fields as their source did.
_RECORDED = ("tests/reference/vectors/", "tests/reference/traces/", "tests/vectors/", "docs/reference/rspro.md")

#: This file names them to find them.
_NAMES_THEM = {"tests/unit/test_sources.py"}


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


class TestEachFile:
    def test_begins_with_licence_and_purpose(self) -> None:
        texts = {path: path.read_text(encoding="utf-8") for path in sources.python_files()}
        assert not [_named(path) for path, text in texts.items() if not text.startswith(SPDX + "\n")]
        with_code = [path for path, text in texts.items() if text.strip() != SPDX and path.suffix == ".py"]
        silent = [_named(path) for path in with_code if not sources.outline(path).is_described]
        assert not silent, "say what the module is responsible for"

    def test_is_short_enough(self) -> None:
        lines = {_named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources.python_files()}
        assert not {name: count for name, count in lines.items() if count > MAX_LINES}
        long = {
            f"{_named(path)}: {function}": count
            for path in sources.python_files()
            for function, count in sources.outline(path).functions
        }
        assert not {name: count for name, count in long.items() if count > MAX_FUNCTION_LINES}

    def test_has_a_name_that_says_something(self) -> None:
        assert not [_named(path) for path in sources.python_files() if path.stem in EMPTY_NAMES]

    def test_excludes_from_coverage_with_a_reason_only(self) -> None:
        silent = re.compile(r"pragma: no (?:cover|branch)\s*$", re.MULTILINE)
        assert not [_named(path) for path in sources.python_files() if silent.search(path.read_text(encoding="utf-8"))]


def _public_classes() -> dict[str, list[str]]:
    """The modules of each public class, by its name."""
    found: dict[str, list[str]] = {}
    for module, path in sources.modules().items():
        for node in sources.tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(module)
    return found


def test_a_class_name_is_used_for_one_thing() -> None:
    shared = {name: modules for name, modules in _public_classes().items() if len(modules) > 1}
    assert not shared, "give one of each another name"


def test_shell_scripts_carry_the_licence() -> None:
    for path in [*(ROOT / "tools").glob("*.sh"), ROOT / ".ci" / "run"]:
        assert SPDX in path.read_text(encoding="utf-8").splitlines()[:2], path.name


def test_nothing_is_tied_to_one_machine() -> None:
    wrong = []
    for path in sources.tracked():
        name = path.relative_to(ROOT).as_posix()
        if name in _NAMES_THEM:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        wrong += [f"{name}: {match.group()}" for match in _TIED.finditer(text)]
    assert not wrong


def _sets_state(tree: ast.AST) -> bool:
    """Whether something is assigned to an attribute ``state`` or ``_state``."""
    return any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in {"state", "_state"}
        for node in sources.nodes(tree)
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("peer.state = PeerState.GONE", True),
        ("self._state, other = following, 1", True),
        ("self.state: int = 0", True),
        ("peer.step(PeerEvent.LOST)", False),
        ("state = peer.state", False),
    ],
)
def test_assignments_to_a_state_are_found(line: str, expected: bool) -> None:
    assert _sets_state(ast.parse(line)) is expected


def test_no_state_is_set_past_its_table() -> None:
    found = {name for name, path in sources.modules().items() if _sets_state(sources.tree(path))}
    assert found <= set(_OTHER_STATES), "let these move by core.state_machine"


def _plain(text: str) -> str:
    return _HUMP.sub(" ", _FOREIGN_WORDS.sub("", text))


def test_words_are_plain() -> None:
    wrong = []
    for path in sources.tracked():
        name = path.relative_to(ROOT).as_posix()
        if name in _NAMES_THEM or path.suffix not in _WRITTEN or name.startswith(_RECORDED):
            continue
        lines = [name, *path.read_text(encoding="utf-8").splitlines()]
        for number, line in enumerate(lines):
            wrong += [f"{name}:{number}: {match.group()}" for match in _BANNED.finditer(_plain(line))]
    assert not wrong


@pytest.mark.parametrize(
    "text", ["Whoever asks", "open_lane", "TpduLane", "four octets", "the house's", "LANES", "_desk"]
)
def test_banned_word_is_found(text: str) -> None:
    assert _BANNED.search(_plain(text))


@pytest.mark.parametrize(
    "text", ["planes", "household", "bookshelf", "OCTET STRING of 4 bytes", "newspaper", "arrival"]
)
def test_word_that_only_contains_one_is_left_alone(text: str) -> None:
    assert not _BANNED.search(_plain(text))


def _mirror(module: str) -> str:
    """``remsim.wire.messages.ber`` is tested by ``wire/test_ber``."""
    *folders, name = module.split(".")[1:]
    return "/".join([*folders, f"test_{name}"])


def test_unit_tests_mirror_the_sources() -> None:
    unit = ROOT / "tests" / "unit"
    tests = {path.relative_to(unit).with_suffix("").as_posix() for path in unit.rglob("test_*.py")} - OF_THE_WHOLE
    named = {name: path for name, path in sources.modules().items() if path.name != "__init__.py"}
    mirrors = {_mirror(name) for name in named}
    # A long subject may be split: test_codec_limits.py tests codec.py, too.
    astray = {test for test in tests if not any(test == name or test.startswith(f"{name}_") for name in mirrors)}
    assert not astray, "these test no module of that name"
    must = {name for name in named if name.split(".")[1] in MIRRORED or name.endswith(".coordinator")}
    # Declarations alone do nothing that a test could call.
    wanted = {_mirror(name) for name in must if sources.outline(named[name]).functions}
    lonely = {name for name in wanted if not any(test == name or test.startswith(f"{name}_") for test in tests)}
    assert not lonely, "these modules have no unit test"

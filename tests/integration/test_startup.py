# SPDX-License-Identifier: Apache-2.0
"""What each command imports from its start to its end: what it uses, and nothing else.

A library that is not needed costs every start its time, and a small board its memory. ``python -m bench startup``
measures what this comes to.
"""

import json
import sys
from contextlib import closing
from http.client import HTTPConnection
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Final

import pytest

from remsim.cli.main import COMMANDS as NAMES
from tests.doubles.programs import Program

#: Libraries that take long to import, and asyncio, which takes as long as some of them.
HEAVY: Final = {
    "aiosqlite",
    "alembic",
    "anyio",
    "asyncio",
    "attr",
    "click",
    "cryptography",
    "cyclopts",
    "docstring_parser",
    "fastapi",
    "greenlet",
    "h11",
    "http",
    "httpx2",
    "jinja2",
    "mako",
    "prometheus_client",
    "prompt_toolkit",
    "pydantic",
    "pydantic_settings",
    "pygments",
    "pyudev",
    "rich",
    "smartcard",
    "sqlalchemy",
    "sqlite3",
    "starlette",
    "usb1",
    "uvicorn",
    "uvloop",
}

#: Runs ``remsim`` with the words behind the file's name, and writes to the file which modules there are at the end.
SPY: Final = """\
import json, sys
from remsim.cli.main import main
status = main(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump(sorted(sys.modules), file)
sys.exit(status)
"""

#: The parser is written with ``attrs``.
PARSER: Final = {"attr", "cyclopts"}
SETTINGS: Final = PARSER | {"pydantic"}
#: A certificate is renewed over HTTP.
DAEMON: Final = SETTINGS | {"asyncio", "http", "uvloop"}
DATABASE: Final = {"aiosqlite", "greenlet", "sqlalchemy", "sqlite3"}
REST: Final = {"anyio", "click", "fastapi", "h11", "starlette", "uvicorn"}
SERVER: Final = DAEMON | DATABASE | REST

CLIENT_OF_REST: Final = SETTINGS | {"anyio", "h11", "http", "httpx2"}

#: What the parser shows help with.
HELP: Final = PARSER | {"docstring_parser", "rich"}

#: A command, its exit status, and what of ``HEAVY`` it may import.
COMMANDS: Final[list[tuple[str, int, set[str]]]] = [
    ("--help", 0, set()),
    ("--version", 0, set()),
    ("serve", 2, set()),
    *((f"{command} --help", 0, HELP) for command in NAMES if command != "enroll"),
    ("enroll --help", 0, HELP | {"http"}),
    ("ctl unmap --help", 0, HELP),
    ("client shell --help", 0, HELP),
    ("pki issue --help", 0, HELP),
    ("server init --help", 0, HELP),
    ("token create --help", 0, HELP),
    ("client vpcd --server nonsense:x", 2, SETTINGS),
    ("bankd --server nonsense:x", 2, SETTINGS),
    ("server --rest nonsense:x", 2, SETTINGS),
    ("demo --log-level loud", 2, SETTINGS),
    ("uicc --vpcd nonsense:x", 2, SETTINGS),
    ("ctl --rest http://127.0.0.1:9 unmap 1:0", 1, CLIENT_OF_REST),
    ("ctl --rest http://127.0.0.1:9 banks", 1, CLIENT_OF_REST),
    ("doctor client --vpcd 127.0.0.1:9 --json", 1, SETTINGS | {"asyncio", "pyudev", "rich", "usb1"}),
    ("doctor --vpcd 127.0.0.1:9", 1, SETTINGS | {"asyncio", "pyudev", "rich", "usb1"}),
    ("enroll", 1, PARSER | {"http"}),
    ("enroll https://127.0.0.1:9 nonsense", 1, PARSER | {"http"}),
    ("pki show", 1, PARSER | {"cryptography", "sqlite3"}),
    ("token list", 1, SETTINGS | DATABASE | {"asyncio"}),
]

#: A command that serves until it is ended, what of ``HEAVY`` it may import, and which parts of ours it does without.
#: Nobody is at port 9.
DAEMONS: Final[list[tuple[str, set[str], set[str]]]] = [
    (
        "client vpcd --plaintext --server 127.0.0.1:9 --vpcd 127.0.0.1:9",
        DAEMON,
        {"bankd", "doctor", "emulators.script", "emulators.shell", "emulators.simtrace2.find", "readers", "server"},
    ),
    (
        "bankd --plaintext --server 127.0.0.1:9 --listen 127.0.0.1:0 --reader sim",
        DAEMON | {"cryptography"},
        {"client", "doctor", "emulators", "readers.pcsc", "server"},
    ),
    (
        "server --plaintext --rest-open --rspro 127.0.0.1:0 --rest 127.0.0.1:0",
        SERVER,
        {
            *("bankd", "client", "doctor", "emulators", "pki.authority", "readers", "rest.client", "rest.stream"),
            *("server.api.enrolment", "uicc"),
        },
    ),
]


def _spied(words: str, folder: Path) -> Program:
    environment = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    return Program([sys.executable, "-c", SPY, str(folder / "modules"), *words.split()], env=environment)


def _imported(folder: Path) -> set[str]:
    """The names of all modules, and of the packages that they are in."""
    names = json.loads((folder / "modules").read_text(encoding="utf-8"))
    assert "remsim.cli.main" in names
    return {
        ".".join(parts[: count + 1]) for parts in (name.split(".") for name in names) for count in range(len(parts))
    }


def _heavy(folder: Path) -> set[str]:
    return _imported(folder) & HEAVY


@pytest.mark.parametrize(("words", "status", "needs"), COMMANDS, ids=[words for words, *_ in COMMANDS])
def test_command_imports_what_it_uses(words: str, status: int, needs: set[str], tmp_path: Path) -> None:
    with _spied(words, tmp_path) as program:
        assert program.wait() == status, program.describe()
    assert _heavy(tmp_path) - needs == set()


@pytest.mark.parametrize(("words", "needs", "spares"), DAEMONS, ids=[words.split()[0] for words, *_ in DAEMONS])
def test_program_that_serves_imports_what_it_uses(
    words: str, needs: set[str], spares: set[str], tmp_path: Path
) -> None:
    with _spied(words, tmp_path) as program:
        program.wait_for(r"\sstarted( |$)")
        assert program.stop() == 0, program.describe()
    assert _heavy(tmp_path) - needs == set()
    assert _imported(tmp_path) & {f"remsim.{part}" for part in spares} == set()


@pytest.mark.parametrize("part", sorted(set.union(*(spares for *_, spares in DAEMONS))))
def test_part_that_a_program_does_without_exists(part: str) -> None:
    assert find_spec(f"remsim.{part}") is not None


def _readers(folder: Path) -> set[str]:
    names = json.loads((folder / "modules").read_text(encoding="utf-8"))
    return {name.split(".")[2] for name in names if name.startswith(("remsim.readers.pcsc", "remsim.readers.sim"))}


@pytest.mark.parametrize(
    ("reader", "used"), [("sim", {"sim"}), ("pcscd", {"pcscd", "pcsc_common"}), ("pcsc", {"pcsc", "pcsc_common"})]
)
def test_bank_imports_its_reader_and_no_other(reader: str, used: set[str], tmp_path: Path) -> None:
    words = f"bankd --plaintext --server 127.0.0.1:9 --listen 127.0.0.1:0 --auto --reader {reader}"
    with _spied(words.replace("--auto ", "") if reader == "sim" else words, tmp_path) as program:
        program.wait_for(r"\sstarted( |$)")
        assert program.stop() == 0, program.describe()
    assert _readers(tmp_path) == used
    assert ("smartcard" in _heavy(tmp_path)) is (reader == "pcsc")


def test_client_imports_no_reader(tmp_path: Path) -> None:
    with _spied("client vpcd --plaintext --server 127.0.0.1:9 --vpcd 127.0.0.1:9", tmp_path) as program:
        program.wait_for(r"\sstarted( |$)")
        assert program.stop() == 0, program.describe()
    assert _readers(tmp_path) == set()


#: Runs ``remsim``; Python tells on stderr what is imported, and when.
TOLD: Final = [
    sys.executable,
    "-X",
    "importtime",
    "-c",
    "import sys; from remsim.cli.main import main; sys.exit(main())",
]


def test_first_requests_import_nothing(tmp_path: Path) -> None:
    """Routes are made then, perhaps without a descriptor left to open a module with."""
    words = next(words for words, *_ in DAEMONS if words.startswith("server"))
    environment = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    with Program([*TOLD, *words.split()], env=environment) as program:
        port = int(program.wait_for(r"\blistening\b.* rest=127\.0\.0\.1:(\d+)")[1])
        program.wait_for(r"\sstarted( |$)")
        asked = [
            (path, _status(port, path)) for path in ("/health", "/api/v2/banks", "/api/v2/nothing", "/openapi.json")
        ]
        assert program.stop() == 0, program.describe()
    assert [status for _, status in asked] == [200, 200, 404, 200]
    lines = iter(program.stderr.lines)
    before = list(takewhile(lambda line: " started " not in line, lines))
    assert any("import time:" in line for line in before)
    assert not [line for line in takewhile(lambda line: " stopping " not in line, lines) if "import time:" in line]


def _status(port: int, path: str) -> int:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def test_server_with_a_database_of_its_form_needs_no_alembic(tmp_path: Path) -> None:
    words, needs, _ = next(entry for entry in DAEMONS if entry[0].startswith("server"))
    for _ in range(2):
        with _spied(words, tmp_path) as program:
            program.wait_for(r"\sstarted( |$)")
            assert program.stop() == 0, program.describe()
    assert _heavy(tmp_path) - needs == set()

# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: the levels of the package, what stays free of I/O, what a base install can do without.

A module imports from levels below its own and from its own package; parts of one level never import each other. The
lower three levels and all coordinators know no clock, no socket, no thread: time and messages are arguments.
"""

import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from tests import sources

#: The level of each part of the package, that is, of each name directly below ``remsim``.
LEVELS = {
    "core": 0,
    "wire": 1,
    "card": 1,
    "uicc": 1,
    "trace": 2,
    "config": 2,
    "policy": 2,
    "redaction": 2,
    "logs": 3,
    "metrics": 3,
    "causes": 3,
    "pki": 3,
    "vpcd": 3,
    "net": 4,
    "readers": 4,
    "emulators": 4,
    "server": 5,
    "bankd": 5,
    "client": 5,
    "doctor": 6,
    "api": 6,
    "cli": 6,
    "demo": 6,
}

#: Imports between parts of the same level that are meant to be: a number is an error or it is not, a card is made of
#: card formats, the command line starts the demonstration and the doctor, an identity is made of numbers, and enrolment
#: says in words why it cannot connect.
SAME_LEVEL = {
    ("pki", "causes"),
    ("ids", "errors"),
    ("identity", "errors"),
    ("identity", "ids"),
    ("uicc", "card"),
    ("cli", "demo"),
    ("cli", "doctor"),
}

#: Imports of a lower level that are not allowed all the same: readers and emulators speak of cards, not of messages.
NEVER = {("readers", "wire"), ("emulators", "wire")}

#: Modules that parts of their own level may import: tasks are started in one place only, for emulators, too.
FOR_EQUALS = {"remsim.net.runtime.tasks"}

#: What reads a clock, waits, or speaks to anything outside.
IO_MODULES = {
    "asyncio",
    "concurrent",
    "http",
    "logging",
    "multiprocessing",
    "os",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}

#: Levels that know nothing of the world outside.
HIGHEST_LEVEL_WITHOUT_IO = 2

#: Packages that only an extra brings, and where they may be imported; a base install must not stumble over them.
EXTRAS = {
    "smartcard": ("remsim.readers.pcsc",),
    "usb1": ("remsim.emulators",),
    "pyudev": ("remsim.emulators",),
    "cryptography": ("remsim.uicc", "remsim.readers.sim.source", "remsim.pki"),
    "aiosqlite": ("remsim.server",),
    "alembic": ("remsim.server",),
    "fastapi": ("remsim.server",),
    "greenlet": ("remsim.server",),
    "h11": ("remsim.server",),
    "sqlalchemy": ("remsim.server",),
    "starlette": ("remsim.server",),
    "uvicorn": ("remsim.server",),
    "httptools": (),
    "uvloop": ("remsim.net",),
}

#: What the base install brings (pyproject.toml); anything else that is imported must be of the standard library.
BASE = {
    "cyclopts",
    "httpx2",
    "prometheus_client",
    "prompt_toolkit",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "rich",
}


def part(module: str) -> str:
    """``remsim.wire.messages.ber`` belongs to ``wire``; the package itself to nothing."""
    return module.split(".")[1] if "." in module else ""


def coordinators() -> set[str]:
    """The coordinators of all programs."""
    return {name for name in sources.modules() if "coordinator" in name.split(".")[2:]}


def forbidden(found: sources.Import) -> bool:
    """Whether the levels forbid an import of our own."""
    importer, imported = part(found.importer), part(found.module)
    if importer == imported or not imported:
        return False
    if (importer, imported) in SAME_LEVEL:
        return False
    if found.module in FOR_EQUALS and LEVELS[imported] == LEVELS.get(importer):
        return False
    return (importer, imported) in NEVER or LEVELS[imported] >= LEVELS.get(importer, -1)


def test_every_part_of_the_package_has_a_level() -> None:
    parts = {part(name) for name in sources.modules()} - {"", "__main__"}
    assert parts <= set(LEVELS), f"give these a level: {sorted(parts - set(LEVELS))}"


def test_imports_go_down_the_levels_only() -> None:
    wrong = [str(found) for found in sources.imports() if found.top == "remsim" and forbidden(found)]
    assert not wrong


@pytest.mark.parametrize(
    ("importer", "imported", "expected"),
    [
        ("remsim.wire.messages.codec", "remsim.wire.messages.ber", False),
        ("remsim.wire.messages.codec", "remsim.card.atr", True),
        ("remsim.wire.messages.codec", "remsim.net.stream", True),
        ("remsim.uicc.files", "remsim.card.status", False),
        ("remsim.card.status", "remsim.uicc.files", True),
        ("remsim.readers.pcsc", "remsim.wire.messages.rspro", True),
        ("remsim.readers.pcsc", "remsim.card.atr", False),
        ("remsim.net.stream", "remsim.readers.base", True),
        ("remsim.emulators.vpcd.emulator", "remsim.net.runtime.tasks", False),
        ("remsim.emulators.vpcd.emulator", "remsim.net.runtime.process", True),
        ("remsim.pki.clock", "remsim.net.runtime.tasks", True),
        ("remsim.bankd.service", "remsim.server.service", True),
        ("remsim.cli.main", "remsim.server.service", False),
    ],
)
def test_rule_judges_as_meant(importer: str, imported: str, expected: bool) -> None:
    assert forbidden(sources.Import(importer, imported, line=1, at_import=True)) is expected


def test_no_module_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {name: set() for name in sources.modules()}
    for found in sources.imports():
        if found.module in graph and found.module != found.importer:
            graph[found.importer].add(found.module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]), pytrace=False)


def test_lower_levels_and_coordinators_are_free_of_io() -> None:
    pure = {name for name in sources.modules() if 0 <= LEVELS.get(part(name), 99) <= HIGHEST_LEVEL_WITHOUT_IO}
    pure |= sources.reachable(coordinators(), at_import_only=False)
    wrong = [str(found) for found in sources.imports() if found.importer in pure and found.top in IO_MODULES]
    assert not wrong


def test_coordinators_reach_nothing_above_level_2_outside_their_package() -> None:
    for coordinator in coordinators():
        reached = sources.reachable({coordinator}, at_import_only=False)
        above = {name for name in reached if LEVELS.get(part(name), 0) > HIGHEST_LEVEL_WITHOUT_IO}
        assert {part(name) for name in above} <= {part(coordinator)}, coordinator


def test_extras_are_imported_in_their_own_places_only() -> None:
    wrong = []
    for found in sources.imports():
        homes = EXTRAS.get(found.top)
        if homes is not None and not found.importer.startswith(homes):
            wrong.append(str(found))
    assert not wrong


def test_command_line_starts_on_a_base_install() -> None:
    reached = sources.reachable({"remsim.cli.main", "remsim.cli.classic"}, at_import_only=True)
    wrong = [
        str(found)
        for found in sources.imports()
        if found.importer in reached and found.at_import and found.top in EXTRAS
    ]
    assert not wrong


def test_host_without_cryptography_can_enrol_and_speak_tls() -> None:
    reached = sources.reachable(
        {"remsim.cli.enroll", "remsim.net.connections", "remsim.net.runtime.certificates"}, at_import_only=True
    )
    wrong = [
        str(found)
        for found in sources.imports()
        if found.importer in reached and found.at_import and found.top == "cryptography"
    ]
    assert not wrong


def test_whatever_else_is_imported_is_declared() -> None:
    known = {"remsim", *BASE, *EXTRAS, *sys.stdlib_module_names}
    wrong = [str(found) for found in sources.imports() if found.top not in known]
    assert not wrong

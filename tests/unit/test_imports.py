# SPDX-License-Identifier: Apache-2.0
"""What may import what: the levels of the package, the order inside each part, what stays free of I/O, which library
is used where.

A module imports from levels below its own and from its own part; parts of one level never import each other. Inside a
part it imports from the groups below its own. The lower three levels and all coordinators know no clock, no socket, no
thread: time and messages are arguments.
"""

import ast
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from tests import sources

#: The level of each part of the package, that is, of each name directly below ``remsim``.
LEVELS = {
    "core": 0,
    "wire": 1,
    "card": 1,
    "uicc": 2,
    "trace": 2,
    "config": 2,
    "policy": 2,
    "ahead": 2,
    "session": 2,
    "redaction": 2,
    "logs": 3,
    "metrics": 3,
    "causes": 3,
    "background": 3,
    "vpcd": 3,
    "pki": 4,
    "captures": 4,
    "spans": 4,
    "net": 5,
    "outlets": 5,
    "rest": 5,
    "readers": 5,
    "emulators": 5,
    "server": 6,
    "bankd": 6,
    "client": 6,
    "doctor": 7,
    "api": 7,
    "demo": 7,
    "top": 7,
    "cli": 8,
}

#: Imports of a lower level that are not allowed all the same: readers and emulators speak of cards, not of messages.
NEVER = {("readers", "wire"), ("emulators", "wire")}

#: Modules that parts of their own level may import: tasks are started in one place only, for emulators, too, and what
#: is secret is judged in one place only.
FOR_EQUALS = {"remsim.net.runtime.tasks", "remsim.redaction"}

#: The order inside a package: groups of modules from the bottom to the top. A module imports from the groups below its
#: own. Entries of one group know nothing of each other; ``core.*`` is all of a folder that is not named by itself,
#: whose modules are free among themselves. A package's own ``__init__`` stands above all.
INSIDE: dict[str, tuple[tuple[str, ...], ...]] = {
    "wire": (
        ("errors", "link.foreign", "link.ability_bits", "messages.open_enum"),
        ("messages.extensions",),
        ("messages.health",),
        ("ipa", "messages.ber", "messages.revocation", "messages.rspro"),
        ("ccm", "messages.schema", "messages.fast_codec", "messages.ahead_codec"),
        ("messages.*",),
        ("link.*",),
        ("link.engine",),
    ),
    "card": (
        ("errors", "class_byte", "filenames", "private_files", "reset", "status", "service_tables"),
        ("apdu", "tlv", "tpdu", "atr", "instructions", "selection"),
        ("apdu_case", "t0_exchange", "atr_policy", "pps"),
        ("iccid", "t0_over_apdu"),
        ("identity",),
        ("contents",),
    ),
    "uicc": (
        ("errors", "files", "milenage"),
        ("identity",),
        ("profile.model", "profile.fields"),
        ("proactive", "profile.tree", "state"),
        ("profile.toml", "auth", "pins", "toolkit"),
        ("session", "fcp"),
        ("commands.*",),
        ("table",),
        ("card",),
    ),
    "config": (("values", "files"), ("fields",), ("models",), ("client", "load"), ("simtrace2",)),
    "policy": (("fields",), ("guard", "mapping")),
    "ahead": (
        ("return_path", "pace", "figures"),
        ("symbols", "as_message"),
        ("view", "context_model", "client_side"),
        ("rules", "structure"),
        ("predictor", "library"),
        ("bank_side",),
    ),
    "session": (("hold", "ledger", "lines", "token"), ("outbox",)),
    "captures": (("rolling",), ("of_slots",)),
    "spans": (("ids",), ("outlet",)),
    "pki": (
        ("errors",),
        ("codes", "facts", "files", "system_trust"),
        ("clock", "messages", "server_tls", "signing"),
        ("ledger", "toolkit"),
        ("credentials", "authority"),
        ("bootstrap", "enrol", "enrolment_service"),
    ),
    "net": (
        (
            "runtime.tasks",
            "runtime.commands",
            "runtime.report",
            "runtime.state_lock",
            "tls.contexts",
            "allowance",
            "engines",
        ),
        ("accept.waiting", "runtime.exposed_files", "runtime.reload"),
        ("accept.pending", "accept.quota", "gsmtap", "log_limiter", "plain", "runtime.process"),
        ("link", "tls.security", "accept.handshake_queue"),
        ("accept.acceptor", "tls.transport"),
        ("accept.listen", "accept.connection_limiter", "dialled"),
        ("connections",),
        ("runtime.certificates", "link_limits"),
    ),
    "rest": (
        ("models", "errors", "complaints"),
        ("calls", "stream", "traces"),
        ("authority", "client", "captures", "leases", "trace_lines", "warnings", "webhooks"),
    ),
    "readers": (
        ("errors",),
        ("base",),
        ("pcsc_common.*",),
        ("sim.*", "pcsc.*", "pcscd.*"),
        ("vpcd", "registry"),
    ),
    "emulators": (
        ("errors", "base"),
        ("driven", "registry"),
        ("script.*", "shell.*", "simtrace2.*", "vpcd.*"),
    ),
    "readers.pcsc_common": (("codes", "level", "states", "usb", "values"), ("card",)),
    "emulators.simtrace2": (
        ("header", "boards"),
        ("info", "find"),
        ("messages", "usb"),
        ("actions", "stream"),
        ("controls", "lines", "log", "t0", "usb_pump"),
        ("order", "transfers", "libusb"),
        ("card",),
        ("emulator",),
    ),
    "bankd": (
        ("core.*", "slots.*", "announcement", "reader_choice"),
        ("core.coordinator", "host.*"),
        ("ahead_turns", "certified_store", "learnt_files", "recorded_starts", "stuck"),
        ("ahead_slots", "driver", "learning"),
        ("guard", "host_watch", "readers"),
        ("limits", "tracing"),
        ("metrics",),
        ("service",),
    ),
    "bankd.slots": (("plan",), ("auto", "csv"), ("store",)),
    "client": (
        ("core.*",),
        ("core.coordinator",),
        ("scripting.*", "observer"),
        ("limits", "report"),
        ("metrics",),
        ("runner",),
        ("service",),
        ("commands",),
    ),
    "server": (
        ("core.*", "changes"),
        ("core.coordinator", "store.schema", "change_entry"),
        ("store.*", "authority.monitor", "health_query", "waiting_query"),
        ("authority.*", "api.limits", "api.v1.shapes", "mapping_lacks"),
        ("query",),
        ("limits", "api.connection", "lease_query"),
        ("metrics", "api.listener"),
        ("runtime",),
        ("rules", "warning_watch", "lease_tokens", "webhooks", "page.assets", "bundle"),
        ("api.*",),
        ("page.*",),
        ("service",),
    ),
    "doctor": (
        ("check", "roles", "client_destinations"),
        ("owner", "power", "links", "host", "usb", "vpcd", "warnings"),
        ("bank", "certificate", "configuration"),
        ("server",),
    ),
    "demo": (("scene",), ("board", "stage"), ("show",)),
    "top": (("overview",), ("follow", "slot_trace"), ("screen",)),
    "cli": (
        ("options", "rest", "completion"),
        ("ctl.tables",),
        ("main", "examination", "ctl.session", "trace_output"),
        ("ctl.*",),
        ("ctl.main",),
        (
            *(
                "bankd",
                "client",
                "demo",
                "doctor",
                "enroll",
                "pki",
                "server",
                "token",
                "top",
                "trace",
                "uicc",
                "apitool",
            ),
            "ctl",
        ),
        ("classic",),
    ),
}

#: Where the server decides and stores. REST asks ``server.query`` and gives commands to ``server.runtime`` ...
_INSIDE_THE_SERVER = ("remsim.server.core", "remsim.server.store")

#: ... and takes only these values and errors from there: who asks, what a token allows, the name of a state.
VALUES_FOR_REST = {
    *(
        f"remsim.server.core.actions.{name}"
        for name in (
            "REFUSED",
            "Actor",
            "Entry",
            "KeyedRequest",
            "StoredDelivery",
            "StoredLock",
            "StoredRequest",
        )
    ),
    *(f"remsim.server.core.webhooks.{name}" for name in ("WebhookError", "WebhookQueue")),
    *(
        f"remsim.server.core.card_choice.{name}"
        for name in ("AMBIGUITY_HINT", "CardChoice", "CardChoiceError", "CardChoiceKind", "ambiguity")
    ),
    *(f"remsim.server.core.fleet.{name}" for name in ("FleetError", "FleetPlan", "plan_fleet")),
    "remsim.server.core.health_board.HealthStanding",
    *(f"remsim.server.core.event_feed.{name}" for name in ("EventFeed", "FeedEvent", "is_visible")),
    *(f"remsim.server.core.kept_answers.{name}" for name in ("MAX_KEPT_BYTES", "KeptAnswer", "KeptAnswers", "KeyUse")),
    *(
        f"remsim.server.core.page_sessions.{name}"
        for name in ("PAGE_SECRET_BYTES", "SESSION_S", "PROOF_BYTES", "PageFileError", "PageSessions", "is_proof")
    ),
    "remsim.server.core.page_sessions.masked_proof",
    *(f"remsim.server.core.labels.{name}" for name in ("LabelError", "parse_subject", "shown_subject", "slots_of")),
    "remsim.server.core.leases.LeaseState",
    "remsim.server.core.slot_locks.LockError",
    *(f"remsim.server.core.warnings.{name}" for name in ("Alert", "WARNING_KINDS")),
    *(f"remsim.server.core.slotmap.{name}" for name in ("ConflictError", "MappingState")),
    *(
        f"remsim.server.core.tokens.{name}"
        for name in (
            *("EVERYTHING", "Grant", "Refusal", "Scope", "StoredToken", "TokenRole"),
            *(
                "bearer_token",
                "check_token",
                "digest_of",
                "failure_limiter",
                "is_still_good",
                "limited_source",
                "token_id_of",
            ),
        )
    ),
    *(f"remsim.server.core.tracing.{name}" for name in ("Slot", "TraceEnd", "TraceEntry", "TraceFeed")),
    "remsim.server.store.audit.StoredEntry",
    "remsim.server.store.page_files.PageFiles",
    *(f"remsim.server.store.writer.{name}" for name in ("CommitInDoubtError", "StoreError")),
}

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
    "usb1": ("remsim.emulators.simtrace2",),
    "pyudev": ("remsim.emulators.simtrace2",),
    "cryptography": ("remsim.uicc.milenage", "remsim.pki.signing"),
    "aiosqlite": ("remsim.server.store",),
    "alembic": ("remsim.server.store",),
    "fastapi": ("remsim.server.api", "remsim.server.page", "remsim.server.service"),
    "greenlet": (),
    "h11": ("remsim.server.api",),
    "sqlalchemy": ("remsim.server.store",),
    "starlette": ("remsim.server.api", "remsim.server.page.frame", "remsim.server.page.middleware"),
    "uvicorn": ("remsim.server.api",),
    "httptools": (),
    "jinja2": ("remsim.server.page.rendering",),
    "opentelemetry": ("remsim.spans.outlet",),
    "textual": ("remsim.top",),
    "uvloop": ("remsim.net.runtime",),
}

#: What the base install brings (pyproject.toml), and where it may be imported; anything else must be of the standard
#: library.
BASE = {
    "cyclopts": ("remsim.cli",),
    "httpx2": ("remsim.cli.rest", "remsim.rest", "remsim.demo", "remsim.server.webhooks"),
    "prometheus_client": ("remsim.metrics",),
    "prompt_toolkit": ("remsim.emulators.shell",),
    "pydantic": (
        *("remsim.config", "remsim.rest", "remsim.server.api"),
        *("remsim.cli.ctl.fleet", "remsim.cli.ctl.leases", "remsim.cli.ctl.webhooks"),
    ),
    "pydantic_core": ("remsim.config",),
    "rich": ("remsim.cli", "remsim.client.report", "remsim.demo", "remsim.top"),
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


def place(package: str, module: str) -> int:
    """The group of a module in its package's order. Raises KeyError."""
    entry = entry_of(package, module)
    return next(number for number, group in enumerate(INSIDE[package]) if entry in group)


def entry_of(package: str, module: str) -> str:
    """The entry of a package's order that a module falls under: its own, or that of a folder. Raises KeyError."""
    name = module.removeprefix(f"remsim.{package}").removeprefix(".")
    entries = {entry for group in INSIDE[package] for entry in group}
    folder = name
    if name in entries:
        return name
    while folder:
        if f"{folder}.*" in entries:
            return f"{folder}.*"
        folder = folder.rpartition(".")[0]
    raise KeyError(module)


def members(package: str) -> list[str]:
    """The modules of a package, without the ``__init__`` of the package and of folders that say nothing but a text."""
    inside = [name for name in sources.modules() if name.startswith(f"remsim.{package}.")]
    importing = {found.importer for found in sources.imports()}
    return [name for name in inside if sources.modules()[name].name != "__init__.py" or name in importing]


def forbidden_inside(package: str, found: sources.Import) -> bool:
    """Whether the order inside a package forbids one of its modules an import of another one."""
    if found.module == f"remsim.{package}":
        return True
    if entry_of(package, found.importer) == entry_of(package, found.module):
        return False
    return place(package, found.module) >= place(package, found.importer)


@pytest.mark.parametrize("package", INSIDE)
def test_every_module_has_a_place_in_its_package(package: str) -> None:
    used = set()
    astray = []
    for module in members(package):
        try:
            used.add(entry_of(package, module))
        except KeyError:
            astray.append(module)
    assert not astray, f"give these a place in INSIDE[{package!r}]"
    entries = [entry for group in INSIDE[package] for entry in group]
    assert sorted(entries) == sorted(used), "these name no module, or one twice"


@pytest.mark.parametrize("package", INSIDE)
def test_imports_go_down_inside_a_package(package: str) -> None:
    inside = set(members(package))
    within = {*inside, f"remsim.{package}"}
    wrong = [
        str(found)
        for found in sources.imports()
        if found.importer in inside and found.module in within and forbidden_inside(package, found)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("importer", "imported", "expected"),
    [
        ("remsim.bankd.service", "remsim.bankd.core.coordinator", False),
        ("remsim.bankd.core.coordinator", "remsim.bankd.core.actions", False),
        ("remsim.bankd.core.actions", "remsim.bankd.core.coordinator", True),
        ("remsim.bankd.core.coordinator", "remsim.bankd.guard", True),
        ("remsim.bankd.core.actions", "remsim.bankd.slots.plan", True),
        ("remsim.bankd.core.actions", "remsim.bankd", True),
    ],
)
def test_order_judges_as_meant(importer: str, imported: str, expected: bool) -> None:
    assert forbidden_inside("bankd", sources.Import(importer, imported, line=1, at_import=True)) is expected


def _names_taken_by_rest() -> set[str]:
    """What REST takes from the server's decisions and its database, as ``module.name``."""
    taken: set[str] = set()
    for name, path in sources.modules().items():
        if not name.startswith(("remsim.server.api", "remsim.server.page")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_INSIDE_THE_SERVER):
                taken |= {f"{node.module}.{alias.name}" for alias in node.names}
            if isinstance(node, ast.Import):
                taken |= {alias.name for alias in node.names if alias.name.startswith(_INSIDE_THE_SERVER)}
    return taken


def test_rest_and_page_take_nothing_from_inside_the_server_but_values() -> None:
    assert _names_taken_by_rest() == VALUES_FOR_REST


def test_rest_does_not_reach_through_the_runtime() -> None:
    inside = {"coordinator", "store", "manager", "slotmap", "peers", "inventory", "configurator"}
    for name, path in sources.modules().items():
        if name.startswith("remsim.server.api"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            reached = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert not reached & inside, name


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


def test_libraries_are_imported_in_their_own_places_only() -> None:
    wrong = []
    for found in sources.imports():
        homes = (EXTRAS | BASE).get(found.top)
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

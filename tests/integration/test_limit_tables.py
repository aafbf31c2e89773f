# SPDX-License-Identifier: Apache-2.0
"""The tables of limits: each has its metric, its reason, and a test that reaches it; each program counts its own."""

import ast
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.bankd.metrics import BankdMetrics
from remsim.client.metrics import ClientMetrics
from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.scripting.causes import ScriptCause
from remsim.client.scripting.runner import MAX_WAITING
from remsim.client.service import ClientService
from remsim.config import ClientConfig, HostPort
from remsim.core.limits import LimitName
from remsim.emulators.driven import DrivenEmulator
from remsim.metrics import ProgramMetrics
from remsim.net.accept.quota import MOST_DESCRIPTORS, RESERVED_DESCRIPTORS, most_connections
from remsim.server.metrics import ServerMetrics
from remsim.wire.link.engine import MAX_FIRST_FRAME
from tests.doubles.bank_world import BankWorld
from tests.doubles.link_world import RawListener, dialled_raw
from tests.doubles.reaching import reaches
from tests.doubles.server_rig import running_server
from tests.reference import ROOT
from tools.limits_page import PROGRAMS

METRICS: dict[str, Callable[[], ProgramMetrics]] = {
    "server": ServerMetrics,
    "bankd": BankdMetrics,
    "client": ClientMetrics,
}
ALL = sorted({(program, limit.name) for program, table in PROGRAMS.items() for limit in table})
LONG = (MAX_FIRST_FRAME + 1).to_bytes(2) + b"\xee"


def reached_by_tests() -> set[str]:
    """The names in ``@reaches(LimitName.X)`` of all tests."""
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reaches":
                found |= {argument.attr for argument in node.args if isinstance(argument, ast.Attribute)}
    return found


@pytest.mark.parametrize(("program", "name"), ALL)
def test_limit_is_shown_from_the_start(program: str, name: LimitName) -> None:
    registry = METRICS[program]().registry
    assert registry.get_sample_value("remsim_limit_reached_total", {"limit": name.value}) == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_table_names_each_limit_once_and_the_metric_shows_no_other(program: str) -> None:
    names = [limit.name for limit in PROGRAMS[program]]
    assert len(names) == len(set(names))
    assert set(METRICS[program]().limits.snapshot()) == set(names)


def test_every_limit_is_in_some_table_and_reached_by_some_test() -> None:
    names = {name.name for _, name in ALL}
    assert names == set(LimitName.__members__)
    assert names == reached_by_tests()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_limit_says_why_and_what_happens(program: str) -> None:
    for limit in PROGRAMS[program]:
        assert limit.reason
        assert limit.effect
        assert limit.value_text
        assert "|" not in f"{limit.reason}{limit.effect}{limit.value_text}", "it stands in a table"


def test_connections_leave_descriptors_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in ((1024, 768), (1 << 20, (1 << 20) - RESERVED_DESCRIPTORS)):
        monkeypatch.setattr("resource.getrlimit", lambda _what, soft=soft: (soft, soft))
        assert most_connections() == expected
    monkeypatch.setattr("resource.getrlimit", lambda _what: (-1, -1))
    assert most_connections() == MOST_DESCRIPTORS - RESERVED_DESCRIPTORS


# That each program counts in its own metrics


async def test_server_counts_what_unknown_peers_do(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service:
        async with dialled_raw("127.0.0.1", service.rspro_address.port) as peer:
            await peer.write(LONG)
            await peer.read_to_end()
        assert service._metrics.limits[LimitName.FIRST_FRAME] == 1


async def test_bankd_counts_what_unknown_peers_do(tmp_path: Path) -> None:
    async with BankWorld(tmp_path) as bank:
        async with dialled_raw("127.0.0.1", bank.port) as peer:
            await peer.write(LONG)
            await peer.read_to_end()
        assert bank.metrics.limits[LimitName.FIRST_FRAME] == 1
        assert bank.service.coordinator.counts.limits is bank.metrics.limits


@asynccontextmanager
async def running_client(port: int, **settings: object) -> AsyncIterator[tuple[ClientService, ClientMetrics]]:
    """A client of the server at this port."""
    metrics = ClientMetrics()
    values = {"server": HostPort("127.0.0.1", port), "client": "7:0", "plaintext": True} | settings
    spec = SlotSpec(ClientConfig.model_validate(values), DrivenEmulator(), ClientObserver())
    service = ClientService([spec], metrics=metrics)
    try:
        await service.start()
        yield service, metrics
    finally:
        await service.stop()


async def test_client_counts_what_its_server_does() -> None:
    with RawListener() as server:
        server.listen()
        async with running_client(server.port, timers={"connect_s": 0.05}) as (_, metrics):
            silent = await server.accept()
            await silent.read_to_end()
            assert metrics.limits[LimitName.IDENTIFY_TIME] == 1


async def test_client_counts_commands_that_nobody_knows_by_what_became_of_them() -> None:
    with RawListener() as server:
        server.listen()
        async with running_client(server.port) as (service, metrics):
            (slot,) = service.slots
            for is_refused in (True, True, False):
                slot.on_unknown_command(is_refused=is_refused)
            counts = [
                metrics.registry.get_sample_value(
                    "remsim_client_unknown_commands_total", {"client_slot": "C7:0", "action": action}
                )
                for action in ("refused", "received")
            ]
            assert counts == [2, 1]


@reaches(LimitName.SCRIPT_CALLS)
async def test_client_counts_calls_that_a_hanging_script_does_not_get() -> None:
    with RawListener() as server:
        server.listen()
        settings: dict[str, object] = {"event_script": "sleep 60; true", "event_timeout_s": 60}
        async with running_client(server.port, **settings) as (service, metrics):
            (slot,) = service.slots
            assert slot.script is not None
            await asyncio.sleep(0)
            for _ in range(MAX_WAITING + 3):
                slot.script.call(ScriptCause.MODEM_STATUS, {})
            assert metrics.limits[LimitName.SCRIPT_CALLS] == 3
            slot.script._waiting.clear()
            slot.on_limit(LimitName.USB_MESSAGE)
            assert metrics.limits[LimitName.USB_MESSAGE] == 1

# SPDX-License-Identifier: Apache-2.0
"""/health and /ready at the metrics port of each program: the process, and whether it can do its work."""

import json
from pathlib import Path

import httpx2

from remsim.bankd.core.actions import FaultKind
from remsim.bankd.core.states import BreakerState
from remsim.client.core.states import SlotState
from remsim.client.metrics import ClientMetrics
from remsim.config import HostPort
from remsim.metrics import ProgramMetrics, serve_metrics
from remsim.server.metrics import ServerMetrics
from tests.doubles.bank_world import BankWorld
from tests.doubles.readers import ScriptedSource
from tests.doubles.server_rig import running_server


async def asked(metrics: ProgramMetrics, path: str = "/ready") -> tuple[int, object]:
    async with await serve_metrics(HostPort("127.0.0.1", 0), metrics) as server, httpx2.AsyncClient() as http:
        answer = await http.get(f"http://{server.address}{path}")
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, json.loads(answer.text)


def not_ready(*reasons: str) -> tuple[int, object]:
    return 503, {"status": "not ready", "reasons": list(reasons)}


READY = (200, {"status": "ready"})


async def test_health_is_that_of_the_process() -> None:
    for metrics in (ServerMetrics(), ClientMetrics()):
        assert await asked(metrics, "/health") == (200, {"status": "ok"})
        assert (await asked(metrics))[0] == 503


async def test_a_server_is_ready_while_it_listens_and_its_database_takes_changes(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service:
        metrics = service._metrics
        assert await asked(metrics) == READY
        assert service.runtime is not None
        service.runtime.store.is_healthy = False
        assert await asked(metrics) == not_ready("the database did not take the last change")
    assert await asked(metrics) == not_ready(
        "the server is starting or stopping", "the database did not take the last change"
    )


async def test_a_bankd_is_ready_with_a_server_and_a_reader(tmp_path: Path) -> None:
    async with BankWorld(tmp_path) as world:
        assert await asked(world.metrics) == READY
        for place in world.service.coordinator.cards.positions:
            while place.breaker.state is not BreakerState.OPEN:
                place.breaker.on_failure(FaultKind.MUTE, 0.0)
        assert await asked(world.metrics) == not_ready("no reader can be used")
        await world.server.close()
        await world.until(lambda: world.service.coordinator.control.active_server is None)
        assert await asked(world.metrics) == not_ready("no server is connected", "no reader can be used")
        await world.accept_server()
        assert await asked(world.metrics) == not_ready("no reader can be used")


async def test_a_bankd_without_a_reader_is_not_ready(tmp_path: Path) -> None:
    async with BankWorld(tmp_path, source=ScriptedSource()) as world:
        assert await asked(world.metrics) == not_ready("no reader can be used")


async def test_a_client_is_ready_when_all_its_slots_have_their_server() -> None:
    metrics = ClientMetrics()
    assert await asked(metrics) == not_ready("the client is starting")
    metrics.show_slot("C7:0", SlotState.INIT, is_server_connected=True, has_card=False)
    assert await asked(metrics) == READY
    metrics.show_slot("C7:1", SlotState.INIT, is_server_connected=False, has_card=False)
    assert await asked(metrics) == not_ready("C7:1 is not connected to its server")

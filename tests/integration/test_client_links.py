# SPDX-License-Identifier: Apache-2.0
"""The client service on real sockets, against a server and a bankd of the tests' own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

import pytest

from remsim.client.core.notices import Notice, NoticeKind
from remsim.client.core.states import SlotState
from remsim.client.metrics import ClientMetrics
from remsim.client.observer import ClientObserver, CommandRecord
from remsim.client.runner import SlotSpec
from remsim.client.scripting.causes import ScriptCause
from remsim.client.scripting.runner import EventScript
from remsim.client.service import INTERRUPTED, ClientService, Frontend
from remsim.config import LOOPBACK_NETWORKS, ClientConfig, HostPort
from remsim.core.ids import BankSlot, ClientSlot
from remsim.emulators.base import PpsResult
from remsim.emulators.driven import DrivenEmulator, ExchangeError, NoCardError
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode, SlotPhysStatus
from tests.doubles.rspro_peers import ATR, FakeBankd, FakeServer

READ = bytes.fromhex("00b0000002")
OWN_OR_CLASSIC = pytest.mark.parametrize("is_own", [True, False], ids=["own peers", "classic peers"])


def card(tpdu: bytes) -> bytes | None:
    return tpdu[3:4] * 2 + b"\x90\x00"


class Watcher(ClientObserver):
    """Keeps what it is told, and wakes who waits for it."""

    def __init__(self) -> None:
        self.notices: list[NoticeKind] = []
        self.commands: list[CommandRecord] = []
        self._changed = asyncio.Event()

    def on_notice(self, client_slot: ClientSlot | None, notice: Notice) -> None:
        self.notices.append(notice.kind)
        self._changed.set()

    def on_command(self, record: CommandRecord) -> None:
        self.commands.append(record)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def saw(self, kind: NoticeKind) -> None:
        """Wait for the next notice of this kind, and forget all so far."""
        await self.until(lambda: kind in self.notices)
        self.notices.clear()


class Bench:
    """A service with one slot or more that runs while its ``async with`` block lasts."""

    def __init__(
        self,
        server: FakeServer,
        *clients: ClientSlot | None,
        frontend: Frontend | None = None,
        **settings: object,
    ) -> None:
        self.emulators = [DrivenEmulator() for _ in clients]
        self.watchers = [Watcher() for _ in clients]
        self.metrics = ClientMetrics()
        specs = [
            SlotSpec(
                ClientConfig.model_validate(
                    {"server": HostPort("127.0.0.1", server.port), "client": client, "plaintext": True, **settings}
                ),
                emulator,
                watcher,
            )
            for client, emulator, watcher in zip(clients, self.emulators, self.watchers, strict=True)
        ]
        self.service = ClientService(specs, frontend=frontend, metrics=self.metrics)

    @property
    def slot_state(self) -> SlotState:
        return self.service.slots[0].coordinator.state

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"remsim_client_{name}", labels)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Bench"]:
        await self.service.start()
        assert self.service.started.is_set()
        try:
            yield self
        finally:
            await self.service.stop()


@OWN_OR_CLASSIC
async def test_commands_reach_the_card_and_answers_come_back(is_own: bool) -> None:
    async with FakeBankd(card, is_own=is_own) as bankd, FakeServer(is_own=is_own, bankd=bankd) as server:
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            emulator = bench.emulators[0]
            assert await emulator.wait_card(10) == ATR
            assert await emulator.exchange(READ) == b"\x00\x00\x90\x00"
            assert await emulator.exchange(b"\x00\xb0\x00") == b"\x67\x00"
            (message,) = bankd.messages(rspro.TpduModemToCard)
            assert message == rspro.TpduModemToCard(ClientSlot(7, 0), BankSlot(1, 2), rspro.NO_FLAGS, READ)
            records = bench.watchers[0].commands
            assert [(record.tpdu, record.response) for record in records] == [
                (READ, b"\x00\x00\x90\x00"),
                (b"\x00\xb0\x00", b"\x67\x00"),
            ]
            assert all(record.duration_s > 0 and not record.failure for record in records)
            assert bench.metric("tpdus_total", client_slot="C7:0") == 2
            assert bench.metric("slot_state", client_slot="C7:0", state="OPERATIONAL") == 1
            assert bench.metric("card_inserted", client_slot="C7:0") == 1
            assert bench.metric("server_connected", client_slot="C7:0") == 1
            assert bench.service.slots[0].why_no_card() == "bank slot B1:2 has no card, says the bankd"
            status = dict(bench.service.slots[0].status())
            assert status["slot"] == "C7:0, OPERATIONAL"
            assert status["bankd"] == f"CONNECTED 127.0.0.1:{bankd.port}"
            assert status["mapping"] == "B1:2"
        assert bench.slot_state is SlotState.WAIT_BANKD
        assert emulator.atr is None
        await server.until(lambda: not server.links)
        await bankd.until(lambda: not bankd.links)


@OWN_OR_CLASSIC
async def test_resets_reach_the_bankd_as_full_cycles(is_own: bool) -> None:
    """known-limits.md, 81 and 46."""
    async with FakeBankd(card, is_own=is_own) as bankd, FakeServer(is_own=is_own, bankd=bankd) as server:
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            emulator = bench.emulators[0]
            await emulator.wait_card(10)
            await emulator.cold_reset()
            await emulator.warm_reset()
            await emulator.exchange(READ)
            bench.service.slots[0].on_pps(PpsResult(9, 6))
            shown = [
                (message.slot_phys_status.reset_active, message.slot_phys_status.vcc_present)
                for message in bankd.messages(rspro.ClientSlotStatusInd)
                if isinstance(message, rspro.ClientSlotStatusInd)
            ]
            cycles = [(True, False), (False, True), (True, True), (False, True)]
            assert shown == (cycles if is_own else [(False, True), *cycles])
            assert bench.metric("resets_total", client_slot="C7:0", kind="cold") == 1
            assert bench.metric("resets_total", client_slot="C7:0", kind="warm") == 1


async def test_lost_bankd_is_dialled_again_and_the_command_fails() -> None:
    async with FakeBankd(lambda _tpdu: None) as bankd, FakeServer(bankd=bankd) as server:
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            emulator, watcher = bench.emulators[0], bench.watchers[0]
            await watcher.saw(NoticeKind.CARD_INSERTED)
            async with asyncio.TaskGroup() as group:
                failing = group.create_task(_outcome(emulator))
                await bankd.until(lambda: bool(bankd.messages(rspro.TpduModemToCard)))
                bankd.drop()
            assert failing.result().startswith("no answer: link to the bankd lost")
            await watcher.saw(NoticeKind.CARD_INSERTED)
            assert len(bankd.messages(rspro.TpduModemToCard)) == 1
            assert watcher.commands[0].response is None
            assert watcher.commands[0].failure
            assert bench.metric("tpdus_failed_total", client_slot="C7:0") == 1
            assert bench.metric("sessions_total", client_slot="C7:0") == 2


async def _outcome(emulator: DrivenEmulator) -> str:
    try:
        return (await emulator.exchange(READ)).hex()
    except ExchangeError as error:
        return str(error)


async def test_session_survives_the_server() -> None:
    async with FakeBankd(card) as bankd, FakeServer(bankd=bankd) as server:
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            watcher = bench.watchers[0]
            await watcher.saw(NoticeKind.CARD_INSERTED)
            server.drop()
            await watcher.until(lambda: NoticeKind.BANKD_UNCHANGED in watcher.notices)
            assert NoticeKind.CARD_REMOVED not in watcher.notices
            assert len(bankd.messages(rspro.ConnectClientReq)) == 1
            assert await bench.emulators[0].exchange(READ) == b"\x00\x00\x90\x00"


async def test_bankd_taken_away_ends_the_session() -> None:
    async with FakeBankd(card) as bankd, FakeServer(bankd=bankd) as server:
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            await bench.watchers[0].saw(NoticeKind.CARD_INSERTED)
            server.configure(0)
            await bench.watchers[0].saw(NoticeKind.BANKD_TAKEN)
            await bankd.until(lambda: not bankd.links)
            assert await _outcome(bench.emulators[0]) == "no card"
            assert dict(bench.service.slots[0].status())["bankd"] == "DISCONNECTED"


@pytest.mark.parametrize(
    ("is_own", "attempts"), [(True, 1), (False, 2)], ids=["own bankd is waited for", "classic bankd is asked again"]
)
async def test_bankd_without_card_gets_one_later(is_own: bool, attempts: int) -> None:
    async with FakeBankd(card, is_own=is_own) as bankd, FakeServer(bankd=bankd) as server:
        bankd.result = ResultCode.CARD_NOT_PRESENT
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            refused = NoticeKind.BANKD_WAITS if is_own else NoticeKind.BANKD_REFUSED
            await bench.watchers[0].saw(refused)
            assert bench.service.slots[0].why_no_card() == (
                f"bank slot B1:2 has no card, says the bankd at 127.0.0.1:{bankd.port}"
            )
            bankd.result = ResultCode.OK
            if is_own:
                bankd.send(rspro.SetAtrReq(ClientSlot(7, 0), ATR))
            await bench.watchers[0].saw(NoticeKind.CARD_INSERTED)
            assert len(bankd.messages(rspro.ConnectClientReq)) >= attempts
            assert (bench.metric("refusals_total", client_slot="C7:0", by="bankd") or 0) >= 1


async def test_card_pulled_and_inserted_again_is_seen() -> None:
    async with FakeBankd(card) as bankd, FakeServer(bankd=bankd) as server:
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            await bench.watchers[0].saw(NoticeKind.CARD_INSERTED)
            gone = SlotPhysStatus(reset_active=False, card_present=False)
            bankd.send(rspro.BankSlotStatusInd(BankSlot(1, 2), ClientSlot(7, 0), gone))
            await bench.watchers[0].saw(NoticeKind.CARD_REMOVED)
            assert bench.metric("card_inserted", client_slot="C7:0") == 0
            bankd.send(rspro.SetAtrReq(ClientSlot(7, 0), b"\x3b\x00"))
            assert await bench.emulators[0].wait_card(10) == b"\x3b\x00"


async def test_silent_classic_bankd_has_the_default_atr_shown() -> None:
    async with FakeBankd(card, is_own=False) as bankd, FakeServer(bankd=bankd) as server:
        bankd.atr = None
        bench = Bench(server, ClientSlot(7, 0), atr="3b9000")
        async with bench.running():
            assert await bench.emulators[0].wait_card(10) == bytes.fromhex("3b9000")
            assert NoticeKind.ATR_MISSING in bench.watchers[0].notices


async def test_bankd_that_cannot_be_reached_ends_nothing() -> None:
    """known-limits.md, 7: the C client exits when there is no route. Nobody can have a TCP link to this address."""
    async with FakeBankd(card) as bankd, FakeServer() as server:
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            await bench.watchers[0].saw(NoticeKind.SERVER_CONNECTED)
            unreachable = rspro.IpPort(IPv4Address("255.255.255.255"), 9999)
            server.send(rspro.ConfigClientBankReq(server.bank_slot, unreachable))
            await bench.watchers[0].saw(NoticeKind.BANKD_GIVEN)
            assert bench.slot_state is SlotState.WAIT_BANKD
            server.configure(bankd.port)
            assert await bench.emulators[0].wait_card(10) == ATR


async def test_reset_by_the_server_ends_the_session() -> None:
    """known-limits.md, 36."""
    async with FakeBankd(card) as bankd, FakeServer(bankd=bankd) as server:
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            await bench.watchers[0].saw(NoticeKind.CARD_INSERTED)
            server.send(rspro.ResetStateReq())
            await server.until(lambda: bool(server.messages(rspro.ResetStateRes)))
            await bankd.until(lambda: not bankd.links)
            assert bench.slot_state is SlotState.UNCONFIGURED


async def test_watching_is_optional() -> None:
    async with FakeBankd(card) as bankd, FakeServer(bankd=bankd) as server:
        emulator = DrivenEmulator()
        config = ClientConfig(
            server=HostPort("127.0.0.1", server.port), client=ClientSlot(7, 0), plaintext=LOOPBACK_NETWORKS
        )
        service = ClientService([SlotSpec(config, emulator, ClientObserver())])
        await service.start()
        await emulator.wait_card(10)
        assert await emulator.exchange(READ) == b"\x00\x00\x90\x00"
        await service.stop()


async def test_number_is_given_by_an_own_server() -> None:
    async with FakeBankd(card) as bankd, FakeServer(bankd=bankd) as server:
        server.number = ClientSlot(900, 1)
        bench = Bench(server, None)
        async with bench.running():
            await bench.emulators[0].wait_card(10)
            assert bankd.client_slot == ClientSlot(900, 1)
            assert bench.metric("card_inserted", client_slot="C900:1") == 1
            assert bench.metric("card_inserted", client_slot="none") is None


async def test_classic_server_is_not_asked_for_a_number() -> None:
    """known-limits.md, 1: a connectClientReq without clientSlot would end it; it closes on ID_GET instead."""
    async with FakeServer(is_own=False) as server:
        bench = Bench(server, None)
        async with bench.running():
            await bench.watchers[0].saw(NoticeKind.SERVER_REFUSED)
            await bench.watchers[0].saw(NoticeKind.SERVER_REFUSED)
            assert server.received == []
            assert dict(bench.service.slots[0].status())["slot"] == "no number yet, INIT"
            assert bench.service.slots[0].why_no_card() == (
                "the server gives no numbers, so name the client slot (--client ID:SLOT)"
            )


async def test_refusing_server_is_asked_again() -> None:
    async with FakeServer() as server:
        server.result = ResultCode.IDENTITY_IN_USE
        bench = Bench(server, ClientSlot(7, 0))
        async with bench.running():
            await server.until(lambda: len(server.messages(rspro.ConnectClientReq)) >= 2)
            server.result = ResultCode.OK
            await bench.watchers[0].saw(NoticeKind.SERVER_CONNECTED)
            assert (bench.metric("refusals_total", client_slot="C7:0", by="server") or 0) >= 2


async def test_several_slots_share_a_process() -> None:
    """known-limits.md, 82."""
    clients = [ClientSlot(7, number) for number in range(8)]
    async with FakeBankd(card) as bankd, FakeServer(bankd=bankd) as server:
        bench = Bench(server, *clients)
        async with bench.running():
            for emulator in bench.emulators:
                await emulator.wait_card(10)
            for number, emulator in enumerate(bench.emulators):
                tpdu = bytes((0, 0xB0, 0, number, 2))
                assert await emulator.exchange(tpdu) == bytes((number, number)) + b"\x90\x00"
            senders = {
                m.from_client_slot
                for m in bankd.messages(rspro.TpduModemToCard)
                if isinstance(m, rspro.TpduModemToCard)
            }
            assert senders == set(clients)


async def test_front_ends_the_service_with_its_status() -> None:
    async def frontend() -> int:
        return 5

    async with FakeServer() as server:
        bench = Bench(server, ClientSlot(7, 0), frontend=frontend)
        async with bench.running():
            await bench.service.run()
        assert bench.service.exit_status == 5


async def test_error_of_the_front_leaves_run() -> None:
    async with FakeServer() as server:
        bench = Bench(server, ClientSlot(7, 0))

        async def frontend() -> int:
            return len(await bench.emulators[0].wait_card(0.01))

        bench.service._frontend = frontend
        async with bench.running():
            with pytest.raises(NoCardError):
                await bench.service.run()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("has_frontend", [True, False])
async def test_stop_can_be_asked_for_at_any_time(before: bool, has_frontend: bool) -> None:
    is_running = asyncio.Event()

    async def frontend() -> int:
        is_running.set()
        await asyncio.Event().wait()
        return 0

    async with FakeServer() as server:
        bench = Bench(server, ClientSlot(7, 0), frontend=frontend if has_frontend else None)
        async with bench.running():
            if before:
                bench.service.request_stop()
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                group.create_task(bench.service.run())
                if not before and has_frontend:
                    await is_running.wait()
                await asyncio.sleep(0)
                bench.service.request_stop()
                bench.service.request_stop()
        assert bench.service.exit_status == (INTERRUPTED if has_frontend else 0)


async def test_event_script_hears_the_state_of_the_moment_in_which_the_server_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, str]] = []
    async with FakeServer() as server:
        bench = Bench(server, ClientSlot(7, 0), event_script="true")

        def note(_script: EventScript, cause: ScriptCause, variables: Mapping[str, str]) -> None:
            calls.append((cause.value, variables["REMSIM_SERVER_STATE"]))

        monkeypatch.setattr(EventScript, "call", note)
        async with bench.running():
            watcher = bench.watchers[0]
            await watcher.until(lambda: bench.service.slots[0].coordinator.is_server_connected)
            server.drop()
            await watcher.until(lambda: NoticeKind.SERVER_LOST in watcher.notices)
    assert ("event-server-connect", "CONNECTED") in calls
    assert ("event-server-lost", "REESTABLISH_DELAY") in calls

# SPDX-License-Identifier: Apache-2.0
"""The server as a whole on real sockets: starts, stops, speaks RSPRO in both IP versions, dials bankds."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remsim.config import LOOPBACK_NETWORKS, HostPort, ServerConfig
from remsim.core.episode import RECURRENCES
from remsim.core.errors import StartError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.logs import get_logger
from remsim.net.connections import ConnectionManager
from remsim.net.runtime.tasks import TaskOwner
from remsim.server.metrics import ServerMetrics
from remsim.server.service import ServerService
from remsim.wire.link.actions import LinkId, PeerAddress, Send
from remsim.wire.link.engine import Event, LinkEngine, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ResultCode, SlotPhysStatus
from tests.doubles.server_rig import (
    LOOPBACK,
    V1,
    RigPeer,
    connect_bank,
    connect_client,
    post,
    rest_client,
    running_server,
)
from tests.doubles.tls_rig import note_log


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path) as running:
        yield running


async def delete(service: ServerService, number: int) -> None:
    async with rest_client(service, over_socket=False) as rest:
        assert (await rest.delete(f"{V1}/slotmaps/{number}")).status_code == 200


async def test_both_ip_versions_by_default(tmp_path: Path) -> None:
    async with running_server(tmp_path, rspro=HostPort("", 0), rest=HostPort("", 0), rest_open=False) as service:
        for host in ("127.0.0.1", "::1"):
            peer = await RigPeer(ComponentType.REMSIM_CLIENT).dial(HostPort(host, service.rspro_address.port))
            async with peer:
                request = rspro.ConnectClientReq(peer.identity, ClientSlot(7, 4 if host == "::1" else 6))
                assert await peer.introduce(request) is ResultCode.OK
            reader, writer = await asyncio.open_connection(host, service.rest_address.port)
            writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()


async def test_ipv4_bankd_on_the_dual_socket_is_announced_as_ipv4(tmp_path: Path) -> None:
    async with running_server(tmp_path, rspro=HostPort("", 0)) as service:
        service.rspro_address = HostPort("127.0.0.1", service.rspro_address.port)
        async with await connect_bank(service, 1) as bank, await connect_client(service, 7) as client:
            await post(service, (1, 0), (7, 0))
            await bank.expect(rspro.CreateMappingReq)
            bank.send(rspro.CreateMappingRes(ResultCode.OK), bank.tag)
            assert str((await client.expect(rspro.ConfigClientBankReq)).bankd.ip) == "127.0.0.1"


async def test_operator_says_where_a_bank_is(tmp_path: Path) -> None:
    banks = {1: {"advertise": "localhost:7000"}}
    async with (
        running_server(tmp_path, banks=banks) as service,
        await connect_bank(service, 1) as bank,
        await connect_client(service, 7) as client,
    ):
        await post(service, (1, 0), (7, 0))
        await bank.expect(rspro.CreateMappingReq)
        bank.send(rspro.CreateMappingRes(ResultCode.OK), bank.tag)
        told = (await client.expect(rspro.ConfigClientBankReq)).bankd
        assert (str(told.ip), told.port) == ("127.0.0.1", 7000)


async def test_answers_carry_the_tag_and_abilities_only_for_our_own_peers(service: ServerService) -> None:
    for is_own in (False, True):
        async with await RigPeer(ComponentType.REMSIM_CLIENT, is_own=is_own).dial(service.rspro_address) as peer:
            peer.send(rspro.ConnectClientReq(peer.identity, ClientSlot(7, int(is_own))))
            answer = await peer.expect(rspro.ConnectClientRes)
            assert (answer.identity.abilities is not None) is is_own
            assert answer.identity.software == "remsim-server"
            assert peer.tag == 1


async def test_dead_holder_of_an_identity_is_replaced(tmp_path: Path) -> None:
    async with running_server(tmp_path, timers={"takeover_s": 0.05}) as service, await connect_client(service, 7):
        # The first client reads nothing any more, so it answers no PING.
        newcomer = await connect_client(service, 7)
        await newcomer.close()


async def test_living_holder_of_an_identity_keeps_it(service: ServerService) -> None:
    async with await connect_client(service, 7) as holder:
        async with await RigPeer(ComponentType.REMSIM_CLIENT).dial(service.rspro_address) as newcomer:
            newcomer.send(rspro.ConnectClientReq(newcomer.identity, ClientSlot(7, 0)))
            listening = asyncio.ensure_future(holder.receive())  # noqa: TID251  # ended two lines below
            answer = await newcomer.expect(rspro.ConnectClientRes)
            assert answer.result is ResultCode.IDENTITY_IN_USE
            assert await newcomer.receive() is None, "closed after a second"
            listening.cancel()


async def test_peer_that_does_not_introduce_itself_is_closed(tmp_path: Path) -> None:
    async with running_server(tmp_path, timers={"identify_s": 0.05}) as service:
        async with await RigPeer(ComponentType.REMSIM_CLIENT).dial(service.rspro_address) as peer:
            assert await peer.receive() is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes.fromhex("0000fe"),
        bytes.fromhex("0000ee"),
        bytes.fromhex("0001ff00"),
        b"\xff" * 4,
    ],
)
async def test_peer_that_speaks_something_else_is_closed_and_others_live(
    service: ServerService, garbage: bytes
) -> None:
    async with await connect_client(service, 7) as client:
        async with await RigPeer(ComponentType.REMSIM_CLIENT).dial(service.rspro_address) as peer:
            peer.write(garbage)
            if garbage == b"\xff" * 4:
                await peer.close()
            else:
                assert await peer.receive() is None
        async with await connect_client(service, 8):
            pass
        assert not client.engine.next_event()


async def test_frame_of_a_connect_request_out_of_range_is_refused(service: ServerService) -> None:
    good = bytes.fromhex("3006020101020100")
    bad = bytes.fromhex("300702020500020100")
    async with await RigPeer(ComponentType.REMSIM_CLIENT).dial(service.rspro_address) as peer:
        peer.engine.send(rspro.ConnectClientReq(peer.identity, ClientSlot(1, 0)), now=0.0)
        frame = peer.engine.data_to_send().replace(good, bad)
        # One byte more in each enclosing length: IPA, PDU, msg, connectClientReq.
        longer = bytearray(frame)
        for at in (1, 5, 13, 15):
            longer[at] += 1
        peer.write(bytes(longer))
        assert (await peer.expect(rspro.ConnectClientRes)).result is ResultCode.ILLEGAL_CLIENT_ID
        assert await peer.receive() is None


async def test_clients_and_bankds_find_everything_again_after_a_restart(tmp_path: Path) -> None:
    async with running_server(tmp_path) as first, await connect_bank(first, 1) as bank:
        for slot in (0, 1, 2):
            await post(first, (1, slot), (7, slot))
            await bank.expect(rspro.CreateMappingReq)
            bank.send(rspro.CreateMappingRes(ResultCode.OK), bank.tag)
        await delete(first, 65536)
        await bank.expect(rspro.RemoveMappingReq)
    async with running_server(tmp_path) as second:
        await delete(second, 65537)
        async with await connect_client(second, 7, 2) as client:
            # The bankd is not back yet, but the client is told where it was.
            told = await client.expect(rspro.ConfigClientBankReq)
            assert (told.bank_slot, told.bankd.port) == (BankSlot(1, 2), 9999)
        async with await connect_client(second, 7, 1) as client:
            assert (await client.expect(rspro.ConfigClientBankReq)).bankd.port == 0
        async with await connect_bank(second, 1) as bank:
            removed = [(await bank.expect(rspro.RemoveMappingReq)).bank.slot_nr for _ in range(2)]
            assert removed == [0, 1]
            assert (await bank.expect(rspro.CreateMappingReq)).bank.slot_nr == 2
        async with rest_client(second, over_socket=False) as rest:
            assert (await rest.get(f"{V1}/restart-counter")).json() == {"restart-counter": 2}


async def test_client_without_number_gets_one_and_keeps_it(tmp_path: Path) -> None:
    for _ in range(2):
        async with running_server(tmp_path, client_id_pool=(900, 901)) as service:
            async with await RigPeer(ComponentType.REMSIM_CLIENT, is_own=True).dial(service.rspro_address) as peer:
                # Our clients ask who the server is before they dare to do this; a server of ours always answers.
                peer.engine.peer = ComponentType.REMSIM_CLIENT
                peer.engine.receive_data(bytes.fromhex("0001fe05"), 0.0)
                peer.engine.next_event()
                peer.send(rspro.ConnectClientReq(peer.identity))
                assert (await peer.expect(rspro.ConnectClientRes)).result is ResultCode.OK
                assert (await peer.expect(rspro.ConfigClientIdReq)).client_slot == ClientSlot(900, 0)
                peer.send(rspro.ConfigClientIdRes(ResultCode.OK), peer.tag)
                async with rest_client(service, over_socket=True) as rest, asyncio.timeout(20):
                    while (await rest.get(f"{V1}/clients/900")).status_code != 200:
                        continue


class DialledBankd:
    """A bankd of ours that cannot dial out: it waits for its server."""

    manager: ConnectionManager

    def __init__(self) -> None:
        self.identity = ComponentIdentity(ComponentType.REMSIM_BANKD, "bankd", "remsim-rig", "1")
        self.received: asyncio.Queue[rspro.Message] = asyncio.Queue()

    def connection(self, now: float) -> LinkEngine:
        return LinkEngine(identity=self.identity, peer=ComponentType.REMSIM_SERVER, now=now)

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        self.link = link

    def on_event(self, link: LinkId, event: Event) -> None:
        assert isinstance(event, Received), event
        self.received.put_nowait(event.message)
        if isinstance(event.message, rspro.ConnectClientReq):
            self.manager.execute(Send(link, rspro.ConnectBankReq(self.identity, 1, 4)))

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        return


async def test_bankd_that_cannot_dial_is_dialled(tmp_path: Path) -> None:
    bankd = DialledBankd()
    async with TaskOwner("test", log=get_logger("test")) as tasks:
        bankd.manager = ConnectionManager(bankd, tasks=tasks, log=get_logger("test"))
        listener = await bankd.manager.listen(LOOPBACK, bankd.connection)
        async with running_server(tmp_path, dial_bank=(listener.addresses[0],)) as service:
            async with asyncio.timeout(20), await connect_client(service, 7) as client:
                await post(service, (1, 0), (7, 0))
                request = await bankd.received.get()
                assert isinstance(request, rspro.ConnectClientReq)
                assert (request.identity.type, request.client_slot) == (ComponentType.REMSIM_SERVER, None)
                assert isinstance(await bankd.received.get(), rspro.ConnectBankRes)
                assert isinstance(await bankd.received.get(), rspro.CreateMappingReq)
                async with rest_client(service, over_socket=False) as rest:
                    (shown,) = (await rest.get(f"{V1}/banks?more=true")).json()["banks"]
                assert shown["clientsGoTo"] == [{"ip": "127.0.0.1", "port": listener.port}]
                status = SlotPhysStatus(reset_active=False, card_present=True)
                bankd.manager.execute(
                    Send(bankd.link, rspro.BankSlotStatusInd(BankSlot(1, 2), ClientSlot(0, 0), status))
                )
                assert not client.engine.next_event()
        await bankd.manager.close()
        tasks.cancel()


async def test_metrics_show_peers_and_mappings(tmp_path: Path) -> None:
    metrics = ServerMetrics()
    service = ServerService(
        ServerConfig(rspro=LOOPBACK, rest=LOOPBACK, rest_open=True, plaintext=LOOPBACK_NETWORKS, state_dir=tmp_path),
        metrics,
    )
    try:
        await service.start()
        async with await connect_client(service, 7), await connect_bank(service, 1):
            await post(service, (2, 0), (8, 0))

            def value(name: str, **labels: str) -> float | None:
                return metrics.registry.get_sample_value(f"remsim_server_{name}", labels)

            assert (value("connections"), value("clients"), value("banks")) == (2, 1, 1)
            assert value("mappings", state="NEW") == 1
            assert value("events_total", event="client_connected") == 1
            assert value("rest_requests_total", method="POST", status="201") == 1
    finally:
        service.request_stop()
        await service.run()
        await service.stop()


async def test_port_in_use_is_a_start_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = HostPort("127.0.0.1", taken.getsockname()[1])
        for key in ("rspro", "rest"):
            with pytest.raises(StartError, match="is in use") as caught:
                async with running_server(tmp_path, **{key: address}):
                    pytest.fail("it started")
            assert caught.value.hint
    async with running_server(tmp_path):
        pass


async def test_second_server_on_the_same_state_is_refused(tmp_path: Path) -> None:
    async with running_server(tmp_path):
        with pytest.raises(StartError, match=r"the state directory .* is in use by another program \(pid"):
            async with running_server(tmp_path):
                pytest.fail("it started")


async def test_state_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="cannot write to the state directory"):
        async with running_server(tmp_path / "file"):
            pytest.fail("it started")


async def test_bank_address_that_does_not_resolve_is_refused(tmp_path: Path) -> None:
    banks = {1: {"advertise": "no-such-host.invalid:1"}}
    with pytest.raises(StartError, match="address of bank 1"):
        async with running_server(tmp_path, banks=banks):
            pytest.fail("it started")


async def test_program_that_is_refused_and_never_stops_trying_leaves_few_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remsim.core.episode.QUIET_S", 1.0)
    log = note_log()
    async with running_server(tmp_path) as service:
        for _ in range(30):
            async with await RigPeer(ComponentType.REMSIM_BANKD, is_own=False).dial(service.rspro_address) as peer:
                peer.send(rspro.ConnectClientReq(peer.identity, ClientSlot(7, 0)))
                answer = await peer.expect(rspro.ConnectClientRes)
                assert answer.result is ResultCode.ILLEGAL_CLIENT_ID
        ended = await log.line_with("lines_recurred")
    assert "peer_refused 30" in ended
    lines = log.getvalue().splitlines()
    assert sum("peer_refused" in line for line in lines) == RECURRENCES + 2, "with the two that tell of the rest"
    assert sum("lines_recur " in line for line in lines) == 1

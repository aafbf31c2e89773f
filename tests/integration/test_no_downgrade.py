# SPDX-License-Identifier: Apache-2.0
"""An identity with a certificate is refused without it: at a bankd, after its restart, in mid-run, and dialling."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.bankd.certified_store import NAME
from remsim.bankd.service import BankdService
from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import ClientConfig, HostPort
from remsim.core.ids import ClientSlot
from remsim.emulators.driven import DrivenEmulator
from remsim.pki.authority import Authority
from remsim.pki.credentials import Credentials
from remsim.server.authority import monitor
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, ResultCode
from tests.doubles.certificates import BANK, CLIENT, SERVER, CertificateWorld
from tests.doubles.server_rig import post
from tests.doubles.tls_rig import (
    LOOPBACK,
    PATIENCE_S,
    TlsPeer,
    all_peers,
    bankd_service,
    note_log,
    running,
    server_service,
)

C23, C24 = ClientSlot(23, 0), ClientSlot(24, 0)
REFUSED = "a certificate was issued to C23:0: plain TCP is refused"
#: Nobody listens there.
NOWHERE = HostPort("127.0.0.1", 1)


@pytest.fixture
def ca(tmp_path: Path) -> CertificateWorld:
    """An authority beside a server whose state directory is ``server``."""
    made = CertificateWorld(tmp_path / "lab")
    (tmp_path / "server").mkdir(mode=0o700)
    (made.directory / "ca").rename(tmp_path / "server" / "ca")
    made.authority = Authority(tmp_path / "server" / "ca")
    return made


@pytest.fixture(autouse=True)
async def _nobody_left() -> AsyncIterator[None]:
    async with all_peers():
        yield


def bankd(state: Path, credentials: Credentials, server: HostPort) -> BankdService:
    """A bankd that takes plain TCP at a port of its own."""
    return bankd_service(state, credentials, server, listen_plaintext=LOOPBACK)


async def plain_client(service: BankdService, slot: ClientSlot = C23) -> TlsPeer:
    """A client that says who it is over plain TCP."""
    assert service.plain_listener is not None
    peer = await TlsPeer(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD).dial(
        service.plain_listener.addresses[0], None
    )
    peer.send(rspro.ConnectClientReq(peer.identity, slot))
    return peer


async def result(peer: TlsPeer) -> ResultCode:
    said = await peer.receive()
    assert isinstance(said, rspro.ConnectClientRes), said
    return said.result


class TestAtTheBankd:
    async def test_restarted_bankd_whose_server_is_away_still_refuses(
        self, ca: CertificateWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client has never been at this bankd; a restart of the bankd must not open the door to who poses as it."""
        # What the server knows at its start, it tells each bankd that connects, without looking again.
        monkeypatch.setattr(monitor, "CHECK_INTERVAL_S", 3600.0)
        ca.credentials(CLIENT)
        own = ca.credentials(BANK)
        log = note_log()
        server = server_service(tmp_path / "server", ca.credentials(SERVER))
        async with running(server), running(bankd(tmp_path / "bank", own, server.rspro_address)):
            await log.line_with("bankd certified_list", "clients=1")
        log = note_log()
        service = bankd(tmp_path / "bank", own, NOWHERE)
        async with running(service):
            posing = await plain_client(service)
            assert await result(posing) is ResultCode.ILLEGAL_CLIENT_ID
            assert await posing.wait_closed() == "closed"
            await log.line_with("client_refused", "claims=C23:0", f'reason="{REFUSED}"')
            assert service.coordinator.counts.impostors == 1
            assert await result(await plain_client(service, C24)) is ResultCode.UNKNOWN_SLOTMAP

    async def test_client_that_was_seen_with_a_certificate_is_known_after_a_restart(
        self, ca: CertificateWorld, tmp_path: Path
    ) -> None:
        own, client = ca.credentials(BANK), ca.credentials(CLIENT)
        service = bankd(tmp_path / "bank", own, NOWHERE)
        async with running(service):
            assert service.listener is not None
            peer = await TlsPeer(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD).dial(
                service.listener.addresses[0], client
            )
            peer.send(rspro.ConnectClientReq(peer.identity, C23))
            assert await result(peer) is ResultCode.UNKNOWN_SLOTMAP
        again = bankd(tmp_path / "bank", own, NOWHERE)
        async with running(again):
            assert await result(await plain_client(again)) is ResultCode.ILLEGAL_CLIENT_ID

    async def test_list_that_is_damaged_refuses_plain_tcp_until_a_server_tells_it_again(
        self, ca: CertificateWorld, tmp_path: Path
    ) -> None:
        own = ca.credentials(BANK)
        (tmp_path / "bank").mkdir(mode=0o700)
        (tmp_path / "bank" / NAME).write_text('{"version": 1, "clients": ["client/2')
        log = note_log()
        service = bankd(tmp_path / "bank", own, NOWHERE)
        async with running(service):
            await log.line_with("error", "certified_list_unreadable", NAME)
            assert await result(await plain_client(service, C24)) is ResultCode.ILLEGAL_CLIENT_ID
            await log.line_with("client_refused", "nobody knows who has a certificate: plain TCP is refused")
        server = server_service(tmp_path / "server", ca.credentials(SERVER))
        async with running(server):
            service = bankd(tmp_path / "bank", own, server.rspro_address)
            async with running(service):
                await log.line_with("certified_list_restored")
                assert await result(await plain_client(service, C24)) is ResultCode.UNKNOWN_SLOTMAP
        assert '"clients": []' in (tmp_path / "bank" / NAME).read_text()

    async def test_certificate_that_is_issued_meanwhile_ends_the_plain_session(
        self, ca: CertificateWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(monitor, "CHECK_INTERVAL_S", 0.05)
        own, log = ca.credentials(BANK), note_log()
        server = server_service(tmp_path / "server", ca.credentials(SERVER))
        async with running(server):
            service = bankd(tmp_path / "bank", own, server.rspro_address)
            async with running(service):
                await log.line_with("bankd server_connected")
                client, other = await plain_client(service), await plain_client(service, C24)
                assert await result(client) is ResultCode.UNKNOWN_SLOTMAP
                assert await result(other) is ResultCode.UNKNOWN_SLOTMAP
                ca.credentials(CLIENT)
                assert await client.wait_closed() == "closed"
                await log.line_with("plain_session_ended", f'reason="{REFUSED}"')
                assert len(service.coordinator.clients.connections) == 1


class PlainListener:
    """A port for plain TCP. Notes how each connection begins, and closes it."""

    def __init__(self) -> None:
        self._begins: asyncio.Queue[bytes] = asyncio.Queue()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[HostPort]:
        """Listen while the block lasts."""
        server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        async with server:
            yield HostPort("127.0.0.1", server.sockets[0].getsockname()[1])

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begins.put_nowait(await reader.read(65536))
        writer.close()

    async def begins(self) -> bytes:
        """How the next connection begins."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._begins.get()


def is_tls(begin: bytes) -> bool:
    """RFC 8446, clause 5.1: a handshake record, and in it a ClientHello."""
    return begin[:2] == b"\x16\x03" and begin[5:6] == b"\x01"


@asynccontextmanager
async def certified_client(credentials: Credentials, server: HostPort) -> AsyncIterator[None]:
    """A client with a certificate, although plain TCP is allowed to it, too."""
    config = ClientConfig.model_validate(
        {"server": server, "client": C23, "tls_dir": credentials.directory, "plaintext": True}
    )
    async with running(ClientService([SlotSpec(config, DrivenEmulator(), ClientObserver())])):
        yield


class TestAtTheClient:
    async def test_server_at_a_plain_port_is_dialled_over_tls_again_and_again(self, ca: CertificateWorld) -> None:
        listener, log = PlainListener(), note_log()
        async with listener.open() as address, certified_client(ca.credentials(CLIENT), address):
            assert [is_tls(await listener.begins()) for _ in range(3)] == [True] * 3
            await log.line_with("link_failed")

    async def test_bankd_at_a_plain_port_is_dialled_over_tls_again_and_again(
        self, ca: CertificateWorld, tmp_path: Path
    ) -> None:
        listener, log = PlainListener(), note_log()
        async with listener.open() as address:
            # Wherever bank 1 is, clients are sent there.
            banks = {"1": {"advertise": address}}
            server = server_service(tmp_path / "server", ca.credentials(SERVER), banks=banks)
            async with (
                running(server),
                running(bankd(tmp_path / "bank", ca.credentials(BANK), server.rspro_address)),
            ):
                await log.line_with("bankd server_connected")
                await post(server, (1, 0), (23, 0))
                async with certified_client(ca.credentials(CLIENT), server.rspro_address):
                    assert [is_tls(await listener.begins()) for _ in range(3)] == [True] * 3
                    await log.line_with("link_failed", str(address))

# SPDX-License-Identifier: Apache-2.0
"""Somebody else's place: each attempt on real sockets, with what the peer is told and what the log says."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.core.identity import Identity
from remsim.core.ids import ClientSlot
from remsim.net.runtime import certificates
from remsim.pki.credentials import Credentials
from remsim.server.service import ServerService
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, ResultCode
from tests.doubles.certificates import BANK, CLIENT, DAY_S, SERVER, CertificateWorld
from tests.doubles.rspro_peers import FakeBankd, FakeServer
from tests.doubles.tls_rig import (
    LogLines,
    TlsPeer,
    all_peers,
    bankd_service,
    client_service,
    note_log,
    running,
    server_service,
)

C23 = ClientSlot(23, 0)
CLIENT_ROLE, BANKD_ROLE, SERVER_ROLE = (
    ComponentType.REMSIM_CLIENT,
    ComponentType.REMSIM_BANKD,
    ComponentType.REMSIM_SERVER,
)


@pytest.fixture
def ca(tmp_path: Path) -> CertificateWorld:
    """An authority of our own."""
    return CertificateWorld(tmp_path / "lab")


@pytest.fixture(autouse=True)
async def _nobody_left() -> AsyncIterator[None]:
    async with all_peers():
        yield


class World:
    """A server with a certificate, and its log."""

    def __init__(self, server: ServerService, log: LogLines) -> None:
        self.server = server
        self.log = log

    async def client(self, credentials: Credentials | None, *, slot: ClientSlot = C23) -> TlsPeer:
        """Somebody who says that he is this client."""
        peer = await TlsPeer(CLIENT_ROLE, SERVER_ROLE).dial(self.server.rspro_address, credentials)
        peer.send(rspro.ConnectClientReq(peer.identity, slot))
        return peer

    async def bank(self, credentials: Credentials | None, *, number: int = 1) -> TlsPeer:
        """Somebody who says that he is this bank."""
        peer = await TlsPeer(BANKD_ROLE, SERVER_ROLE).dial(self.server.rspro_address, credentials)
        peer.send(rspro.ConnectBankReq(peer.identity, number, 8))
        return peer


@asynccontextmanager
async def world(ca: CertificateWorld, tmp_path: Path, **settings: object) -> AsyncIterator[World]:
    """A running server."""
    log = note_log()
    service = server_service(tmp_path / "server", ca.credentials(SERVER), **settings)
    async with running(service):
        yield World(service, log)


async def answer(peer: TlsPeer) -> ResultCode:
    said = await peer.receive()
    assert isinstance(said, rspro.ConnectClientRes | rspro.ConnectBankRes), said
    return said.result


NOT_GOOD = pytest.mark.parametrize(
    ("case", "told", "logged"),
    [
        ("expired", "the peer refuses our certificate: it has expired", "certificate is refused: it has expired"),
        ("revoked", "the peer refuses our certificate: it is revoked", "certificate is refused: it is revoked"),
        (
            "foreign",
            "the peer refuses our certificate: it does not trust our authority",
            "certificate is refused: it is of an authority that we do not trust",
        ),
        (
            "self-signed",
            "the peer refuses our certificate: it does not trust our authority",
            "certificate is refused: it is self-signed",
        ),
    ],
)


def not_good(case: str, ca: CertificateWorld, tmp_path: Path) -> Credentials:
    """The client's credentials with what ``case`` says wrong about them."""
    if case == "self-signed":
        return ca.self_signed(CLIENT)
    if case == "foreign":
        return CertificateWorld(tmp_path / "other", name="other").credentials(CLIENT)
    credentials = ca.credentials(CLIENT, now=ca.now - 200 * DAY_S if case == "expired" else None)
    if case == "revoked":
        ca.revoke(credentials)
    return credentials


class TestAtTheServer:
    async def test_rightful_peers_are_let_in(self, ca: CertificateWorld, tmp_path: Path) -> None:
        async with world(ca, tmp_path) as there:
            assert await answer(await there.client(ca.credentials(CLIENT))) is ResultCode.OK
            assert await answer(await there.bank(ca.credentials(BANK))) is ResultCode.OK

    async def test_number_that_the_certificate_does_not_name(self, ca: CertificateWorld, tmp_path: Path) -> None:
        async with world(ca, tmp_path) as there:
            client = await there.client(ca.credentials(CLIENT), slot=ClientSlot(24, 0))
            assert await answer(client) is ResultCode.ILLEGAL_CLIENT_ID
            assert await client.wait_closed() == "closed"
            await there.log.line_with("peer_refused", "its certificate is for client/23, not for C24:0")
            bank = await there.bank(ca.credentials(BANK), number=2)
            assert await answer(bank) is ResultCode.ILLEGAL_BANK_ID
            await there.log.line_with("peer_refused", "its certificate is for bank/1, not for B2:0")

    async def test_slot_beside_the_one_that_the_certificate_names(self, ca: CertificateWorld, tmp_path: Path) -> None:
        async with world(ca, tmp_path) as there:
            own = ca.credentials(Identity.client(23, 0))
            assert await answer(await there.client(own, slot=ClientSlot(23, 1))) is ResultCode.ILLEGAL_CLIENT_ID
            await there.log.line_with("its certificate is for client/23/0, not for C23:1")

    async def test_client_that_says_it_is_a_bank(self, ca: CertificateWorld, tmp_path: Path) -> None:
        async with world(ca, tmp_path) as there:
            posing = await there.bank(ca.credentials(Identity.client(1)))
            assert await answer(posing) is ResultCode.ILLEGAL_BANK_ID
            await there.log.line_with("its certificate is for client/1, not for B1:0")

    async def test_number_comes_from_the_certificate_if_the_client_names_none(
        self, ca: CertificateWorld, tmp_path: Path
    ) -> None:
        async with world(ca, tmp_path) as there:
            peer = await TlsPeer(CLIENT_ROLE, SERVER_ROLE).dial(there.server.rspro_address, ca.credentials(CLIENT))
            peer.send_unsafe(rspro.ConnectClientReq(peer.identity, None))
            assert await answer(peer) is ResultCode.OK
            assert await peer.receive() == rspro.ConfigClientIdReq(C23)

    @NOT_GOOD
    async def test_certificate_that_is_not_good(
        self, ca: CertificateWorld, tmp_path: Path, case: str, told: str, logged: str
    ) -> None:
        credentials = not_good(case, ca, tmp_path)
        async with world(ca, tmp_path) as there:
            assert await (await there.client(credentials)).receive() == told
            await there.log.line_with("server tls_refused", logged)

    async def test_another_server_is_neither_client_nor_bank(self, ca: CertificateWorld, tmp_path: Path) -> None:
        async with world(ca, tmp_path) as there:
            posing = await there.client(ca.credentials(Identity.server("other")))
            assert await posing.receive() == "closed"
            await there.log.line_with("tls_refused", "the peer is server/other, no bank or client")

    async def test_plain_tcp_at_a_port_for_tls(self, ca: CertificateWorld, tmp_path: Path) -> None:
        async with world(ca, tmp_path) as there:
            assert await (await there.client(None)).receive() == "closed"
            await there.log.line_with("tls_refused", "the peer does not speak TLS")


class TestWithoutTls:
    async def test_number_with_a_certificate_is_not_had_without(self, ca: CertificateWorld, tmp_path: Path) -> None:
        """The server has the authority beside it, so it knows whom certificates were issued to."""
        ca.credentials(CLIENT)
        ca.credentials(BANK)
        (tmp_path / "server").mkdir(mode=0o700)
        (ca.directory / "ca").rename(tmp_path / "server" / "ca")
        log = note_log()
        ca.authority = type(ca.authority)(tmp_path / "server" / "ca")
        service = server_service(tmp_path / "server", ca.credentials(SERVER), listen_plaintext="127.0.0.1:0")
        async with running(service):
            address = service.plaintext_address
            assert address is not None
            client = await TlsPeer(CLIENT_ROLE, SERVER_ROLE).dial(address, None)
            client.send(rspro.ConnectClientReq(client.identity, C23))
            assert await answer(client) is ResultCode.ILLEGAL_CLIENT_ID
            await log.line_with("peer_refused", "a certificate was issued to client/23/0: plain TCP is refused")
            bank = await TlsPeer(BANKD_ROLE, SERVER_ROLE).dial(address, None)
            bank.send(rspro.ConnectBankReq(bank.identity, 1, 8))
            assert await answer(bank) is ResultCode.ILLEGAL_BANK_ID
            peer = await TlsPeer(CLIENT_ROLE, SERVER_ROLE).dial(address, None)
            peer.send(rspro.ConnectClientReq(peer.identity, ClientSlot(99, 0)))
            assert await answer(peer) is ResultCode.OK

    async def test_source_outside_the_networks_is_closed_and_named_once(self, tmp_path: Path) -> None:
        log = note_log()
        service = server_service(tmp_path / "server", None, plaintext="192.0.2.0/24")
        async with running(service):
            for _ in range(3):
                peer = await TlsPeer(CLIENT_ROLE, SERVER_ROLE).dial(service.rspro_address, None)
                assert await peer.receive() == "closed"
        assert log.getvalue().count("plaintext_refused") == 1
        await log.line_with("warning", "server plaintext ", "neither encrypted nor authenticated")

    async def test_program_without_certificate_does_not_start(self, tmp_path: Path) -> None:
        service = server_service(tmp_path / "server", None)
        with pytest.raises(StartError, match="RSPRO over plain TCP is not allowed") as caught:
            await service.start()
        assert "--plaintext" in caught.value.hint

    async def test_certificate_of_another_role_or_number_does_not_start(
        self, ca: CertificateWorld, tmp_path: Path
    ) -> None:
        with pytest.raises(StartError, match="is for bank/1, not for a server"):
            await server_service(tmp_path / "server", ca.credentials(BANK)).start()
        with pytest.raises(StartError, match="is for bank/2, not for bank/1"):
            bankd_service(tmp_path / "b", ca.credentials(Identity.bank(2)), HostPort("127.0.0.1", 1))


class TestAtTheBankd:
    @NOT_GOOD
    async def test_certificate_that_is_not_good(
        self, ca: CertificateWorld, tmp_path: Path, case: str, told: str, logged: str
    ) -> None:
        credentials = not_good(case, ca, tmp_path)
        async with world(ca, tmp_path) as there:
            bankd = bankd_service(tmp_path / "bank", ca.credentials(BANK), there.server.rspro_address)
            async with running(bankd):
                assert bankd.listener is not None
                peer = await TlsPeer(CLIENT_ROLE, BANKD_ROLE).dial(bankd.listener.addresses[0], credentials)
                peer.send(rspro.ConnectClientReq(peer.identity, C23))
                assert await peer.receive() == told
                await there.log.line_with("bankd tls_refused", logged)

    async def test_client_with_a_certificate_for_another(self, ca: CertificateWorld, tmp_path: Path) -> None:
        async with world(ca, tmp_path) as there:
            bankd = bankd_service(tmp_path / "bank", ca.credentials(BANK), there.server.rspro_address)
            async with running(bankd):
                assert bankd.listener is not None
                address = bankd.listener.addresses[0]
                peer = await TlsPeer(CLIENT_ROLE, BANKD_ROLE).dial(address, ca.credentials(CLIENT))
                peer.send(rspro.ConnectClientReq(peer.identity, ClientSlot(24, 0)))
                assert await answer(peer) is ResultCode.ILLEGAL_CLIENT_ID
                await there.log.line_with("client_refused", "its certificate is for client/23, not for C24:0")
                assert bankd.coordinator.counts.impostors == 1

    async def test_bank_is_no_client_and_a_client_no_server(self, ca: CertificateWorld, tmp_path: Path) -> None:
        async with world(ca, tmp_path) as there:
            bankd = bankd_service(tmp_path / "bank", ca.credentials(BANK), there.server.rspro_address)
            async with running(bankd):
                assert bankd.listener is not None
                address = bankd.listener.addresses[0]
                other = ca.credentials(Identity.bank(2))
                assert await (await TlsPeer(CLIENT_ROLE, BANKD_ROLE).dial(address, other)).receive() == "closed"
                await there.log.line_with("tls_refused", "the peer is bank/2, no client or server")
                posing = await TlsPeer(SERVER_ROLE, BANKD_ROLE).dial(address, ca.credentials(CLIENT))
                posing.send_unsafe(rspro.ConnectClientReq(posing.identity, None))
                assert await answer(posing) is ResultCode.ILLEGAL_CLIENT_ID

    async def test_bankd_does_not_serve_a_server_without_the_certificate_of_one(
        self, ca: CertificateWorld, tmp_path: Path
    ) -> None:
        log = note_log()
        posing = bankd_service(
            tmp_path / "posing", ca.credentials(Identity.bank(2)), HostPort("127.0.0.1", 1), bank_id=2
        )
        async with running(posing):
            assert posing.listener is not None
            there = posing.listener.addresses[0]
            async with running(bankd_service(tmp_path / "bank", ca.credentials(BANK), there)):
                await log.line_with("link_failed", "the peer is bank/2, no server")


def nobodys_card(_tpdu: bytes) -> bytes | None:
    raise AssertionError("a command reached a bankd that is not the right one")


class TestAtTheClient:
    @pytest.mark.parametrize(
        ("whose", "logged"),
        [
            (Identity.bank(2), "the peer is bank/2, not bank/1"),
            (SERVER, "the peer is server/lab, not bank/1"),
        ],
    )
    async def test_bankd_of_another_bank_than_the_server_named(
        self, ca: CertificateWorld, whose: Identity, logged: str
    ) -> None:
        async with (
            FakeBankd(nobodys_card, tls=ca.tls(whose)) as bankd,
            FakeServer(bankd=bankd, tls=ca.tls(SERVER)) as server,
        ):
            log = note_log()
            async with running(client_service(ca.credentials(CLIENT), server.port)):
                await log.line_with("client link_failed", f"target=127.0.0.1:{bankd.port}", logged)
                await bankd.until(lambda: bool(bankd.ends))
            # It hears nothing, not even who would have asked.
            assert bankd.ends[0] == "closed by the peer"
            assert bankd.received == []

    async def test_server_without_the_certificate_of_one(self, ca: CertificateWorld) -> None:
        async with FakeServer(tls=ca.tls(BANK)) as server:
            log = note_log()
            async with running(client_service(ca.credentials(CLIENT), server.port)):
                await log.line_with("client link_failed", "the peer is bank/1, no server")
                await server.until(lambda: bool(server.ends))
            assert server.ends[0] == "closed by the peer"
            assert server.received == []

    async def test_bankd_without_tls_is_not_talked_to(self, ca: CertificateWorld) -> None:
        async with FakeBankd(nobodys_card) as bankd, FakeServer(bankd=bankd, tls=ca.tls(SERVER)) as server:
            log = note_log()
            async with running(client_service(ca.credentials(CLIENT), server.port)):
                await log.line_with("client link_failed", f"target=127.0.0.1:{bankd.port}", "within the TLS handshake")
            assert bankd.messages(rspro.ConnectClientReq) == []


class TestWhatChangesMeanwhile:
    async def test_newer_link_with_the_same_certificate_takes_over(self, ca: CertificateWorld, tmp_path: Path) -> None:
        async with world(ca, tmp_path) as there:
            own = ca.credentials(CLIENT)
            first = await there.client(own)
            assert await answer(first) is ResultCode.OK
            second = await there.client(own)
            assert await answer(second) is ResultCode.OK
            assert await first.wait_closed() == "closed"
            await there.log.line_with("identity_taken_over")

    async def test_revocation_reaches_bankd_over_the_control_link_and_cuts_its_client(
        self, ca: CertificateWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(certificates, "CHECK_INTERVAL_S", 0.05)
        server_files, own = ca.credentials(SERVER), ca.credentials(CLIENT)
        async with AsyncExitStack() as stack:
            log = note_log()
            server = server_service(tmp_path / "server", server_files)
            await stack.enter_async_context(running(server))
            bankd = bankd_service(tmp_path / "bank", ca.credentials(BANK), server.rspro_address)
            await stack.enter_async_context(running(bankd))
            await log.line_with("bankd server_connected")
            assert bankd.listener is not None
            client = await TlsPeer(CLIENT_ROLE, BANKD_ROLE).dial(bankd.listener.addresses[0], own)
            client.send(rspro.ConnectClientReq(client.identity, C23))
            assert await answer(client) is ResultCode.UNKNOWN_SLOTMAP
            ca.revoke(own)
            ca.tell(server_files)
            assert await client.wait_closed() == "closed"
            await log.line_with("bankd revocation_list", "revoked=1")
            await log.line_with("client_gone", "the peer's certificate is revoked")

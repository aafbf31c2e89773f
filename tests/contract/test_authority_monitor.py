# SPDX-License-Identifier: Apache-2.0
"""The authority beside a server: what others did is learnt, lists stay fresh, the own certificate is renewed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.core.identity import Identity
from remsim.net.tls.contexts import TlsContexts
from remsim.pki import files
from remsim.pki.authority import LIST_INTERVAL_S, Authority
from remsim.pki.credentials import Credentials
from remsim.pki.errors import AuthorityError, KeyFileError, PkiError
from remsim.pki.facts import REVOCATION_LIST, decode_pem, read_revocation_list
from remsim.server.authority import monitor
from remsim.server.authority.monitor import AuthorityMonitor, watch_authority
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, ResultCode
from tests.doubles.certificates import BANK, CLIENT, DAY_S, SERVER, CertificateWorld
from tests.doubles.noted_log import NotedLog
from tests.doubles.tls_rig import TlsPeer, all_peers, note_log, running, server_service


@pytest.fixture
def own(ca: CertificateWorld) -> Credentials:
    """The server's."""
    return ca.credentials(SERVER)


@pytest.fixture
def here(ca: CertificateWorld, own: Credentials) -> AuthorityMonitor:
    """The server's view of the authority; ``ca.authority`` is that of other processes."""
    return AuthorityMonitor(ca.directory / "ca", own)


class TestBook:
    def test_everybody_who_ever_had_a_certificate_is_known(self, ca: CertificateWorld, here: AuthorityMonitor) -> None:
        assert here.is_certified(SERVER)
        assert not here.is_certified(BANK)
        ca.revoke(ca.credentials(BANK))
        assert not here.is_certified(BANK)
        here.refresh()
        assert here.is_certified(BANK)
        assert not here.is_certified(Identity.bank(2))

    def test_certificate_of_one_slot_concerns_its_client_and_the_other_way_round(
        self, ca: CertificateWorld, here: AuthorityMonitor
    ) -> None:
        ca.credentials(Identity.client(5, 1))
        ca.credentials(Identity.client(6))
        here.refresh()
        assert here.is_certified(Identity.client(5))
        assert here.is_certified(Identity.client(5, 1))
        assert not here.is_certified(Identity.client(5, 0))
        assert here.is_certified(Identity.client(6, 3))


class TestList:
    def test_revocation_of_another_process_reaches_the_server(
        self, ca: CertificateWorld, here: AuthorityMonitor, own: Credentials
    ) -> None:
        stolen = ca.credentials(CLIENT)
        ca.revoke(stolen)
        here.refresh()
        found = own.revocations()
        assert found is not None
        assert found.serials == {stolen.certificate().serial}

    def test_list_is_signed_anew_when_its_time_has_come(
        self, ca: CertificateWorld, here: AuthorityMonitor, own: Credentials
    ) -> None:
        ca.authority.publish_list(ca.now - LIST_INTERVAL_S + 300)
        here.refresh()
        still = own.revocations()
        here.refresh()
        assert own.revocations() == still
        ca.authority.publish_list(ca.now - LIST_INTERVAL_S - 1)
        old = read_revocation_list(decode_pem(ca.revocations(), REVOCATION_LIST)[0])
        here.refresh()
        new = own.revocations()
        assert new is not None
        assert new.number == old.number + 1
        assert new.issued_at.timestamp() > ca.now - 10

    def test_list_that_is_behind_the_ledger_is_signed_at_once(
        self, ca: CertificateWorld, here: AuthorityMonitor, own: Credentials
    ) -> None:
        before, stolen = ca.revocations(), ca.credentials(CLIENT)
        ca.revoke(stolen)
        files.write_public(ca.authority.list_file, before)
        here.refresh()
        found = own.revocations()
        assert found is not None
        assert found.serials == {stolen.certificate().serial}
        here.refresh()
        assert own.revocations() == found

    def test_unchanged_list_is_not_written_again(self, here: AuthorityMonitor, own: Credentials) -> None:
        before = own.stamps()
        here.refresh()
        assert own.stamps() == before

    def test_missing_list_is_made(self, ca: CertificateWorld, here: AuthorityMonitor, own: Credentials) -> None:
        ca.authority.list_file.unlink()
        own.revocations_file.unlink()
        here.refresh()
        assert own.revocations() is not None


class TestOwnCertificate:
    def test_certificate_of_another_authority_is_noticed_at_start(self, ca: CertificateWorld, tmp_path: Path) -> None:
        foreign = CertificateWorld(tmp_path / "foreign").credentials(SERVER)
        with pytest.raises(AuthorityError, match="is not of the authority in") as caught:
            AuthorityMonitor(ca.directory / "ca", foreign)
        assert f"--out {foreign.directory}" in caught.value.hint

    def test_renewal_keeps_identity_and_host_names(
        self, ca: CertificateWorld, here: AuthorityMonitor, own: Credentials
    ) -> None:
        before = own.certificate()
        here.renew_own()
        after = own.certificate()
        assert after.identity == before.identity == SERVER
        assert after.hosts == before.hosts == ("127.0.0.1",)
        assert after.serial != before.serial
        assert after.public_key != before.public_key
        assert TlsContexts(own).identity == SERVER
        assert ca.authority.issued_to(SERVER)[-1].serial == after.serial

    def test_authority_that_cannot_be_used_is_named(self, ca: CertificateWorld, own: Credentials) -> None:
        (ca.directory / "ca" / "authority-key.pem").chmod(0o644)
        with pytest.raises(KeyFileError, match="can be reached by others"):
            AuthorityMonitor(ca.directory / "ca", own)


@asynccontextmanager
async def watching(here: AuthorityMonitor, log: NotedLog) -> AsyncIterator[None]:
    work = asyncio.gather(watch_authority(here, log=log.logger, on_looked=lambda: None), return_exceptions=True)
    try:
        yield
    finally:
        work.cancel()
        await asyncio.wait([work])


async def test_trouble_is_told_when_it_begins_and_ends_nothing(
    ca: CertificateWorld, here: AuthorityMonitor, own: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "CHECK_INTERVAL_S", 0)
    log, ledger = NotedLog(), ca.directory / "ca" / "ledger.sqlite"
    turns: asyncio.Queue[None] = asyncio.Queue()
    loop, refresh = asyncio.get_running_loop(), here.refresh

    def counted() -> None:
        try:
            refresh()
        finally:
            loop.call_soon_threadsafe(turns.put_nowait, None)

    monkeypatch.setattr(here, "refresh", counted)
    async with watching(here, log):
        for _ in range(2):
            ledger.rename(ledger.with_suffix(".away"))
            assert "No such file" in (await log.next("authority_in_trouble"))["error"]
            # The same fault at later checks is not reported again.
            for _ in range(turns.qsize() + 3):
                await turns.get()
            assert log.is_empty()
            ledger.with_suffix(".away").rename(ledger)
            stolen = ca.credentials(CLIENT)
            ca.revoke(stolen)
            while not _is_listed(own, stolen):
                await turns.get()
            # One more look without trouble has begun and ended.
            for _ in range(turns.qsize() + 2):
                await turns.get()


def _is_listed(own: Credentials, stolen: Credentials) -> bool:
    try:
        found = own.revocations()
    except PkiError:
        return False
    return found is not None and stolen.certificate().serial in found.serials


async def test_who_was_revoked_while_no_server_ran_is_not_let_in(ca: CertificateWorld, tmp_path: Path) -> None:
    state = tmp_path / "server"
    state.mkdir(mode=0o700)
    (ca.directory / "ca").rename(state / "ca")
    ca.authority = Authority(state / "ca")
    own, stolen = ca.credentials(SERVER), ca.credentials(CLIENT)
    ca.revoke(stolen)
    assert not TlsContexts(own).is_revoked(stolen.certificate().serial)
    log = note_log()
    service = server_service(state, own)
    async with all_peers(), running(service):
        client = TlsPeer(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_SERVER)
        await client.dial(service.rspro_address, stolen)
        assert await client.receive() == "the peer refuses our certificate: it is revoked"
        await log.line_with("tls_refused", "it is revoked")


async def test_certificate_that_expired_while_no_server_ran_is_renewed_at_its_start(
    ca: CertificateWorld, tmp_path: Path
) -> None:
    state = tmp_path / "server"
    state.mkdir(mode=0o700)
    (ca.directory / "ca").rename(state / "ca")
    ca.authority = Authority(state / "ca")
    own, bank = ca.credentials(SERVER, now=ca.now - 91 * DAY_S), ca.credentials(BANK)
    log = note_log()
    service = server_service(state, own)
    async with all_peers(), running(service):
        await log.line_with("certificate_renewed", "identity=server/lab")
        peer = TlsPeer(ComponentType.REMSIM_BANKD, ComponentType.REMSIM_SERVER)
        await peer.dial(service.rspro_address, bank)
        peer.send(rspro.ConnectBankReq(peer.identity, 1, 8))
        answer = await peer.receive()
        assert isinstance(answer, rspro.ConnectBankRes)
        assert answer.result is ResultCode.OK
    assert own.certificate().not_after.timestamp() > ca.now

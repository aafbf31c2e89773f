# SPDX-License-Identifier: Apache-2.0
"""Dates of an authority: clocks that are wrong for a while, and an authority whose end comes near."""

import ssl
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from remsim.net.tls.contexts import TlsContexts
from remsim.pki import files, signing
from remsim.pki.authority import CLOCK_FILE
from remsim.pki.clock import SigningClock
from remsim.pki.credentials import Credentials
from remsim.pki.errors import AuthorityError
from remsim.pki.facts import decode_pem, read_certificate
from remsim.server.authority.monitor import AuthorityMonitor
from tests.doubles.certificates import BANK, CLIENT, DAY_S, SERVER, CertificateWorld


class Clocks:
    """The system's clock, which can be set, and one that goes on."""

    def __init__(self) -> None:
        self.wall = time.time()
        self.steady = 5000.0

    def go_on(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.steady += seconds


def shake_hands(accepting: TlsContexts, dialling: TlsContexts) -> None:
    """A handshake without a network. Raises ssl.SSLError if one refuses the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = accepting.server.wrap_bio(to_server, to_client, server_side=True)
    client = dialling.client.wrap_bio(to_client, to_server)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.fixture
def ca(tmp_path: Path) -> CertificateWorld:
    """An authority that is a year old."""
    return CertificateWorld(tmp_path / "lab")


@pytest.fixture
def own(ca: CertificateWorld) -> Credentials:
    """The server's."""
    return ca.credentials(SERVER)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """What the server takes for the time."""
    clocks = Clocks()
    monkeypatch.setattr("remsim.server.authority.monitor.time", SimpleNamespace(time=lambda: clocks.wall))
    return clocks


@pytest.fixture
def here(ca: CertificateWorld, own: Credentials, clock: Clocks, monkeypatch: pytest.MonkeyPatch) -> AuthorityMonitor:
    """The server's view, with clocks that a test sets."""
    monkeypatch.setattr("remsim.pki.authority.SigningClock", lambda path: SigningClock(path, lambda: clock.steady))
    return AuthorityMonitor(ca.directory / "ca", own)


class TestClock:
    """A clock that is wrong for a while leaves nothing that is not valid yet."""

    def test_list_is_never_of_a_time_to_come(self, here: AuthorityMonitor, own: Credentials, clock: Clocks) -> None:
        clock.go_on(2 * 3600.0)
        here.refresh()
        before = own.revocations()
        clock.wall += 70 * DAY_S
        here.refresh()
        assert own.revocations() == before
        clock.go_on(2 * 3600.0 - 10)
        clock.wall -= 70 * DAY_S
        here.refresh()
        now = own.revocations()
        assert before is not None
        assert now is not None
        assert before.issued_at < now.issued_at
        assert abs(now.issued_at.timestamp() - clock.wall) < 2

    def test_certificates_and_codes_of_a_jump_are_good_afterwards(
        self, here: AuthorityMonitor, ca: CertificateWorld, own: Credentials, clock: Clocks
    ) -> None:
        truth = clock.wall
        clock.wall += 70 * DAY_S
        here.renew_own()
        facts = own.certificate()
        assert facts.not_before.timestamp() <= truth
        assert facts.not_after.timestamp() <= truth + 90 * DAY_S + 2
        code = here.authority.make_code(BANK, now=clock.wall)
        clock.wall = truth
        request = signing.make_request(signing.make_key(), "x")
        verdict, issued = here.authority.redeem(BANK, code.code_id, code.secret, request, now=truth)
        assert verdict.is_good
        assert issued is not None
        (kept,) = [entry for entry in here.authority.codes() if entry.code_id == code.code_id]
        assert kept.expires_at < truth + DAY_S

    def test_revoked_certificate_stays_listed_while_the_clock_is_ahead(
        self, here: AuthorityMonitor, ca: CertificateWorld, own: Credentials, clock: Clocks
    ) -> None:
        stolen = ca.credentials(CLIENT)
        ca.revoke(stolen)
        clock.wall += 200 * DAY_S
        ca.credentials(BANK)
        here.refresh()
        found = own.revocations()
        assert found is not None
        assert found.serials == {stolen.certificate().serial}

    def test_list_of_a_time_to_come_is_replaced_at_once(
        self, here: AuthorityMonitor, ca: CertificateWorld, own: Credentials, clock: Clocks
    ) -> None:
        ca.authority.publish_list(clock.wall + 70 * DAY_S)
        wrong = ca.authority.revocations()
        here.refresh()
        right = own.revocations()
        assert wrong is not None
        assert right is not None
        assert right.number == wrong.number + 1
        assert right.issued_at.timestamp() <= clock.wall

    def test_last_good_time_is_known_to_the_next_process(
        self, here: AuthorityMonitor, ca: CertificateWorld, own: Credentials, clock: Clocks
    ) -> None:
        clock.go_on(3600.0)
        here.refresh()
        record = here.authority.clock_record()
        assert record is not None
        assert record.good == clock.wall
        clock.wall = 1000.0
        again = AuthorityMonitor(ca.directory / "ca", own)
        assert again.authority.dates(1000.0).begins >= record.good

    def test_damaged_record_is_none(self, here: AuthorityMonitor, ca: CertificateWorld) -> None:
        for content in (b"", b"{}", b"[]", b'{"good": "x"}', b"\xff", b"[" * 2000):
            files.write_private(ca.directory / "ca" / CLOCK_FILE, content)
            assert here.authority.clock_record() is None


def test_link_comes_up_in_spite_of_a_list_of_a_time_to_come(ca: CertificateWorld) -> None:
    bank, stolen = ca.credentials(BANK), ca.credentials(CLIENT)
    ca.revoke(stolen)
    ca.authority.publish_list(ca.now + 70 * DAY_S)
    ca.tell(bank)
    contexts = TlsContexts(bank)
    assert not contexts.server.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF
    # Revocations are effective all the same.
    assert contexts.is_revoked(stolen.certificate().serial)
    ca.authority.publish_list(ca.now)
    ca.tell(bank)
    contexts.reload()
    assert contexts.server.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF


class TestExtension:
    def test_running_server_takes_the_new_certificate_and_hosts_get_it_by_renewal(
        self, here: AuthorityMonitor, ca: CertificateWorld, own: Credentials
    ) -> None:
        old, before = ca.authority.certificate, own.certificate()
        ca.authority.extend(ca.now)
        here.refresh()
        assert own.authority() == here.authority.certificate == ca.authority.certificate != old
        assert own.certificate().serial != before.serial
        assert own.certificate().identity == SERVER
        assert here.authority.facts.not_after > read_certificate(decode_pem(old)[0]).not_after
        here.refresh()
        assert len(ca.authority.issued_to(SERVER)) == 2

    def test_hosts_with_the_old_and_the_new_one_trust_each_other(self, ca: CertificateWorld) -> None:
        bank = ca.credentials(BANK)
        ca.authority.extend(ca.now)
        client, server = ca.credentials(CLIENT), ca.credentials(SERVER)
        assert bank.authority() != client.authority() == server.authority()
        shake_hands(TlsContexts(bank), TlsContexts(client))
        shake_hands(TlsContexts(server), TlsContexts(bank))

    def test_certificate_of_an_authority_that_ended_is_not_made(self, ca: CertificateWorld) -> None:
        end = ca.authority.facts.not_after.timestamp()
        request = signing.make_request(signing.make_key(), "x")
        with pytest.raises(AuthorityError, match=r"ended on .* and certifies nobody") as caught:
            ca.authority.issue(BANK, request, now=end + 1)
        assert "remsim pki extend" in caught.value.hint
        ca.authority.extend(end + 1)
        assert ca.authority.issue(BANK, request, now=end + 1).is_valid(end + 2)

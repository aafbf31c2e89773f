# SPDX-License-Identifier: Apache-2.0
"""What a host keeps: complete or refused, never half replaced, and revocations that are not taken back."""

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from remsim.cli.main import main
from remsim.core.errors import RemsimError
from remsim.core.identity import Identity, Role
from remsim.net.tls.contexts import TlsContexts, TlsSetupError
from remsim.pki import files, signing
from remsim.pki.credentials import MAX_LIST_AGE, Credentials, ReceivedCertificate, is_list_too_old, renewal_due
from remsim.pki.errors import CertificateError, KeyFileError
from remsim.pki.facts import REVOCATION_LIST, decode_pem, read_revocation_list
from remsim.pki.toolkit import CryptographyToolkit, OpensslToolkit, Toolkit
from tests.doubles.certificates import BANK, DAY_S, CertificateWorld

TOOL = CryptographyToolkit()


@pytest.fixture
def ca(tmp_path: Path) -> CertificateWorld:
    """An authority of our own."""
    return CertificateWorld(tmp_path / "lab")


@pytest.fixture
def bank(ca: CertificateWorld) -> Credentials:
    """A host with everything."""
    return ca.credentials(BANK)


def test_complete_credentials_are_usable(bank: Credentials, ca: CertificateWorld) -> None:
    assert bank.check().identity == bank.identity() == BANK
    assert bank.source() is None
    assert b"PRIVATE" not in bank.certificate_pem()
    facts = bank.certificate()
    assert bank.renewal_due() == renewal_due(facts)
    assert facts.not_before < bank.renewal_due() < facts.not_after
    contexts = TlsContexts(bank)
    assert contexts.not_after == facts.not_after
    assert not contexts.is_list_too_old(ca.now)
    assert contexts.is_list_too_old(ca.now + MAX_LIST_AGE.total_seconds() + 1)


def test_certificate_has_its_issuer_beside_it(bank: Credentials, ca: CertificateWorld) -> None:
    own, issuer = decode_pem(files.read_private(bank.pair_file))
    assert [issuer] == decode_pem(ca.authority.certificate)
    assert [own] == decode_pem(bank.certificate_pem())


def test_host_without_certificate_is_told_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="there is no certificate in") as caught:
        Credentials(tmp_path).check()
    assert "remsim enroll" in caught.value.hint


@pytest.mark.parametrize("name", ["identity.pem", "authority.pem"])
def test_broken_file_is_named_and_no_context_made(bank: Credentials, name: str) -> None:
    files.write_private(bank.directory / name, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(RemsimError):
        TlsContexts(bank)


def test_key_that_does_not_fit_is_named(bank: Credentials) -> None:
    bank.install_pair(signing.make_key(), bank.certificate_pem())
    with pytest.raises(TlsSetupError, match="cannot be used: the key does not belong to the certificate"):
        TlsContexts(bank)


def test_authority_that_is_none_is_named(bank: Credentials) -> None:
    bank.authority_file.write_bytes(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    with pytest.raises(CertificateError, match=r"authority\.pem: a certificate or list is cut short") as caught:
        TlsContexts(bank)
    assert "remsim enroll" in caught.value.hint


def test_failed_reload_keeps_what_works(bank: Credentials) -> None:
    contexts = TlsContexts(bank)
    before = contexts.server
    bank.pair_file.chmod(0o644)
    with pytest.raises(KeyFileError, match="can be reached by others"):
        contexts.reload()
    assert contexts.server is before


def test_context_without_a_list_works_and_says_so(bank: Credentials, ca: CertificateWorld) -> None:
    bank.revocations_file.unlink()
    contexts = TlsContexts(bank)
    assert contexts.revocations is None
    assert contexts.is_list_too_old(ca.now)
    assert not contexts.is_revoked(1)


def test_authority_is_no_identity(bank: Credentials, ca: CertificateWorld) -> None:
    bank.install_pair(signing.make_key(), ca.authority.certificate)
    with pytest.raises(CertificateError, match="names no identity"):
        bank.check()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"url": 1}', b"[" * 9000])
def test_source_that_cannot_be_read_is_named(bank: Credentials, content: bytes) -> None:
    (bank.directory / "enrolment.json").write_bytes(content)
    with pytest.raises(KeyFileError, match="does not say whom to ask"):
        bank.source()


class TestRevocations:
    def test_newer_list_is_stored_and_an_older_one_passed_over(self, bank: Credentials, ca: CertificateWorld) -> None:
        old = ca.revocations()
        ca.revoke(ca.credentials(Identity.client(5)))
        new = ca.revocations()
        facts = bank.accept_revocations(new, TOOL)
        assert facts is not None
        assert len(facts.serials) == 1
        assert bank.accept_revocations(old, TOOL) is None
        assert bank.accept_revocations(new, TOOL) is None
        assert bank.revocations() == facts

    def test_first_list_is_taken(self, bank: Credentials, ca: CertificateWorld) -> None:
        bank.revocations_file.unlink()
        assert bank.accept_revocations(ca.revocations(), TOOL) is not None

    def test_list_of_somebody_else_changes_nothing(self, bank: Credentials, tmp_path: Path) -> None:
        before = bank.revocations()
        other = CertificateWorld(tmp_path / "other")
        other.authority.publish_list(other.now)
        with pytest.raises(CertificateError, match="did not sign"):
            bank.accept_revocations(other.revocations(), TOOL)
        with pytest.raises(CertificateError):
            bank.accept_revocations(b"nothing", TOOL)
        assert bank.revocations() == before

    def test_age_of_a_list(self, ca: CertificateWorld) -> None:
        facts = read_revocation_list(decode_pem(ca.revocations(), REVOCATION_LIST)[0])
        assert not is_list_too_old(facts, ca.now)
        assert is_list_too_old(replace(facts, issued_at=facts.issued_at - timedelta(days=2)), ca.now)


class TestInstallation:
    """An answer is compared with what was asked before anything is replaced."""

    @pytest.fixture
    def asked(self, tmp_path: Path) -> tuple[Credentials, bytes]:
        """A host that has made its key and its request."""
        host = Credentials(tmp_path / "host")
        return host, TOOL.make_request(host.prepare_key(TOOL))

    def test_key_is_made_once(self, asked: tuple[Credentials, bytes]) -> None:
        host, request = asked
        again = TOOL.make_request(host.prepare_key(TOOL))
        assert signing.read_request(again) == signing.read_request(request)

    def test_answer_for_another_key_is_refused(
        self, asked: tuple[Credentials, bytes], ca: CertificateWorld, bank: Credentials
    ) -> None:
        host, request = asked
        received = ReceivedCertificate(bank.certificate_pem(), ca.authority.certificate, ca.revocations())
        with pytest.raises(CertificateError, match="for another key"):
            host.install(received, TOOL, request=request, url="https://lab")
        assert not host.exist()

    def test_answer_of_another_authority_is_refused(
        self, asked: tuple[Credentials, bytes], ca: CertificateWorld, tmp_path: Path
    ) -> None:
        host, request = asked
        other = CertificateWorld(tmp_path / "other", name="other")
        issued = other.authority.issue(BANK, request, now=ca.now)
        received = ReceivedCertificate(issued.pem, ca.authority.certificate, ca.revocations())
        with pytest.raises(CertificateError, match="another authority"):
            host.install(received, TOOL, request=request, url="https://lab")
        assert not host.exist()

    def test_authority_instead_of_a_certificate_is_refused(
        self, asked: tuple[Credentials, bytes], ca: CertificateWorld
    ) -> None:
        host, request = asked
        received = ReceivedCertificate(ca.authority.certificate, ca.authority.certificate, ca.revocations())
        with pytest.raises(CertificateError, match="names no identity"):
            host.install(received, TOOL, request=request, url="https://lab")

    @pytest.fixture
    def answered(self, asked: tuple[Credentials, bytes], ca: CertificateWorld) -> tuple[Credentials, bytes, bytes]:
        """A host that has asked, its request, and the certificate that it gets."""
        host, request = asked
        return host, request, ca.authority.issue(BANK, request, now=ca.now).pem

    @pytest.mark.parametrize("tool", [CryptographyToolkit(), OpensslToolkit()], ids=lambda tool: str(tool.name))
    def test_list_that_the_authority_did_not_sign_is_refused(
        self, answered: tuple[Credentials, bytes, bytes], ca: CertificateWorld, tmp_path: Path, tool: Toolkit
    ) -> None:
        host, request, certificate = answered
        other = CertificateWorld(tmp_path / "other")
        received = ReceivedCertificate(certificate, ca.authority.certificate, other.revocations())
        with pytest.raises(CertificateError, match="its authority did not sign"):
            host.install(received, tool, request=request, url="https://lab")
        assert [path.name for path in host.directory.iterdir()] == ["next-key.pem"]
        good = ReceivedCertificate(certificate, ca.authority.certificate, ca.revocations())
        host.install(good, tool, request=request, url="https://lab")
        assert host.revocations_file.read_bytes() == ca.revocations()

    def test_newer_list_stays_unless_it_is_of_another_authority(
        self, answered: tuple[Credentials, bytes, bytes], ca: CertificateWorld, tmp_path: Path
    ) -> None:
        host, request, certificate = answered
        old = ca.revocations()
        newer = ca.authority.publish_list(ca.now)
        files.write_public(host.authority_file, ca.authority.certificate)
        files.write_public(host.revocations_file, newer)
        key = files.read_private(host.next_key_file)
        received = ReceivedCertificate(certificate, ca.authority.certificate, old)
        host.install(received, TOOL, request=request, url="https://lab")
        assert host.revocations_file.read_bytes() == newer
        # The same name, and a lower number; also what is damaged is replaced.
        for stored in (CertificateWorld(tmp_path / "other").authority, None):
            files.write_public(host.authority_file, (stored or ca.authority).certificate)
            files.write_public(host.revocations_file, stored.publish_list(ca.now) if stored else b"nothing")
            files.write_private(host.next_key_file, key)
            host.install(received, TOOL, request=request, url="https://lab")
            assert host.revocations_file.read_bytes() == old


def with_passphrase(key: bytes) -> bytes:
    """The same key, encrypted."""
    command = ["openssl", "pkcs8", "-topk8", "-passout", "pass:xyzzy"]
    return subprocess.run(command, input=key, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda key, rest: with_passphrase(key) + rest, "the key has a passphrase"),
        (lambda _key, rest: rest, "there is no private key in PEM form"),
        (lambda _key, rest: signing.make_key() + rest, "the key does not belong to the certificate"),
        (lambda key, rest: key[:60] + key[70:] + rest, "the PEM text is damaged"),
        (lambda key, rest: key[:-30] + rest, "the PEM text is damaged"),
    ],
    ids=["passphrase", "no key", "other key", "damaged", "cut"],
)
def test_key_that_cannot_be_read_is_told_in_words_with_a_hint(
    bank: Credentials, spoil: Callable[[bytes, bytes], bytes], said: str
) -> None:
    mark = b"-----END PRIVATE KEY-----\n"
    key, _, rest = bank.pair_file.read_bytes().partition(mark)
    files.write_private(bank.pair_file, spoil(key + mark, rest))
    with pytest.raises(TlsSetupError, match=said) as caught:
        TlsContexts(bank)
    assert str(bank.pair_file) in str(caught.value)
    assert "without a passphrase" in caught.value.hint


def test_broken_file_is_named_with_what_mends_it(bank: Credentials) -> None:
    files.write_public(bank.revocations_file, b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n")
    with pytest.raises(CertificateError, match=r"revocations\.pem: ") as caught:
        bank.revocations()
    assert caught.value.hint == f"remove it; the server sends a new one: rm {bank.revocations_file}"


def test_files_of_different_authorities_are_noticed_at_start(
    bank: Credentials, ca: CertificateWorld, tmp_path: Path
) -> None:
    bank.check_origin()
    # Of the same name: only the keys differ.
    foreign = CertificateWorld(tmp_path / "foreign").credentials(BANK)
    ours = ca.revocations()
    files.write_public(bank.revocations_file, foreign.revocations_file.read_bytes())
    with pytest.raises(CertificateError, match=r"the revocation list in .* is not of the authority") as caught:
        bank.check_origin()
    assert str(bank.revocations_file) in caught.value.hint
    files.write_public(bank.revocations_file, ours)
    files.write_public(bank.authority_file, foreign.authority())
    with pytest.raises(CertificateError, match=r"the certificate in .* is not of the authority"):
        bank.check_origin()


@pytest.mark.parametrize("file", ["identity.pem", "authority.pem"])
def test_server_with_a_broken_file_is_told_what_mends_it_on_its_own_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    """It cannot enrol at itself, least of all before it has started."""
    state = tmp_path / "state of the server"
    assert main(["server", "init", "--state", str(state)]) == 0
    own = Credentials(state / "tls")
    (own.directory / file).write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(RemsimError, match=file) as caught:
        TlsContexts(own)
    remedy = caught.value.hint.partition(": ")[2].partition("; or ")[0]
    first, second = remedy.split(" && ")
    assert shlex.split(first) == ["rm", str(own.pair_file)]
    own.pair_file.unlink()
    assert main(shlex.split(second)[1:]) == 0
    assert TlsContexts(own).identity.role is Role.SERVER
    assert "enrol" not in caught.value.hint


def test_certificate_that_begins_later_is_renewed_at_once(ca: CertificateWorld) -> None:
    assert not ca.credentials(BANK).is_renewal_due(ca.now)
    assert ca.credentials(BANK, now=ca.now + 70 * DAY_S).is_renewal_due(ca.now)
    assert ca.credentials(BANK, now=ca.now - 61 * DAY_S).is_renewal_due(ca.now)

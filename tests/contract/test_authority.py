# SPDX-License-Identifier: Apache-2.0
"""The authority in its directory: issue, renew, revoke, codes; what is in the ledger survives."""

import re
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from remsim.core.identity import Identity
from remsim.pki import files, signing
from remsim.pki.authority import LIFETIME, Authority
from remsim.pki.codes import LIFETIME_S, TRIES, CodeVerdict
from remsim.pki.errors import (
    AuthorityError,
    AuthorityRefusalError,
    CertificateError,
    KeyFileError,
    PkiError,
    RenewalLimitError,
)
from remsim.pki.facts import REVOCATION_LIST, decode_pem, encode_pem, read_certificate, read_revocation_list
from remsim.pki.ledger import Ledger
from remsim.pki.messages import RENEWAL_PERIOD_S, RENEWALS_ALLOWED, renewal_content

NOW = float(int(time.time()))
BANK = Identity.bank(1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A new one."""
    return Authority.create(tmp_path / "ca", name="lab", now=NOW)


def request() -> bytes:
    """A request for a new key."""
    return signing.make_request(signing.make_key(), "x")


def listed(authority: Authority) -> frozenset[int]:
    """What the published list says."""
    return read_revocation_list(decode_pem(files.read_public(authority.list_file), REVOCATION_LIST)[0]).serials


def test_authority_is_made_once_and_opened_again(authority: Authority, tmp_path: Path) -> None:
    again = Authority(tmp_path / "ca")
    assert again.fingerprint == authority.fingerprint
    with pytest.raises(AuthorityError, match="has an authority already"):
        Authority.create(tmp_path / "ca", name="lab", now=NOW)
    with pytest.raises(AuthorityError, match=f"there is no authority in {tmp_path / 'elsewhere'}") as caught:
        Authority(tmp_path / "elsewhere")
    # Somebody who has forgotten --state must not be sent to make a second authority.
    assert caught.value.hint.startswith("give --state DIR of the server")
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "ca").iterdir()} == {
        "authority-key.pem": 0o600,
        "authority.pem": 0o644,
        "ledger.sqlite": 0o600,
        "revocations.pem": 0o644,
    }


def test_directory_or_key_that_others_can_reach_is_refused(authority: Authority, tmp_path: Path) -> None:
    del authority
    (tmp_path / "ca").chmod(0o750)
    with pytest.raises(KeyFileError, match="can be reached by others"):
        Authority(tmp_path / "ca")
    (tmp_path / "ca").chmod(0o700)
    (tmp_path / "ca" / "authority-key.pem").chmod(0o644)
    with pytest.raises(KeyFileError, match="can be reached by others"):
        Authority(tmp_path / "ca")


def test_key_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    del authority
    files.write_private(tmp_path / "ca" / "authority-key.pem", signing.make_key())
    with pytest.raises(KeyFileError, match="do not belong together"):
        Authority(tmp_path / "ca")


def test_creation_that_was_interrupted_begins_again(tmp_path: Path) -> None:
    Authority.create(tmp_path / "ca", name="lab", now=NOW)
    (tmp_path / "ca" / "authority.pem").unlink()
    assert Authority.create(tmp_path / "ca", name="lab", now=NOW).issued() == []


def test_certificate_says_who_and_for_how_long(authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue(BANK, request(), now=NOW)
    facts = read_certificate(decode_pem(issued.pem)[0])
    assert facts.identity == BANK
    assert facts.serial == issued.serial
    assert facts.not_after.timestamp() == issued.expires_at == NOW + LIFETIME.total_seconds()
    assert Authority(tmp_path / "ca").issued() == [issued]
    assert authority.issued_to(BANK) == [issued]
    assert authority.issued_to(Identity.bank(2)) == []


@pytest.mark.parametrize(
    "bad", [b"", b"nothing", b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----"]
)
def test_request_that_is_none_is_refused(authority: Authority, bad: bytes) -> None:
    with pytest.raises(CertificateError):
        authority.issue(BANK, bad, now=NOW)


def test_request_with_a_wrong_signature_or_another_kind_of_key_is_refused(authority: Authority) -> None:
    der = decode_pem(request(), "CERTIFICATE REQUEST")[0]
    # The last bytes are those of the signature.
    forged = encode_pem(der[:-1] + bytes((der[-1] ^ 1,)), "CERTIFICATE REQUEST")
    with pytest.raises(CertificateError, match="not signed by its own key"):
        authority.issue(BANK, forged, now=NOW)
    other = ec.generate_private_key(ec.SECP384R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    large = builder.sign(other, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(CertificateError, match="P-256"):
        authority.issue(BANK, large, now=NOW)


def test_key_whose_curve_is_written_out_is_refused(authority: Authority, tmp_path: Path) -> None:
    key, out = tmp_path / "key.pem", tmp_path / "out.pem"
    make = [
        "openssl",
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-param_enc",
        "explicit",
        "-out",
        str(key),
    ]
    subprocess.run(make, check=True, capture_output=True)
    ask = ["openssl", "req", "-new", "-config", "/dev/null", "-subj", "/CN=x", "-key", str(key), "-out", str(out)]
    subprocess.run(ask, check=True, capture_output=True)
    with pytest.raises(CertificateError, match="does not name its curve") as caught:
        authority.issue(BANK, out.read_bytes(), now=NOW)
    assert "ec_paramgen_curve:P-256" in caught.value.hint
    with pytest.raises(KeyFileError, match="does not name its curve"):
        signing.make_request(key.read_bytes(), "x")
    subprocess.run([*ask, "-x509"], check=True, capture_output=True)
    with pytest.raises(CertificateError, match="does not name its curve"):
        read_certificate(decode_pem(out.read_bytes())[0])


class TestRevocation:
    def test_revoked_certificate_is_listed_until_it_expires(self, authority: Authority) -> None:
        first, second = (authority.issue(BANK, request(), now=NOW) for _ in "ab")
        (revoked,) = authority.revoke([first.serial], now=NOW + 10, reason="stolen")
        assert revoked.revoked_at == NOW + 10
        assert revoked.reason == "stolen"
        assert listed(authority) == {first.serial}
        assert not authority.issued()[0].is_valid(NOW + 11)
        assert authority.issued()[1].is_valid(NOW + 11)
        assert not second.is_valid(second.expires_at)
        authority.publish_list(first.expires_at)
        assert listed(authority) == frozenset()

    def test_first_revocation_counts(self, authority: Authority) -> None:
        issued = authority.issue(BANK, request(), now=NOW)
        authority.revoke([issued.serial], now=NOW + 1, reason="first")
        (again,) = authority.revoke([issued.serial], now=NOW + 2, reason="second")
        assert (again.revoked_at, again.reason) == (NOW + 1, "first")

    def test_unknown_serial_number_changes_nothing(self, authority: Authority) -> None:
        issued = authority.issue(BANK, request(), now=NOW)
        with pytest.raises(AuthorityError, match="no certificate has the serial number 1"):
            authority.revoke([issued.serial, 1], now=NOW)
        assert authority.issued() == [issued]

    def test_number_of_the_list_grows_with_each_process(self, authority: Authority, tmp_path: Path) -> None:
        numbers = [
            read_revocation_list(decode_pem(pem, REVOCATION_LIST)[0]).number
            for pem in (authority.publish_list(NOW), Authority(tmp_path / "ca").publish_list(NOW))
        ]
        assert numbers == [2, 3]

    def test_number_of_a_list_that_is_ahead_of_the_book_is_not_given_again(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        # As if a process had died, or the ledger had been restored, after the list was written.
        ledger_file = tmp_path / "ca" / "ledger.sqlite"
        before = ledger_file.read_bytes()
        ahead = read_revocation_list(decode_pem(authority.publish_list(NOW), REVOCATION_LIST)[0])
        files.write_private(ledger_file, before)
        again = read_revocation_list(decode_pem(authority.publish_list(NOW), REVOCATION_LIST)[0])
        assert again.number == ahead.number + 1

    def test_all_valid_certificates_of_an_identity_at_once(self, authority: Authority) -> None:
        authority.revoke([authority.issue(BANK, request(), now=NOW).serial], now=NOW + 1, reason="first")
        valid = [authority.issue(BANK, request(), now=NOW) for _ in "ab"]
        other = authority.issue(Identity.bank(2), request(), now=NOW)
        revoked = authority.revoke_identity(BANK, now=NOW + 2, reason="stolen")
        assert [entry.serial for entry in revoked] == [entry.serial for entry in valid]
        assert {entry.reason for entry in revoked} == {"stolen"}
        assert other.serial not in listed(authority)
        assert len(listed(authority)) == 3
        before = files.read_public(authority.list_file)
        assert authority.revoke_identity(BANK, now=NOW + 3) == []
        assert files.read_public(authority.list_file) == before

    def test_what_is_not_on_the_list_is_not_revoked_in_the_book(self, authority: Authority) -> None:
        issued = authority.issue(BANK, request(), now=NOW)
        authority.list_file.unlink()
        (authority.list_file / "in the way").mkdir(parents=True)
        with pytest.raises(KeyFileError, match="cannot write"):
            authority.revoke([issued.serial], now=NOW)
        with pytest.raises(KeyFileError, match="cannot write"):
            authority.revoke_identity(BANK, now=NOW)
        assert authority.issued() == [issued]


class TestRenewal:
    def renew(self, authority: Authority, key: bytes, certificate: bytes, new: bytes, *, now: float) -> object:
        """Ask with this key's signature."""
        signature = signing.sign(key, renewal_content(certificate, new))
        return authority.renew(certificate, new, signature, now=now)

    def test_holder_gets_a_new_certificate_and_the_same_when_it_asks_again(self, authority: Authority) -> None:
        key, new = signing.make_key(), request()
        old = authority.issue(BANK, signing.make_request(key, "x"), now=NOW)
        first = self.renew(authority, key, old.pem, new, now=NOW + 60)
        assert self.renew(authority, key, old.pem, new, now=NOW + 61) == first
        assert [entry.identity for entry in authority.issued()] == [BANK, BANK]

    def test_host_names_of_a_server_are_kept(self, authority: Authority) -> None:
        key, new = signing.make_key(), request()
        old = authority.issue(Identity.server("two"), signing.make_request(key, "x"), now=NOW, hosts=["two.example"])
        self.renew(authority, key, old.pem, new, now=NOW + 60)
        renewed = authority.issued()[-1].pem
        assert read_certificate(decode_pem(renewed)[0]).hosts == ("two.example",)

    def test_renewals_without_end_are_refused_until_a_day_has_passed(self, authority: Authority) -> None:
        key, granted = signing.make_key(), request()
        old = authority.issue(BANK, signing.make_request(key, "x"), now=NOW)
        first = self.renew(authority, key, old.pem, granted, now=NOW + 1)
        for turn in range(2, RENEWALS_ALLOWED):
            self.renew(authority, key, old.pem, request(), now=NOW + turn)
        with pytest.raises(RenewalLimitError, match="has had 8 certificates within a day") as caught:
            self.renew(authority, key, old.pem, request(), now=NOW + 60)
        assert caught.value.wait_s == RENEWAL_PERIOD_S - 60
        assert "revoke it" in caught.value.hint
        assert len(authority.issued()) == RENEWALS_ALLOWED
        assert self.renew(authority, key, old.pem, granted, now=NOW + 60) == first
        authority.issue(Identity.bank(2), request(), now=NOW + 60)
        self.renew(authority, key, old.pem, request(), now=NOW + RENEWAL_PERIOD_S)
        # A clock that was set back does not lock anybody out.
        self.renew(authority, key, old.pem, request(), now=NOW - RENEWAL_PERIOD_S)

    def test_nobody_else_does(self, authority: Authority, tmp_path: Path) -> None:
        key, new = signing.make_key(), request()
        mine = signing.make_request(key, "x")
        old = authority.issue(BANK, mine, now=NOW)
        with pytest.raises(AuthorityRefusalError, match="not signed with the key"):
            self.renew(authority, signing.make_key(), old.pem, new, now=NOW)
        with pytest.raises(AuthorityRefusalError, match="is expired"):
            self.renew(authority, key, old.pem, new, now=old.expires_at)
        foreign = Authority.create(tmp_path / "other", name="lab", now=NOW).issue(BANK, mine, now=NOW)
        with pytest.raises(AuthorityRefusalError, match="did not issue"):
            self.renew(authority, key, foreign.pem, new, now=NOW)
        authority.revoke([old.serial], now=NOW)
        with pytest.raises(AuthorityRefusalError, match="is revoked") as caught:
            self.renew(authority, key, old.pem, new, now=NOW)
        assert "remsim pki code bank/1" in caught.value.hint


class TestCodes:
    def test_code_gives_one_certificate_to_one_key(self, authority: Authority) -> None:
        code, mine = authority.make_code(BANK, now=NOW), request()
        assert code.fingerprint == authority.fingerprint
        assert authority.knows_code(code.code_id)
        verdict, issued = authority.redeem(BANK, code.code_id, code.secret, mine, now=NOW)
        assert verdict is CodeVerdict.ACCEPTED
        assert authority.redeem(BANK, code.code_id, code.secret, mine, now=NOW) == (CodeVerdict.REPEATED, issued)
        assert authority.redeem(BANK, code.code_id, code.secret, request(), now=NOW) == (CodeVerdict.USED, None)
        assert authority.issued() == [issued]

    def test_code_ends_with_the_certificate_that_it_gave(self, authority: Authority) -> None:
        for by_serial in (True, False):
            code, mine = authority.make_code(BANK, now=NOW), request()
            _, issued = authority.redeem(BANK, code.code_id, code.secret, mine, now=NOW)
            assert issued is not None
            unused = authority.make_code(BANK, now=NOW)
            if by_serial:
                authority.revoke([issued.serial], now=NOW)
            else:
                authority.revoke_identity(BANK, now=NOW)
            for ended in (code, unused):
                again = authority.redeem(BANK, ended.code_id, ended.secret, mine, now=NOW)
                assert again == (CodeVerdict.WITHDRAWN, None)
        assert len(authority.issued()) == 2

    def test_codes_of_holders_without_a_certificate_can_be_withdrawn(self, authority: Authority) -> None:
        code, other = authority.make_code(BANK, now=NOW), authority.make_code(Identity.bank(2), now=NOW)
        assert authority.revoke_identity(BANK, now=NOW) == []
        assert authority.redeem(BANK, code.code_id, code.secret, request(), now=NOW) == (CodeVerdict.WITHDRAWN, None)
        two = Identity.bank(2)
        assert authority.redeem(two, other.code_id, other.secret, request(), now=NOW)[0] is CodeVerdict.ACCEPTED

    def test_repeated_code_gives_nothing_new(self, authority: Authority, tmp_path: Path) -> None:
        code, mine = authority.make_code(BANK, now=NOW), request()
        authority.redeem(BANK, code.code_id, code.secret, mine, now=NOW)
        connection = sqlite3.connect(tmp_path / "ca" / "ledger.sqlite")
        with connection:
            connection.execute("UPDATE issued SET revoked_at = ?", (NOW,))
        connection.close()
        assert authority.redeem(BANK, code.code_id, code.secret, mine, now=NOW) == (CodeVerdict.USED, None)
        assert len(authority.issued()) == 1

    def test_tries_are_counted_across_processes(self, authority: Authority, tmp_path: Path) -> None:
        code = authority.make_code(BANK, now=NOW)
        for _ in range(TRIES):
            verdict, _ = Authority(tmp_path / "ca").redeem(BANK, code.code_id, bytes(16), request(), now=NOW)
            assert verdict is CodeVerdict.WRONG
        assert authority.redeem(BANK, code.code_id, code.secret, request(), now=NOW) == (CodeVerdict.EXHAUSTED, None)

    def test_newer_code_for_the_same_identity_takes_its_place(self, authority: Authority) -> None:
        old, other = authority.make_code(BANK, now=NOW), authority.make_code(Identity.bank(2), now=NOW)
        new = authority.make_code(BANK, now=NOW)
        assert authority.redeem(BANK, old.code_id, old.secret, request(), now=NOW)[0] is CodeVerdict.WITHDRAWN
        assert authority.redeem(BANK, new.code_id, new.secret, request(), now=NOW)[0] is CodeVerdict.ACCEPTED
        two = Identity.bank(2)
        assert authority.redeem(two, other.code_id, other.secret, request(), now=NOW)[0] is CodeVerdict.ACCEPTED

    def test_old_codes_are_forgotten(self, authority: Authority) -> None:
        code = authority.make_code(BANK, now=NOW)
        authority.make_code(BANK, now=NOW + LIFETIME_S)
        assert authority.knows_code(code.code_id)
        authority.make_code(BANK, now=NOW + 30 * 86400)
        assert not authority.knows_code(code.code_id)

    def test_secret_is_nowhere_on_disk(self, authority: Authority, tmp_path: Path) -> None:
        code = authority.make_code(BANK, now=NOW)
        stored = b"".join(path.read_bytes() for path in (tmp_path / "ca").iterdir())
        assert code.code_id in stored
        assert code.secret not in stored


class TestDamage:
    def test_book_that_is_none_is_named(self, authority: Authority, tmp_path: Path) -> None:
        files.write_private(tmp_path / "ca" / "ledger.sqlite", b"this is no database, but long enough to be one" * 99)
        with pytest.raises(AuthorityError, match="cannot use") as caught:
            authority.issued()
        assert "backup" in caught.value.hint

    def test_book_may_be_longer_than_any_key(self, authority: Authority, tmp_path: Path) -> None:
        issued = authority.issue(BANK, request(), now=NOW)
        ledger_file = tmp_path / "ca" / "ledger.sqlite"
        connection = sqlite3.connect(ledger_file)
        with connection:
            connection.execute("UPDATE issued SET reason = ?", ("x" * files.MAX_FILE_BYTES,))
        connection.close()
        assert ledger_file.stat().st_size > files.MAX_FILE_BYTES
        authority.revoke([issued.serial], now=NOW)
        assert listed(authority) == {issued.serial}

    def test_identity_that_cannot_be_read_is_named(self, authority: Authority, tmp_path: Path) -> None:
        authority.issue(BANK, request(), now=NOW)
        connection = sqlite3.connect(tmp_path / "ca" / "ledger.sqlite")
        with connection:
            connection.execute("UPDATE issued SET identity = 'nobody'")
        connection.close()
        with pytest.raises(AuthorityError, match="damaged"):
            authority.issued()

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "is empty: the authority's ledger is lost"),
            ("CREATE TABLE slotmap (x INTEGER)", "is a database of another program"),
        ],
    )
    def test_empty_or_foreign_book_is_noticed_at_start(
        self, authority: Authority, tmp_path: Path, content: str, said: str
    ) -> None:
        del authority
        ledger_file = tmp_path / "ca" / "ledger.sqlite"
        files.write_private(ledger_file, b"")
        with closing(sqlite3.connect(ledger_file)) as connection, connection:
            connection.execute(content)
        with pytest.raises(AuthorityError, match=said) as caught:
            Authority(tmp_path / "ca")
        assert "backup" in caught.value.hint

    def test_book_of_a_newer_release_is_noticed_at_start(self, authority: Authority, tmp_path: Path) -> None:
        del authority
        with closing(sqlite3.connect(tmp_path / "ca" / "ledger.sqlite")) as connection, connection:
            connection.execute("PRAGMA user_version = 2")
        with pytest.raises(AuthorityError, match="has format 2") as caught:
            Authority(tmp_path / "ca")
        assert "newer release" in caught.value.hint

    def test_book_that_others_can_read_is_noticed_at_start(self, authority: Authority, tmp_path: Path) -> None:
        del authority
        (tmp_path / "ca" / "ledger.sqlite").chmod(0o640)
        with pytest.raises(KeyFileError, match=r"ledger\.sqlite can be reached by others \(mode 0640\)") as caught:
            Authority(tmp_path / "ca")
        assert caught.value.hint.startswith("run: chmod 600 ")

    def test_full_disk_is_told_as_one(self, tmp_path: Path, authority: Authority) -> None:
        del authority
        ledger = Ledger(tmp_path / "ca" / "ledger.sqlite")

        def write_more() -> None:
            with ledger.transaction() as transaction:
                # SQLite's own limit, which it reports as a disk without room.
                vars(transaction)["_db"].execute("PRAGMA max_page_count = 1")
                vars(transaction)["_db"].execute("CREATE TABLE more AS SELECT randomblob(1000000) AS x")

        with pytest.raises(AuthorityError, match="full") as caught:
            write_more()
        assert "make room" in caught.value.hint
        assert "backup" not in caught.value.hint
        ledger.check()

    def test_book_that_another_program_holds_is_told_as_that(
        self, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("remsim.pki.ledger._BUSY_TIMEOUT_S", 0.0)
        with closing(sqlite3.connect(tmp_path / "ca" / "ledger.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(AuthorityError, match="locked") as caught:
                authority.issued()
        assert "another program holds the file" in caught.value.hint

    @pytest.mark.parametrize("name", ["authority.pem", "authority-key.pem"])
    def test_broken_file_is_named_with_what_mends_it(self, authority: Authority, tmp_path: Path, name: str) -> None:
        del authority
        path = tmp_path / "ca" / name
        files.write_private(path, b"not PEM")
        with pytest.raises(PkiError, match=re.escape(f"{path}: ")) as caught:
            Authority(tmp_path / "ca")
        assert "backup" in caught.value.hint

    def test_step_that_fails_leaves_nothing(self, authority: Authority) -> None:
        with pytest.raises(CertificateError):
            authority.redeem(BANK, authority.make_code(BANK, now=NOW).code_id, bytes(16), b"none", now=NOW)
        assert authority.issued() == []

# SPDX-License-Identifier: Apache-2.0
"""The authority of one installation: issues, renews and revokes certificates, and hands out one-time codes.

It lives in a directory of the server's host: key, certificate, ledger and revocation list. Times are arguments, in
seconds since 1970. Knows no network; see ``remsim.pki.enrolment_service`` for those who ask from afar.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from remsim.core.errors import NO_SERVERS_STATE
from remsim.core.identity import Identity
from remsim.pki import codes, files, signing
from remsim.pki.clock import Dates, Record, SigningClock, is_from_future, read_record
from remsim.pki.codes import CodeVerdict, EnrolmentCode, StoredCode, check_attempt
from remsim.pki.errors import AuthorityError, AuthorityRefusalError, PkiError, RenewalLimitError, about_file
from remsim.pki.facts import REVOCATION_LIST, RevocationFacts, decode_pem, read_certificate, read_revocation_list
from remsim.pki.ledger import Issued, Ledger, LedgerTransaction
from remsim.pki.messages import RENEWAL_PERIOD_S, RENEWALS_ALLOWED, certificate_fingerprint, renewal_content

KEY_FILE: Final = "authority-key.pem"
CERTIFICATE_FILE: Final = "authority.pem"
LEDGER_FILE: Final = "ledger.sqlite"
LIST_FILE: Final = "revocations.pem"
CLOCK_FILE: Final = "clock.json"

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
#: Long enough for a host that is away for a month, short enough that a forgotten one drops out by itself.
LIFETIME: Final = timedelta(days=90)
#: The list is made anew so often, whether or not anything was revoked, to show that nothing was held back.
LIST_INTERVAL_S: Final = 3600.0
#: Used and expired codes stay so long, so that a host that comes late is told why it fails.
_CODES_KEPT_S: Final = 7 * 86400.0
_SERIAL_BITS: Final = 159


class Authority:
    """An authority that exists. Every method raises PkiError only."""

    def __init__(self, directory: Path, *, is_clock_watched: bool = False) -> None:
        """Open the authority in ``directory``. Raises AuthorityError or KeyFileError.

        ``is_clock_watched``: the times that it is told are those of the system's clock, and a jump dates nothing.
        """
        self._directory = directory
        if not (directory / CERTIFICATE_FILE).exists():
            raise AuthorityError(
                f"there is no authority in {directory.absolute()}",
                # One made beside the server's own would issue certificates that nobody accepts.
                hint=NO_SERVERS_STATE,
            )
        files.check_private_directory(directory)
        self._load()
        self._ledger = Ledger(directory / LEDGER_FILE)
        self._ledger.check()
        self._clock = SigningClock(directory / CLOCK_FILE) if is_clock_watched else None

    def _load(self) -> None:
        path = self._directory / CERTIFICATE_FILE
        #: The certificate that every host trusts, PEM.
        self.certificate = files.read_public(path)
        with about_file(path):
            self.facts = read_certificate(decode_pem(self.certificate)[0])
        key_path = self._directory / KEY_FILE
        with about_file(key_path):
            self._issuer = signing.Issuer(files.read_private(key_path), self.certificate)

    def reload(self) -> bool:
        """Take over a certificate that another process has made by ``extend``; whether there is one."""
        if files.read_public(self._directory / CERTIFICATE_FILE) == self.certificate:
            return False
        self._load()
        return True

    def dates(self, now: float) -> Dates:
        """What to date things with when the system's clock says ``now``."""
        return Dates(now, now) if self._clock is None else self._clock.read(now)

    def clock_record(self) -> Record | None:
        """The last good time that a process has kept, if one has."""
        return read_record(self._directory / CLOCK_FILE)

    def extend(self, now: float) -> None:
        """Sign a new certificate of the same key and name, which lasts as long as a new authority's from ``now`` on.

        What was issued stays good, and hosts that trust the old one trust the new one when a renewal brings it.
        """
        dates = self.dates(now)
        key = files.read_private(self._directory / KEY_FILE)
        certificate = self._issuer.extended(
            key, serial=_new_serial(), now=_moment(dates.begins), until=_moment(dates.now) + AUTHORITY_LIFETIME
        )
        files.write_public(self._directory / CERTIFICATE_FILE, certificate)
        self._load()
        self.publish_list(now)

    def is_list_due(self, facts: RevocationFacts, now: float) -> bool:
        """Whether the list is to be signed anew although nothing was revoked: for its age, or because it is to come."""
        begins = self.dates(now).begins
        return begins - facts.issued_at.timestamp() > LIST_INTERVAL_S or is_from_future(facts.issued_at, begins)

    @classmethod
    def create(cls, directory: Path, *, name: str, now: float) -> Self:
        """Make a new authority. Raises AuthorityError if there is one; its key is never overwritten."""
        files.make_private_directory(directory)
        if (directory / CERTIFICATE_FILE).exists():
            raise AuthorityError(
                f"{directory} has an authority already", hint="see it with: remsim pki show; or choose another --state"
            )
        key = signing.make_key()
        certificate = signing.make_authority(
            key, name=name, serial=_new_serial(), now=_moment(now), lifetime=AUTHORITY_LIFETIME
        )
        files.write_private(directory / KEY_FILE, key)
        Ledger(directory / LEDGER_FILE).create()
        # Last: what began without reaching this can begin again.
        files.write_public(directory / CERTIFICATE_FILE, certificate)
        authority = cls(directory)
        authority.publish_list(now)
        return authority

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the authority's certificate: what a code carries."""
        return certificate_fingerprint(self.certificate)

    @property
    def list_file(self) -> Path:
        """Where the newest revocation list is."""
        return self._directory / LIST_FILE

    # Certificates

    def issue(self, identity: Identity, request: bytes, *, now: float, hosts: Sequence[str] = ()) -> Issued:
        """Certify the key of a request (PEM), whatever name the request itself gives."""
        issued = self._sign(identity, request, self.dates(now), hosts)
        with self._ledger.transaction() as ledger:
            ledger.add(issued)
        return issued

    def renew(self, certificate: bytes, request: bytes, signature: bytes, *, now: float) -> Issued:
        """Certify a new key for the holder of ``certificate``, who signed ``renewal_content`` with the old one.

        A request that was granted before gets the same answer again. Raises AuthorityRefusalError for everybody
        else, and RenewalLimitError for a host that renews all the time.
        """
        dates = self.dates(now)
        now = dates.now
        key = codes.key_fingerprint(signing.read_request(request).public_bytes)
        old = read_certificate(decode_pem(certificate)[0])
        with self._ledger.transaction() as ledger:
            known = ledger.by_serial(old.serial)
            if known is None or decode_pem(known.pem) != decode_pem(certificate):
                raise AuthorityRefusalError("this authority did not issue the certificate")
            if not signing.is_signed_by(known.pem, signature, renewal_content(certificate, request)):
                raise AuthorityRefusalError("the renewal is not signed with the key of the certificate")
            if not known.is_valid(now):
                reason = "expired" if known.revoked_at is None else "revoked"
                raise AuthorityRefusalError(f"the certificate is {reason}", hint=_enrol_again(known.identity))
            repeated = _usable(ledger.of_key(key), known.identity, now)
            if repeated is not None:
                return repeated
            _check_pace(ledger, known.identity, now)
            issued = self._sign(known.identity, request, dates, old.hosts)
            ledger.add(issued)
        return issued

    def revoke(self, serials: Sequence[int], *, now: float, reason: str = "") -> list[Issued]:
        """Revoke these certificates and publish the list. Returns them as they are now.

        All codes of their identities end with them, also those that were used: nobody shall get anything more for one.
        """
        with self._ledger.transaction() as ledger:
            for serial in serials:
                known = ledger.by_serial(serial)
                if known is None:
                    raise AuthorityError(f"no certificate has the serial number {serial:x}", hint="see remsim pki show")
                ledger.withdraw_codes(known.identity, used_too=True)
            return self._revoke(ledger, serials, now, reason)

    def revoke_identity(self, identity: Identity, *, now: float, reason: str = "") -> list[Issued]:
        """Revoke all valid certificates of exactly this identity, with its codes, and publish the list.

        Returns the certificates as they are now. Nobody can renew one of them in between.
        """
        now = self.dates(now).now
        with self._ledger.transaction() as ledger:
            ledger.withdraw_codes(identity, used_too=True)
            valid = [entry.serial for entry in ledger.of_identity(identity) if entry.is_valid(now)]
            return self._revoke(ledger, valid, now, reason)

    def issued(self) -> list[Issued]:
        """Everything that was ever issued, in that order."""
        with self._ledger.transaction() as ledger:
            return ledger.all()

    def issued_to(self, identity: Identity) -> list[Issued]:
        """Everything that was ever issued to exactly this identity."""
        with self._ledger.transaction() as ledger:
            return ledger.of_identity(identity)

    def revocations(self) -> RevocationFacts | None:
        """What the newest list says; None if there is none."""
        if not self.list_file.exists():
            return None
        with about_file(self.list_file, "remove it: the server signs a new one"):
            return read_revocation_list(decode_pem(files.read_public(self.list_file), REVOCATION_LIST)[0])

    def publish_list(self, now: float) -> bytes:
        """Sign the list of what is revoked and not expired, store it, and return it (PEM)."""
        with self._ledger.transaction() as ledger:
            return self._publish(ledger, now)

    def _revoke(self, ledger: LedgerTransaction, serials: Sequence[int], now: float, reason: str) -> list[Issued]:
        for serial in serials:
            ledger.revoke(serial, at=now, reason=reason)
        if serials:
            self._publish(ledger, now)
        return [found for serial in serials if (found := ledger.by_serial(serial)) is not None]

    def _publish(self, ledger: LedgerTransaction, now: float) -> bytes:
        # Within the transaction: what the ledger says is revoked is on the list, and an earlier list never follows a
        # later one. A process that dies before the ledger is written leaves a list that is ahead of it, in number, too.
        number = ledger.next_list_number(above=self._published_number())
        begins = self.dates(now).begins
        revoked = [
            signing.Revoked(entry.serial, _moment(min(entry.revoked_at, begins)))
            for entry in ledger.all()
            if entry.revoked_at is not None and begins < entry.expires_at
        ]
        signed = self._issuer.revocation_list(revoked, number=number, now=_moment(begins))
        files.write_public(self.list_file, signed)
        return signed

    def _published_number(self) -> int:
        try:
            return read_revocation_list(decode_pem(files.read_public(self.list_file), REVOCATION_LIST)[0]).number
        except PkiError:
            # There is none yet, or it is damaged: the ledger counts, too.
            return 0

    # Codes

    def make_code(self, identity: Identity, *, now: float) -> EnrolmentCode:
        """A one-time code; earlier ones for the same identity that nobody used end with it."""
        now = self.dates(now).now
        code = EnrolmentCode(
            identity,
            secrets.token_bytes(codes.CODE_ID_BYTES),
            secrets.token_bytes(codes.SECRET_BYTES),
            self.fingerprint,
        )
        with self._ledger.transaction() as ledger:
            ledger.drop_codes(expired_before=now - _CODES_KEPT_S)
            ledger.withdraw_codes(identity, used_too=False)
            ledger.put_code(StoredCode.of(code, now))
        return code

    def codes(self) -> list[StoredCode]:
        """What became of every code that is not forgotten yet, in the order in which they were made."""
        with self._ledger.transaction() as ledger:
            return ledger.codes()

    def knows_code(self, code_id: bytes) -> bool:
        """Whether there is a code of this name."""
        with self._ledger.transaction() as ledger:
            return ledger.code(code_id) is not None

    def is_good_code(self, code_id: bytes, *, now: float) -> bool:
        """Whether there is a code of this name that may still lead to a certificate."""
        with self._ledger.transaction() as ledger:
            stored = ledger.code(code_id)
        return stored is not None and stored.tries_left > 0 and not stored.is_withdrawn and now < stored.expires_at

    def serial_if_good(self, certificate: bytes, *, now: float) -> int | None:
        """The serial number of a certificate (PEM) of this authority that is valid; None: it is not.

        Raises CertificateError for what is no certificate.
        """
        der = decode_pem(certificate)
        serial = read_certificate(der[0]).serial
        with self._ledger.transaction() as ledger:
            known = ledger.by_serial(serial)
        return serial if known is not None and decode_pem(known.pem) == der and known.is_valid(now) else None

    def redeem(
        self, identity: Identity, code_id: bytes, secret: bytes, request: bytes, *, now: float
    ) -> tuple[CodeVerdict, Issued | None]:
        """Certify the key of ``request`` for a host with a good code. Raises CertificateError for a bad request.

        A code is good for one certificate: if that does not hold any more, a second request gets nothing.
        """
        dates = self.dates(now)
        now = dates.now
        key = codes.key_fingerprint(signing.read_request(request).public_bytes)
        with self._ledger.transaction() as ledger:
            stored = ledger.code(code_id)
            verdict, following = check_attempt(stored, codes.Attempt(identity, secret, key), now)
            if following is not None and following != stored:
                ledger.put_code(following)
            if not verdict.is_good:
                return verdict, None
            issued = _usable(ledger.of_key(key), identity, now)
            if issued is None and verdict is CodeVerdict.REPEATED:
                return CodeVerdict.USED, None
            if issued is None:
                issued = self._sign(identity, request, dates, ())
                ledger.add(issued)
        return verdict, issued

    def _sign(self, identity: Identity, request: bytes, dates: Dates, hosts: Sequence[str]) -> Issued:
        checked = signing.read_request(request)
        if _moment(dates.now) >= self.facts.not_after:
            raise AuthorityError(
                f"the authority in {self._directory} ended on {self.facts.not_after:%Y-%m-%d} and certifies nobody",
                hint="check the clock; if it is right, give it a new certificate: remsim pki extend",
            )
        serial, begins = _new_serial(), _moment(dates.begins)
        lifetime = _moment(dates.now) + LIFETIME - begins
        pem = self._issuer.issue(checked, identity, serial=serial, now=begins, lifetime=lifetime, hosts=hosts)
        facts = read_certificate(decode_pem(pem)[0])
        return Issued(
            serial=serial,
            identity=identity,
            key_fingerprint=codes.key_fingerprint(checked.public_bytes),
            pem=pem,
            issued_at=dates.now,
            expires_at=facts.not_after.timestamp(),
        )


def _usable(found: Sequence[Issued], identity: Identity, now: float) -> Issued | None:
    return next((entry for entry in found if entry.identity == identity and entry.is_valid(now)), None)


def _check_pace(ledger: LedgerTransaction, identity: Identity, now: float) -> None:
    times = ledger.latest(identity, RENEWALS_ALLOWED)
    # A time to come is that of a clock that was wrong.
    wait_s = times[-1] + RENEWAL_PERIOD_S - now if len(times) == RENEWALS_ALLOWED else 0.0
    if 0 < wait_s <= RENEWAL_PERIOD_S:
        raise RenewalLimitError(
            f"{identity} has had {RENEWALS_ALLOWED} certificates within a day",
            hint="its certificate stays valid; if nobody renews it on purpose, revoke it: the key may be stolen",
            wait_s=wait_s,
        )


def _enrol_again(identity: Identity) -> str:
    return f"enrol again: remsim pki code {identity} on the server, then remsim enroll on this host"


def _new_serial() -> int:
    # The top bit makes all of them equally long; the rest cannot be guessed (RFC 5280, 4.1.2.2).
    return secrets.randbits(_SERIAL_BITS - 1) | 1 << (_SERIAL_BITS - 2)


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).replace(microsecond=0)

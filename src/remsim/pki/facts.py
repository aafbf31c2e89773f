# SPDX-License-Identifier: Apache-2.0
"""What stands in a certificate or a revocation list, read without any library (RFC 5280, clauses 4.1 and 5.1).

Only facts: nothing here checks a signature. Who reads a certificate of a peer has it from a TLS handshake, which did;
who reads a list checks it with ``remsim.pki.toolkit``. Arbitrary bytes raise CertificateError and nothing else.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from remsim.card.errors import TlvError
from remsim.card.tlv import Tlv, parse_tlvs
from remsim.core.errors import RemsimError
from remsim.core.identity import SCHEME, Identity
from remsim.core.values import dataclass
from remsim.pki.errors import CertificateError

CERTIFICATE: Final = "CERTIFICATE"
REVOCATION_LIST: Final = "X509 CRL"

_INTEGER, _BYTES, _OID, _UTC_TIME, _TIME, _SEQUENCE = 0x02, 0x04, 0x06, 0x17, 0x18, 0x30
_SAN_OID: Final = bytes.fromhex("551d11")
_CONSTRAINTS_OID: Final = bytes.fromhex("551d13")
_KEY_ID_OID: Final = bytes.fromhex("551d0e")
_ISSUER_KEY_ID_OID: Final = bytes.fromhex("551d23")
#: id-ecPublicKey (RFC 5480, clause 2.1.1).
_EC_KEY_OID: Final = bytes.fromhex("2a8648ce3d0201")
_CRL_NUMBER_OID: Final = bytes.fromhex("551d14")
#: Kinds of alternative names (RFC 5280, clause 4.2.1.6).
_HOST_NAME, _URI_NAME, _ADDRESS_NAME = 0x82, 0x86, 0x87
_TIME_FORM: Final = re.compile(rb"([0-9]{2}|[0-9]{4})([0-9]{10})Z")


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. ``identity`` is None if it names none, as that of an authority."""

    serial: int
    identity: Identity | None
    not_before: datetime
    not_after: datetime
    is_authority: bool
    #: The whole SubjectPublicKeyInfo: two certificates of one key have the same.
    public_key: bytes
    issuer: bytes
    subject: bytes
    #: Names and addresses by which browsers reach a server.
    hosts: tuple[str, ...] = ()
    #: Which key this is, and which one signed it, as certificates of one authority say alike; empty where they do not.
    key_id: bytes = b""
    issuer_key_id: bytes = b""

    def is_of(self, authority: "CertificateFacts") -> bool:
        """Whether it says that this authority issued it. No signature is checked."""
        is_key = not self.issuer_key_id or self.issuer_key_id == authority.key_id
        return self.issuer == authority.subject and is_key

    def is_same_authority(self, other: "CertificateFacts") -> bool:
        """Whether both are certificates of one authority: of the same name and key."""
        is_alike = (self.subject, self.public_key) == (other.subject, other.public_key)
        return is_alike and self.is_authority and other.is_authority


@dataclass(frozen=True, slots=True)
class RevocationFacts:
    """One revocation list."""

    number: int
    issued_at: datetime
    serials: frozenset[int]
    issuer: bytes
    #: Which key signed it; empty where it does not say.
    issuer_key_id: bytes = b""

    def is_of(self, authority: CertificateFacts) -> bool:
        """Whether it says that this authority issued it. No signature is checked."""
        is_key = not self.issuer_key_id or self.issuer_key_id == authority.key_id
        return self.issuer == authority.subject and is_key


def decode_pem(pem: bytes, label: str = CERTIFICATE) -> list[bytes]:
    """The bytes of all blocks with ``label`` (RFC 7468). Raises CertificateError if there is none, or a broken one."""
    bodies = pem_bodies(pem, label)
    try:
        blocks = [base64.b64decode(b"".join(body.split()), validate=True) for body in bodies]
    except binascii.Error:
        raise CertificateError(f"PEM text with a broken {label}") from None
    if not blocks:
        raise CertificateError(f"there is no {label} in PEM form")
    return blocks


def pem_bodies(pem: bytes, label: str) -> list[bytes]:
    """What stands between the lines that begin and end blocks with ``label``.

    Each byte is looked at once or twice, whatever the text is: it comes from anybody.
    """
    begin, end = (b"-----%s %s-----" % (word, label.encode()) for word in (b"BEGIN", b"END"))
    bodies: list[bytes] = []
    start = pem.find(begin)
    while start >= 0:
        start += len(begin)
        stop = pem.find(end, start)
        if stop < 0:
            break
        bodies.append(pem[start:stop])
        start = pem.find(begin, stop + len(end))
    return bodies


def encode_pem(der: bytes, label: str = CERTIFICATE) -> bytes:
    """Bytes as PEM text (RFC 7468)."""
    text = base64.b64encode(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join((b"-----BEGIN %s-----" % label.encode(), *lines, b"-----END %s-----" % label.encode(), b""))


def read_certificate(der: bytes) -> CertificateFacts:
    """Read a certificate. Raises CertificateError, also for one with several identities or a broken one."""
    fields = _Fields(_outer(der))
    fields.optional(0xA0)
    serial = _integer(fields.take(_INTEGER))
    fields.take(_SEQUENCE)
    issuer = fields.take(_SEQUENCE)
    not_before, not_after = (_time(tlv) for tlv in _exactly(_parse(fields.take(_SEQUENCE)), 2))
    subject = fields.take(_SEQUENCE)
    public_key = fields.take(_SEQUENCE)
    _check_curve(public_key)
    extensions = _extensions(fields, 0xA3)
    constraints = extensions.get(_CONSTRAINTS_OID)
    names = _names(extensions.get(_SAN_OID))
    return CertificateFacts(
        serial=serial,
        identity=_identity(names),
        not_before=not_before,
        not_after=not_after,
        is_authority=constraints is not None and b"\x01\x01\xff" in constraints,
        public_key=public_key,
        issuer=issuer,
        subject=subject,
        hosts=_hosts(names),
        key_id=_key_id(extensions.get(_KEY_ID_OID)),
        issuer_key_id=_issuer_key_id(extensions.get(_ISSUER_KEY_ID_OID)),
    )


def read_revocation_list(der: bytes) -> RevocationFacts:
    """Read a revocation list. Raises CertificateError."""
    fields = _Fields(_outer(der))
    fields.optional(_INTEGER)
    fields.take(_SEQUENCE)
    issuer = fields.take(_SEQUENCE)
    issued_at = _time(fields.next())
    for tag in (_UTC_TIME, _TIME):
        fields.optional(tag)
    entries = fields.optional(_SEQUENCE)
    serials = [_integer(_Fields(entry.value).take(_INTEGER)) for entry in _parse(entries or b"")]
    extensions = _extensions(fields, 0xA0)
    number = extensions.get(_CRL_NUMBER_OID)
    if number is None:
        raise CertificateError("the revocation list has no number")
    key_id = _issuer_key_id(extensions.get(_ISSUER_KEY_ID_OID))
    return RevocationFacts(_integer(_Fields(number).take(_INTEGER)), issued_at, frozenset(serials), issuer, key_id)


class _Fields:
    """The elements of one SEQUENCE, taken one after the other."""

    def __init__(self, content: bytes) -> None:
        self._left = _parse(content)[::-1]

    def next(self) -> Tlv:
        if not self._left:
            raise CertificateError("a certificate or list is cut short")
        return self._left.pop()

    def take(self, tag: int) -> bytes:
        found = self.next()
        if found.tag != tag:
            raise CertificateError(f"element {found.tag:X} where {tag:X} belongs")
        return found.value

    def optional(self, tag: int) -> bytes | None:
        return self._left.pop().value if self._left and self._left[-1].tag == tag else None


def _parse(content: bytes) -> list[Tlv]:
    try:
        return parse_tlvs(content)
    except TlvError as error:
        raise CertificateError(f"not a certificate or list: {error}") from None


def _outer(der: bytes) -> bytes:
    """The content of the part that is signed."""
    (whole,) = _exactly(_parse(der), 1)
    signed = _Fields(whole.value)
    if whole.tag != _SEQUENCE:
        raise CertificateError("not a certificate or list")
    return signed.take(_SEQUENCE)


def _exactly(found: Sequence[Tlv], count: int) -> Sequence[Tlv]:
    if len(found) != count:
        raise CertificateError(f"{len(found)} elements where {count} belong")
    return found


def _integer(raw: bytes) -> int:
    if not raw:
        raise CertificateError("an empty number")
    return int.from_bytes(raw, signed=True)


def _time(tlv: Tlv) -> datetime:
    match = _TIME_FORM.fullmatch(tlv.value)
    if match is None or len(match[1]) != {_UTC_TIME: 2, _TIME: 4}.get(tlv.tag, 0):
        raise CertificateError("a time that is none")
    year = int(match[1])
    if tlv.tag == _UTC_TIME:
        # RFC 5280, 4.1.2.5.1: two digits mean 1950 to 2049.
        year += 1900 if year >= 50 else 2000
    try:
        return datetime.strptime(f"{year:04d}{match[2].decode()}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise CertificateError("a time that is none") from None


def _extensions(fields: _Fields, tag: int) -> dict[bytes, bytes]:
    content = fields.optional(tag)
    # Unique identifiers ([1] and [2]) of a certificate may stand before; nobody has used them for decades.
    if content is None:
        return {}
    found: dict[bytes, bytes] = {}
    for extension in _parse(_Fields(content).take(_SEQUENCE)):
        parts = _Fields(extension.value)
        name = parts.take(_OID)
        parts.optional(0x01)
        if name in found:
            raise CertificateError("an extension that stands twice")
        found[name] = parts.take(_BYTES)
    return found


def _check_curve(public_key: bytes) -> None:
    """Raises CertificateError for a key that has the parameters of its curve written out: they may be of another."""
    algorithm = _Fields(_Fields(public_key).take(_SEQUENCE))
    if algorithm.take(_OID) == _EC_KEY_OID and algorithm.optional(_OID) is None:
        raise CertificateError("the key of a certificate does not name its curve")


def _key_id(extension: bytes | None) -> bytes:
    return b"" if extension is None else _Fields(extension).take(_BYTES)


def _issuer_key_id(extension: bytes | None) -> bytes:
    # RFC 5280, 4.2.1.1: the identifier is [0], implicit, in a SEQUENCE.
    return b"" if extension is None else _Fields(_Fields(extension).take(_SEQUENCE)).optional(0x80) or b""


def _names(extension: bytes | None) -> Sequence[Tlv]:
    return () if extension is None else _parse(_Fields(extension).take(_SEQUENCE))


def _hosts(names: Sequence[Tlv]) -> tuple[str, ...]:
    try:
        return tuple(
            tlv.value.decode("ascii") if tlv.tag == _HOST_NAME else str(ip_address(tlv.value))
            for tlv in names
            if tlv.tag in (_HOST_NAME, _ADDRESS_NAME)
        )
    except ValueError:
        raise CertificateError("a certificate with a host name or address that is none") from None


def _identity(names: Sequence[Tlv]) -> Identity | None:
    uris = [tlv.value for tlv in names if tlv.tag == _URI_NAME]
    ours = [uri for uri in uris if uri.startswith(SCHEME.encode())]
    if len(ours) > 1:
        raise CertificateError("a certificate that names several identities")
    if not ours:
        return None
    try:
        return Identity.parse(ours[0].decode("ascii"))
    except (RemsimError, UnicodeDecodeError):
        raise CertificateError("a certificate whose identity cannot be read") from None

# SPDX-License-Identifier: Apache-2.0
"""Everything that is done with ``cryptography``: keys, requests, certificates and revocation lists (RFC 5280).

Takes and returns PEM; the time is an argument. Imported only by those who sign or need this very library; what only
reads certificates uses ``remsim.pki.facts``.
"""

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from remsim.core.identity import Identity, Role
from remsim.core.values import dataclass
from remsim.pki.errors import CertificateError, KeyFileError
from remsim.pki.facts import pem_bodies

#: Certificates begin a little before they are made: clocks of hosts differ.
BACKDATING: Final = timedelta(minutes=5)

_PEM: Final = serialization.Encoding.PEM
_DER: Final = serialization.Encoding.DER
#: The forms in which programs write a P-256 key without a passphrase (RFC 5208, RFC 5915).
_KEY_LABELS: Final = ("PRIVATE KEY", "EC PRIVATE KEY")
_NAMED_CURVE: Final = "make it anew with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
#: The object identifier of P-256, in DER.
_P256_OID: Final = bytes.fromhex("06082a8648ce3d030107")
_SPKI: Final = serialization.PublicFormat.SubjectPublicKeyInfo
#: How ``cryptography`` refuses what it was given. A version that does not exist is no ValueError of its.
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate request whose signature is good."""

    public_key: ec.EllipticCurvePublicKey
    #: SubjectPublicKeyInfo.
    public_bytes: bytes


@dataclass(frozen=True, slots=True)
class Revoked:
    """One line of a revocation list."""

    serial: int
    revoked_at: datetime


class Issuer:
    """The authority's key and certificate, ready to sign."""

    def __init__(self, key_pem: bytes, certificate_pem: bytes) -> None:
        """Raises KeyFileError or CertificateError."""
        self._key = _load_key(key_pem)
        self._certificate = _load_certificate(certificate_pem)
        if _bytes(self._certificate.public_key()) != _bytes(self._key.public_key()):
            raise KeyFileError("the authority's key and certificate do not belong together")

    @property
    def not_after(self) -> datetime:
        """No certificate may outlive this."""
        return self._certificate.not_valid_after_utc

    def issue(
        self,
        request: Request,
        identity: Identity,
        *,
        serial: int,
        now: datetime,
        lifetime: timedelta,
        hosts: Sequence[str],
    ) -> bytes:
        """A certificate for ``identity``, with host names or addresses for a server that browsers visit."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
        names += [_host_name(host) for host in hosts]
        # Every program both accepts and dials, except for a client; a bankd may be dialled by its server.
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if identity.role is not Role.CLIENT:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(str(identity)))
            .issuer_name(self._certificate.subject)
            .public_key(request.public_key)
            .serial_number(serial)
            .not_valid_before(max(now - BACKDATING, self._certificate.not_valid_before_utc))
            .not_valid_after(min(now + lifetime, self.not_after))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key), critical=False)
            .add_extension(self._authority_key_identifier(), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM)

    def revocation_list(self, revoked: Iterable[Revoked], *, number: int, now: datetime) -> bytes:
        """The signed list.

        It names the end of the authority as the time of its next edition: a list never stops working by itself, which
        would cut every link when the server is down for long. How old it is is judged, and reported, by its date.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now)
            .next_update(max(self.not_after, now + timedelta(days=1)))
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._authority_key_identifier(), critical=False)
        )
        for entry in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(entry.revoked_at).build()
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM)

    def extended(self, key_pem: bytes, *, serial: int, now: datetime, until: datetime) -> bytes:
        """Another certificate of the same key and name; it begins when the old one did, or at ``now`` if earlier."""
        begins = min(now - BACKDATING, self._certificate.not_valid_before_utc)
        return _self_signed(_load_key(key_pem), self._certificate.subject, serial, begins, max(until, self.not_after))

    def _authority_key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def make_key() -> bytes:
    """A new P-256 key, PKCS #8 in PEM form, not encrypted."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def make_authority(key_pem: bytes, *, name: str, serial: int, now: datetime, lifetime: timedelta) -> bytes:
    """A certificate by which the key signs itself as an authority that may not have others below it."""
    subject = _name(f"remsim authority {name}")
    return _self_signed(_load_key(key_pem), subject, serial, now - BACKDATING, now + lifetime)


def _self_signed(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, serial: int, begins: datetime, ends: datetime
) -> bytes:
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(_PEM)


def make_request(key_pem: bytes, name: str) -> bytes:
    """A certificate request. Raises KeyFileError."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(name))
    return builder.sign(_load_key(key_pem), hashes.SHA256()).public_bytes(_PEM)


def read_request(pem: bytes) -> Request:
    """Read a request and check that its maker has the key. Raises CertificateError for anything but P-256."""
    try:
        request = x509.load_pem_x509_csr(pem)
        is_signed = request.is_signature_valid
        public = request.public_key()
    except _UNREADABLE:
        raise CertificateError("this is no certificate request that we understand") from None
    if not is_signed:
        raise CertificateError("the request is not signed by its own key")
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise CertificateError("the request is not for a P-256 key")
    raw = _bytes(public)
    if raw not in request.tbs_certrequest_bytes:
        # RFC 5480, 2.1.1: the curve is named. Where its parameters are written out, they could be those of another.
        raise CertificateError("the key of the request does not name its curve", hint=_NAMED_CURVE)
    return Request(public, raw)


def sign(key_pem: bytes, content: bytes) -> bytes:
    """ECDSA with SHA-256 over ``content``, in DER form. Raises KeyFileError."""
    return _load_key(key_pem).sign(content, ec.ECDSA(hashes.SHA256()))


def is_signed_by(certificate_pem: bytes, signature: bytes, content: bytes) -> bool:
    """Whether ``signature`` over ``content`` is that of the certificate's key. Raises CertificateError."""
    public = _load_certificate(certificate_pem).public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise CertificateError("the certificate is not for a P-256 key")
    try:
        public.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def is_list_signed_by(list_pem: bytes, authority_pem: bytes) -> bool:
    """Whether the authority signed the revocation list. Raises CertificateError."""
    authority = _load_certificate(authority_pem)
    public = authority.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    try:
        found = x509.load_pem_x509_crl(list_pem)
        return found.issuer == authority.subject and found.is_signature_valid(public)
    except _UNREADABLE:
        raise CertificateError("this is no revocation list") from None


def check_hosts(hosts: Iterable[str]) -> None:
    """Raises CertificateError for what cannot stand in a certificate as a host name or address."""
    for host in hosts:
        _host_name(host)


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    # A host's identity file holds key and certificate: the library wants the key alone.
    found = [(label.encode(), body) for label in _KEY_LABELS for body in pem_bodies(pem, label)]
    label, body = found[0] if found else (b"", b"")
    try:
        key = serialization.load_pem_private_key(b"-----BEGIN %s-----%s-----END %s-----\n" % (label, body, label), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError("this is no private key in PEM form without a passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError("the private key is not of P-256")
    if _P256_OID not in base64.b64decode(body):
        raise KeyFileError("the private key does not name its curve", hint=_NAMED_CURVE)
    return key


def _load_certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except _UNREADABLE:
        raise CertificateError("this is no certificate in PEM form") from None


def _bytes(public: object) -> bytes:
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise CertificateError("this is no key of P-256")
    return public.public_bytes(_DER, _SPKI)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise CertificateError(
            f"{host!r} is neither an address nor an ASCII host name", hint="write names in their xn-- form"
        ) from None


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )

# SPDX-License-Identifier: Apache-2.0
"""An authority for tests, with hosts whose credentials are in directories of their own. Real keys, real files."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from remsim.core.identity import Identity, Role
from remsim.net.tls.contexts import Expectation, LinkTls, TlsContexts
from remsim.pki import files, signing
from remsim.pki.authority import Authority
from remsim.pki.credentials import Credentials, ReceivedCertificate

SERVER = Identity.server("lab")
BANK = Identity.bank(1)
CLIENT = Identity.client(23)
ANYBODY = Expectation.of(*Role)

DAY_S = 86400.0


def file_stem(identity: Identity) -> str:
    """``client-23-0``: an identity as part of a file name."""
    return str(identity).replace("/", "-")


class CertificateWorld:
    """One authority. Handshakes look at the real clock, so times here are relative to it."""

    def __init__(self, directory: Path, *, name: str = "lab") -> None:
        self.directory = directory
        self.now = time.time()
        # It has been there for a year, so that there can be certificates that have expired.
        self.authority = Authority.create(directory / "ca", name=name, now=self.now - 365 * DAY_S)
        self.authority.publish_list(self.now)

    def credentials(self, identity: Identity, *, folder: str = "", now: float | None = None) -> Credentials:
        """A host with a certificate for ``identity``, issued at ``now``."""
        credentials = Credentials(self.directory / (folder or file_stem(identity)))
        key = signing.make_key()
        request = signing.make_request(key, "test")
        issued = self.authority.issue(identity, request, now=self.now if now is None else now, hosts=["127.0.0.1"])
        credentials.install_by_hand(
            key, ReceivedCertificate(issued.pem, self.authority.certificate, self.revocations())
        )
        return credentials

    def self_signed(self, identity: Identity) -> Credentials:
        """A certificate for ``identity`` that nobody but its own key vouches for."""
        credentials = Credentials(self.directory / f"self-signed-{file_stem(identity)}")
        key, pem = self_signed_pair(identity, self.now)
        credentials.install_by_hand(key, ReceivedCertificate(pem, self.authority.certificate, self.revocations()))
        return credentials

    def revocations(self) -> bytes:
        """The list as it is now."""
        return files.read_public(self.authority.list_file)

    def revoke(self, credentials: Credentials) -> None:
        """Revoke a host's certificate; nobody is told yet."""
        self.authority.revoke([credentials.certificate().serial], now=self.now)

    def tell(self, credentials: Credentials) -> None:
        """Bring the list to a host, as the server does over control links."""
        files.write_public(credentials.revocations_file, self.revocations())

    def tls(self, identity: Identity, expects: Expectation = ANYBODY, *, folder: str = "") -> LinkTls:
        """One side of a link."""
        return LinkTls(TlsContexts(self.credentials(identity, folder=folder)), expects)


def self_signed_pair(identity: Identity, now: float) -> tuple[bytes, bytes]:
    """Key and certificate (PEM) with an identity as the authority writes it, signed with the same key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(identity))])
    begin = datetime.fromtimestamp(now, UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)]), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, certificate.public_bytes(Encoding.PEM)

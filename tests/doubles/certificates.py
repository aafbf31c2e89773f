# SPDX-License-Identifier: Apache-2.0
"""An authority for tests, with hosts whose credentials are in directories of their own. Real keys, real files."""

import time
from pathlib import Path

from remsim.identity import Identity, Role
from remsim.net.tls import Expectation, LinkTls, TlsContexts
from remsim.pki import files, signing
from remsim.pki.authority import Authority
from remsim.pki.credentials import Credentials, Received

SERVER = Identity.server("lab")
BANK = Identity.bank(1)
CLIENT = Identity.client(23)
ANYBODY = Expectation.of(*Role)

DAY_S = 86400.0


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
        credentials = Credentials(self.directory / (folder or identity.file_stem))
        key = signing.make_key()
        request = signing.make_request(key, "test")
        issued = self.authority.issue(identity, request, now=self.now if now is None else now, hosts=["127.0.0.1"])
        credentials.install_by_hand(key, Received(issued.pem, self.authority.certificate, self.revocations()))
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

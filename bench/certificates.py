# SPDX-License-Identifier: Apache-2.0
"""Certificates for programs under measurement, of an authority of their own; made once, good for many runs.

A thousand certificates take seconds to make, so a folder may be named in which they stay. What is in it protects
nothing: the keys are for loopback.
"""

import time
from pathlib import Path
from typing import Final

from remsim.core.identity import Identity
from remsim.pki import files, signing
from remsim.pki.authority import CERTIFICATE_FILE, Authority
from remsim.pki.credentials import Credentials, ReceivedCertificate, renewal_due

SERVER: Final = Identity.server("bench")
BANK: Final = Identity.bank(1)


class Lab:
    """The authority in ``folder``, and the hosts to which it has given certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        place = folder / "ca"
        if (place / CERTIFICATE_FILE).exists():
            self._authority = Authority(place)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self._authority = Authority.create(place, name="bench", now=time.time())
        self._revocations = self._authority.publish_list(time.time())

    def credentials(self, identity: Identity) -> Credentials:
        """Those of an earlier run if they hold for long enough, else new ones."""
        found = Credentials(self.folder / str(identity).replace("/", "-"))
        if found.exist() and time.time() < renewal_due(found.certificate()).timestamp():
            files.write_public(found.revocations_file, self._revocations)
            return found
        key = signing.make_key()
        issued = self._authority.issue(identity, signing.make_request(key, "bench"), now=time.time())
        found.install_by_hand(key, ReceivedCertificate(issued.pem, self._authority.certificate, self._revocations))
        return found

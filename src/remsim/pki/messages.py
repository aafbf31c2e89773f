# SPDX-License-Identifier: Apache-2.0
"""What both ends of the enrolment protocol share: paths, what a renewal signs, and how often one is granted.

The protocol is in ``enrolment_service``.
"""

import hashlib
from typing import Final

from remsim.pki.facts import decode_pem

PREFIX: Final = "/enrolment"
ANCHOR_PATH: Final = f"{PREFIX}/anchor"
CERTIFICATE_PATH: Final = f"{PREFIX}/certificate"
RENEWAL_PATH: Final = f"{PREFIX}/renewal"

#: A renewal is granted only if the identity got fewer certificates than this within the period, in whatever way. Each
#: is in the ledger and the audit log for ever. A host renews every sixty days, and tries for thirty more.
RENEWALS_ALLOWED: Final = 8
RENEWAL_PERIOD_S: Final = 86400.0


def certificate_fingerprint(pem: bytes) -> bytes:
    """SHA-256 of the first certificate of a PEM text. Raises CertificateError."""
    return hashlib.sha256(decode_pem(pem)[0]).digest()


def renewal_content(certificate: bytes, request: bytes) -> bytes:
    """What the holder of ``certificate`` signs to have ``request`` (both PEM) granted. Raises CertificateError."""
    return b"remsim renewal\0" + certificate_fingerprint(certificate) + hashlib.sha256(request).digest()

# SPDX-License-Identifier: Apache-2.0
"""TLS of clients that only exist to measure others: the event loop's own, with credentials as our clients have."""

import ssl
from pathlib import Path


def client_context(folder: Path) -> ssl.SSLContext:
    """For links to servers and bankds of the same authority; ``folder`` has the credentials."""
    # Most loads are without TLS, and start faster without this.
    from remsim.pki.credentials import Credentials

    credentials = Credentials(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_verify_locations(cafile=credentials.authority_file)
    context.load_cert_chain(credentials.pair_file)
    return context

# SPDX-License-Identifier: Apache-2.0
"""Whom the calls of a library for HTTP trust, where nothing else is said.

The library reads all certificates that the system trusts before the first call, also for an URL without TLS. That takes
longer than the call itself, each time a command is run.
"""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import ssl


def system_trust(url: str) -> "ssl.SSLContext | Literal[True]":
    """What to hand to httpx2 as ``verify``: for https what the system trusts; for http, which needs none, nobody."""
    if url.lower().startswith("https:"):
        return True
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

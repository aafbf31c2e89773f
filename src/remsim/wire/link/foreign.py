# SPDX-License-Identifier: Apache-2.0
"""Other protocols that somebody speaks at the wrong port, known by their first bytes. Words for people."""

from typing import Final

_ELSEWHERE: Final = "check host and port"
_KNOWN: Final = (
    (b"HTTP", "this is HTTP, not RSPRO: is that the REST port?"),
    *(
        (method, "this is HTTP, not RSPRO: REST has a port of its own")
        for method in (b"GET ", b"POST", b"HEAD", b"PUT ")
    ),
    (b"\x15\x03", "this is TLS, not RSPRO over plain TCP: the peer wants a certificate; enrol this host"),
    (b"\x16\x03", "this is TLS, not RSPRO over plain TCP: the peer has a certificate, this program has none here"),
    (b"SSH-", f"this is SSH, not RSPRO: {_ELSEWHERE}"),
    (b"220 ", f"this is a mail or file server: {_ELSEWHERE}"),
    (b"220-", f"this is a mail or file server: {_ELSEWHERE}"),
)
#: How many bytes are looked at.
LOOKED_AT: Final = 4


def foreign_protocol(start: bytes) -> str:
    """What begins like this where an RSPRO link should; empty: it is not known."""
    return next((words for head, words in _KNOWN if start.startswith(head)), "")

# SPDX-License-Identifier: Apache-2.0
"""Who speaks another protocol at an RSPRO port is told which one."""

import pytest

from remsim.wire.errors import FrameError
from remsim.wire.ipa import FrameReader


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request", "this is HTTP, not RSPRO: is that the REST port?"),
        (b"GET / HTTP/1.1", "this is HTTP, not RSPRO: REST has a port of its own"),
        (bytes.fromhex("15030300020246"), "the peer wants a certificate; enrol this host"),
        (bytes.fromhex("1603010200010001fc"), "the peer has a certificate, this program has none here"),
        (b"SSH-2.0-OpenSSH_9.2", "this is SSH"),
        (b"220 mail.example ESMTP", "mail or file server"),
        (bytes.fromhex("000055"), "unknown IPA protocol 55"),
    ],
)
def test_protocol_at_the_wrong_port_is_named(said: bytes, words: str) -> None:
    reader = FrameReader()
    reader.receive_data(said)
    with pytest.raises(FrameError) as caught:
        reader.next_frame()
    assert words in str(caught.value)

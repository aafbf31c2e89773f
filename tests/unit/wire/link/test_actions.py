# SPDX-License-Identifier: Apache-2.0
"""How addresses of peers are written."""

from ipaddress import ip_address

import pytest

from remsim.wire.link.actions import PeerAddress


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:9998"), ("2001:db8::1", "[2001:db8::1]:9998")])
def test_address_is_written_as_in_a_url(host: str, text: str) -> None:
    assert str(PeerAddress(ip_address(host), 9998)) == text

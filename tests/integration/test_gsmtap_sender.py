# SPDX-License-Identifier: Apache-2.0
"""GSMTAP goes out to hosts that listen and to hosts where only a capture looks on."""

import socket

from remsim.config import HostPort
from remsim.net.gsmtap import GsmtapSender
from remsim.trace.gsmtap import AtrRecord, TpduRecord, encode_gsmtap

_ATR = AtrRecord(0, bytes.fromhex("3b00"))
_TPDU = TpduRecord(0, bytes.fromhex("00c0000001"), bytes.fromhex("009000"))


async def test_records_arrive_as_datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10.0)
        sender = await GsmtapSender.open(HostPort("127.0.0.1", listener.getsockname()[1]))
        sender.send(_ATR)
        sender.send(_TPDU)
        assert [listener.recv(100), listener.recv(100)] == [encode_gsmtap(_ATR), encode_gsmtap(_TPDU)]
        sender.close()


async def test_absence_of_a_listener_loses_no_datagram() -> None:
    """Each unheard datagram is answered by ICMP, and the next call reports that instead of sending."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
    sender = await GsmtapSender.open(HostPort("127.0.0.1", port))
    for _ in range(10):
        sender.send(_TPDU)
    assert sender.lost == 0
    sender.close()

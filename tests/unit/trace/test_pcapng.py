# SPDX-License-Identifier: Apache-2.0
"""Captures, read back by what the formats say."""

import struct

from remsim.trace.gsmtap import AtrRecord, TpduRecord, encode_gsmtap
from remsim.trace.pcapng import CapturePacket, file_header, packet_block

RECORD = TpduRecord(3, bytes.fromhex("00a40004023f00"), bytes.fromhex("9000"))


def blocks(raw: bytes) -> list[tuple[int, bytes]]:
    """Kind and body of each block; both of its lengths agree, and nothing is left."""
    found = []
    while raw:
        kind, length = struct.unpack_from("<II", raw)
        assert length % 4 == 0
        assert struct.unpack_from("<I", raw, length - 4) == (length,)
        found.append((kind, raw[8 : length - 4]))
        raw = raw[length:]
    return found


def options(raw: bytes) -> dict[int, str]:
    found: dict[int, str] = {}
    while raw:
        code, length = struct.unpack_from("<HH", raw)
        found[code] = raw[4 : 4 + length].decode()
        raw = raw[4 + length + -length % 4 :]
    return found


def test_file_begins_with_its_section_and_interface() -> None:
    (section, about), (interface, link) = blocks(file_header("B1:3"))
    assert (section, interface) == (0x0A0D0D0A, 1)
    assert struct.unpack_from("<IHHq", about) == (0x1A2B3C4D, 1, 0, -1)
    assert options(about[16:])[4].startswith("remsim ")
    assert struct.unpack_from("<H", link) == (228,)
    assert options(link[8:])[2] == "B1:3"


def test_packet_is_gsmtap_as_it_is_sent_in_udp_in_ipv4() -> None:
    ((kind, body),) = blocks(packet_block(CapturePacket(1.5, RECORD, "SELECT MF")))
    interface, high, low, captured, length = struct.unpack_from("<IIIII", body)
    assert (kind, interface, high << 32 | low) == (6, 0, 1_500_000)
    assert captured == length
    packet = body[20 : 20 + captured]
    assert packet[28:] == encode_gsmtap(RECORD)
    assert (packet[0], packet[9], struct.unpack_from(">H", packet, 2)[0]) == (0x45, 17, len(packet))
    # RFC 1071: the sum over a header with its checksum is all ones.
    total = sum(struct.unpack(">10H", packet[:20]))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    assert struct.unpack_from(">HHH", packet, 20) == (4729, 4729, len(packet) - 20)
    assert options(body[20 + captured + -captured % 4 :])[1] == "SELECT MF"


def test_packet_without_a_comment_has_no_options() -> None:
    ((_, body),) = blocks(packet_block(CapturePacket(0.0, AtrRecord(0, b"\x3b\x00"))))
    (captured,) = struct.unpack_from("<I", body, 12)
    assert len(body) == 20 + captured + -captured % 4

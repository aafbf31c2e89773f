# SPDX-License-Identifier: Apache-2.0
"""Packets of captures in both formats, in either byte order, behind every kind of link; and what is no capture."""

import io
import struct
from collections.abc import Callable

import pytest

from remsim.trace.packets import (
    MAX_PACKET,
    CapturedPacket,
    CaptureError,
    CutShortError,
    Datagram,
    gsmtap_in,
    is_capture,
    read_packets,
)
from tests.doubles import capture_files as files
from tests.doubles.capture_files import in_udp, on_link

PAYLOAD = files.joined("00a40004023f006135")[0]
SENDER = "7f000001:40000"
SENDER_V6 = f"{'00' * 15}01:40000"


def packets(raw: bytes) -> list[CapturedPacket]:
    return list(read_packets(io.BytesIO(raw)))


class TestFiles:
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("make", [files.pcap, files.pcapng])
    def test_packets_come_in_their_order(self, make: Callable[..., bytes], order: str) -> None:
        raw = make(files.RAW_IP, [b"one", b"two22"], order=order)
        assert is_capture(raw)
        assert packets(raw) == [CapturedPacket(1, 101, b"one"), CapturedPacket(2, 101, b"two22")]

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_pcap_with_nanoseconds(self, order: str) -> None:
        raw = files.pcap(files.RAW_IP, [b"one"], order=order)
        with_ns = struct.pack(f"{order}I", 0xA1B23C4D) + raw[4:]
        assert is_capture(with_ns)
        assert packets(with_ns) == packets(raw)

    @pytest.mark.parametrize("kind", ["simple", "old"])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_other_kinds_of_blocks_with_packets(self, kind: str, order: str) -> None:
        if kind == "simple":
            raw = files.pcapng(files.RAW_IP, [b"one"], order=order, is_simple=True)
        else:
            body = struct.pack(f"{order}HHIIII", 0, 7, 0, 0, 3, 3) + b"one"
            raw = files.pcapng(files.RAW_IP, [], order=order) + files.block(order, 2, body)
        assert packets(raw) == [CapturedPacket(1, 101, b"one")]

    def test_options_and_blocks_of_other_kinds_are_passed_over(self) -> None:
        options = struct.pack("<HH", 1, 5) + b"hello" + bytes(3) + struct.pack("<HH", 0, 0)
        head = struct.pack("<IIIII", 0, 0, 0, 3, 3)
        raw = files.pcapng(files.RAW_IP, [], options=options)
        raw += files.block("<", 4, bytes(200_000)) + files.block("<", 6, head + b"one\0" + options)
        assert packets(raw) == [CapturedPacket(1, 101, b"one")]

    def test_sections_have_their_own_order_and_interfaces(self) -> None:
        raw = files.pcapng(files.RAW_IP, [b"one"]) + files.pcapng(files.BARE, [b"two"], order=">")
        assert packets(raw) == [CapturedPacket(1, 101, b"one"), CapturedPacket(2, 217, b"two")]

    def test_packet_that_was_cut_when_it_was_captured_is_known_as_such(self) -> None:
        pcap = files.pcap(files.RAW_IP, []) + struct.pack("<IIII", 0, 0, 3, 90) + b"one"
        ng = files.pcapng(files.RAW_IP, [])
        head = struct.pack("<IIIII", 0, 0, 0, 3, 90)
        simple = struct.pack("<I", 90) + b"one"
        for raw in (pcap, ng + files.block("<", 6, head + b"one"), ng + files.block("<", 3, simple)):
            (packet,) = packets(raw)
            assert (packet.data.rstrip(b"\0"), packet.is_cut) == (b"one", True)

    def test_what_comes_before_the_cut_is_read(self) -> None:
        for make in (files.pcap, files.pcapng):
            whole = make(files.RAW_IP, [b"one", b"two"])
            found = read_packets(io.BytesIO(whole[:-1]))
            assert next(found).data == b"one"
            with pytest.raises(CutShortError, match=f"byte {len(whole) - 1} is its last"):
                next(found)

    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            (b"", "beginning"),
            (b"\x0a\x0d\x0d", "cut short"),
            (
                files.pcap(1, []) + struct.pack("<IIII", 0, 0, MAX_PACKET + 1, 1),
                "packet at byte 24 has the length 262145",
            ),
            (files.pcapng(1, []) + struct.pack("<III", 6, 8, 8), "block at byte 64 has the length 8"),
            (files.pcapng(1, []) + struct.pack("<II", 6, 1 << 31), "has the length 2147483648"),
            (files.pcapng(1, []) + struct.pack("<III", 9, 12, 16), "block at byte 64 has two lengths"),
            (b"\x0a\x0d\x0d\x0a" + struct.pack("<II", 28, 0x11111111), "section at byte 0 has no byte order"),
        ],
    )
    def test_file_that_is_damaged_is_refused_with_the_place(self, raw: bytes, message: str) -> None:
        with pytest.raises(CaptureError, match=message) as caught:
            packets(raw)
        assert caught.value.hint

    def test_no_more_is_read_than_is_needed(self) -> None:
        """A block that claims four gigabytes costs nothing: what it holds is read in pieces, and dropped."""

        sizes = []

        class Endless(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                sizes.append(size or 0)
                return super().read(size) or (b"" if len(sizes) > 16 else bytes(size or 0))

        with pytest.raises(CutShortError):
            list(read_packets(Endless(files.pcapng(1, []) + struct.pack("<II", 0xBAD, 0xFFFFFFF0))))
        assert max(sizes) <= 1 << 16


class TestDatagrams:
    @pytest.mark.parametrize(
        "link",
        [files.ETHERNET, files.NULL_LINK, files.RAW_IP, files.COOKED, files.COOKED_2, files.LOOP, 12, 14, 228, 229],
    )
    @pytest.mark.parametrize("is_v6", [False, True])
    def test_gsmtap_behind_each_kind_of_link(self, link: int, is_v6: bool) -> None:
        packet = CapturedPacket(1, link, on_link(link, in_udp(PAYLOAD, is_v6=is_v6)))
        assert gsmtap_in(packet) == Datagram(PAYLOAD, SENDER_V6 if is_v6 else SENDER)

    @pytest.mark.parametrize("link", [217, 218, 147])
    def test_gsmtap_without_anything_before_it(self, link: int) -> None:
        assert gsmtap_in(CapturedPacket(1, link, PAYLOAD)) == Datagram(PAYLOAD)

    def test_vlans_and_ipv6_options_are_looked_through(self) -> None:
        tagged = bytes(12) + bytes.fromhex("88a8000581000007") + b"\x08\x00" + in_udp(PAYLOAD)
        assert gsmtap_in(CapturedPacket(1, files.ETHERNET, tagged)) == Datagram(PAYLOAD, SENDER)
        plain = in_udp(PAYLOAD, is_v6=True)
        options = bytes((60, 0)) + bytes(6) + bytes((17, 1)) + bytes(14)
        with_options = plain[:6] + b"\0" + plain[7:40] + options + plain[40:]
        assert gsmtap_in(CapturedPacket(1, files.RAW_IP, with_options)) == Datagram(PAYLOAD, SENDER_V6)
        assert gsmtap_in(CapturedPacket(1, files.RAW_IP, plain[:6] + b"\0" + plain[7:40] + bytes(8) * 20)) is None

    def test_ipv4_options_are_looked_through(self) -> None:
        plain = in_udp(PAYLOAD)
        assert gsmtap_in(CapturedPacket(1, files.RAW_IP, b"\x46" + plain[1:20] + bytes(4) + plain[20:])) is not None
        assert gsmtap_in(CapturedPacket(1, files.RAW_IP, b"\x41" + plain[1:])) is None

    @pytest.mark.parametrize(
        "data",
        [
            in_udp(PAYLOAD, port=53),
            in_udp(PAYLOAD, fragment=0x2000),
            in_udp(PAYLOAD, fragment=3),
            in_udp(PAYLOAD)[:24],
            in_udp(PAYLOAD)[:9] + b"\x06" + in_udp(PAYLOAD)[10:],
            in_udp(PAYLOAD)[:-1],
            b"\x45",
            b"\x10" * 60,
            b"",
        ],
    )
    def test_everything_else_is_none(self, data: bytes) -> None:
        assert gsmtap_in(CapturedPacket(1, files.RAW_IP, data)) is None

    def test_link_that_is_not_known_is_none(self) -> None:
        assert gsmtap_in(CapturedPacket(1, 999, PAYLOAD)) is None

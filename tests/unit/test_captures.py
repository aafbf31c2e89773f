# SPDX-License-Identifier: Apache-2.0
"""Captures of every format: which commands are in them, and which way their data went."""

import json

import pytest

from remsim.trace.packets import CaptureError
from remsim.trace.sim_frames import SeenData, seen_of_joined
from tests.doubles import capture_files as files
from tests.doubles.capture_files import in_udp, joined, on_link
from tests.reference import reference
from tools.captures import MAX_LINE, Exchange, Reset, read_capture

TO, FROM, OPEN = SeenData.TO_CARD, SeenData.FROM_CARD, SeenData.UNDECIDED


def seen(raw: bytes | str) -> list[str | tuple[str, SeenData, int | None]]:
    """The steps in short: header, way, status word; "reset"."""
    recorded = raw.encode() if isinstance(raw, str) else raw
    return [
        "reset" if isinstance(step, Reset) else (step.header.hex(), step.seen, step.sw)
        for step in read_capture(recorded).steps
    ]


class TestJson:
    def test_commands_with_their_ways(self) -> None:
        text = """
        {"event": "reset"}
        {"cmd": "00a40004023f00", "sw": "6135", "rlen": 0}
        {"cmd": "00c0000035", "sw": "9000", "rlen": 53}
        {"cmd": "00b0000009", "data": "083901101032547698", "sw": "9000"}
        {"cmd": "00b0000000", "sw": "6c09", "rlen": 0}
        {"cmd": "80e0000010", "sw": "6d00", "rlen": 0}
        {"cmd": "00d600000101"}
        """
        assert seen(text) == [
            "reset",
            ("00a4000402", TO, 0x6135),
            ("00c0000035", FROM, 0x9000),
            ("00b0000009", FROM, 0x9000),
            ("00b0000000", FROM, 0x6C09),
            ("80e0000010", OPEN, 0x6D00),
            ("00d6000001", TO, None),
        ]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"cmd": "00a4"}', "cmd has 2 bytes"),
            ('{"cmd": 4}', "cmd is missing or no string"),
            ('{"cmd": "0x"}', "cmd is not hex"),
            ('{"cmd": "00a4000000", "sw": "90"}', "sw is no status word"),
            ("{", "not JSON"),
            ("{}\n[]", "cmd is missing"),
            ("{" + " " * MAX_LINE, "longer than"),
        ],
    )
    def test_line_that_is_none_is_named(self, line: str, message: str) -> None:
        with pytest.raises(CaptureError, match=f"line 1: {message}"):
            read_capture(line.encode())

    @pytest.mark.parametrize("name", ["iot-modem-boot.jsonl", "phone-boot.jsonl"])
    def test_recorded_starts_are_read_whole(self, name: str) -> None:
        raw = reference("traces", name).read_bytes()
        assert len(read_capture(raw).steps) == len(raw.splitlines())


class TestJoined:
    @pytest.mark.parametrize(
        ("header", "behind", "sw", "expected"),
        [
            ("00a4000402", 2, 0x6135, TO),
            ("a0a4000002", 2, 0x9F17, TO),
            ("00c0000010", 16, 0x6120, OPEN),
            ("00b0000010", 16, 0x9000, OPEN),
            ("00b0000000", 256, 0x9000, FROM),
            ("80f2000000", 20, 0x9000, FROM),
            ("00b0000010", 8, 0x6282, FROM),
            ("00a4000402", 22, 0x9000, TO),
            ("00b0000000", 0, 0x6C09, FROM),
            ("00d6000010", 0, 0x6982, OPEN),
        ],
    )
    def test_way_where_command_and_answer_are_one_row(
        self, header: str, behind: int, sw: int, expected: SeenData
    ) -> None:
        assert seen_of_joined(bytes.fromhex(header), behind, sw) is expected


class TestPackets:
    COMMANDS = joined("81ca00fe02df256110", "00b000000a080910101032547698ff9000")
    EXPECTED = (("81ca00fe02", TO, 0x6110), ("00b000000a", OPEN, 0x9000))

    def test_gsmtap_that_is_bare(self) -> None:
        for order in "<>":
            assert seen(files.pcapng(files.BARE, self.COMMANDS, order=order)) == [*self.EXPECTED]
            assert seen(files.pcap(files.BARE, self.COMMANDS, order=order)) == [*self.EXPECTED]
        assert seen(files.pcapng(files.BARE, self.COMMANDS, is_simple=True)) == [*self.EXPECTED]

    @pytest.mark.parametrize(
        "link", [files.ETHERNET, files.NULL_LINK, files.RAW_IP, files.COOKED, files.COOKED_2, 108, 228]
    )
    @pytest.mark.parametrize("is_v6", [False, True])
    def test_gsmtap_in_udp(self, link: int, is_v6: bool) -> None:
        packets = [on_link(link, in_udp(one, is_v6=is_v6)) for one in self.COMMANDS]
        assert seen(files.pcapng(link, packets)) == [*self.EXPECTED]
        assert seen(files.pcap(link, packets)) == [*self.EXPECTED]

    def test_vlan_is_looked_through(self) -> None:
        (packet,) = joined("00a40004023f006110")
        tagged = bytes(12) + bytes.fromhex("88a8000581000007") + b"\x08\x00" + in_udp(packet)
        assert seen(files.pcapng(files.ETHERNET, [tagged])) == [("00a4000402", TO, 0x6110)]

    def test_everything_else_is_passed_over(self) -> None:
        gsmtap = self.COMMANDS[0]
        others = [
            in_udp(gsmtap, port=53),
            in_udp(gsmtap, fragment=0x2000),
            in_udp(gsmtap, fragment=3),
            in_udp(b"\x03" + gsmtap[1:]),
            in_udp(gsmtap[:2] + b"\x01" + gsmtap[3:]),
            in_udp(gsmtap[:1] + b"\x40" + gsmtap[2:]),
            in_udp(gsmtap[:10]),
            in_udp(gsmtap)[:24],
            in_udp(gsmtap)[:9] + b"\x06" + in_udp(gsmtap)[10:],
            b"\x45",
            b"\x10" * 60,
            b"",
        ]
        assert seen(files.pcapng(files.RAW_IP, others)) == []
        assert read_capture(files.pcapng(999, [gsmtap])).steps == []
        assert read_capture(files.pcapng(files.BARE, joined("00a400"))).skipped == 1

    def test_recorded_datagrams_of_the_c_bankd(self) -> None:
        document = json.loads(reference("vectors", "gsmtap", "bankd.json").read_text(encoding="utf-8"))
        packets = [in_udp(bytes.fromhex(one["hex"])) for one in document["datagrams"]]
        assert seen(files.pcapng(files.RAW_IP, packets)) == [
            "reset",
            ("a0a4000002", TO, 0x9F17),
            ("00b0000010", OPEN, 0x9000),
            ("00d60000ff", OPEN, 0x9000),
            "reset",
        ]

    @pytest.mark.parametrize("cut", [4, 11, 40, -1])
    def test_file_that_is_cut_short_is_refused(self, cut: int) -> None:
        for whole in (files.pcapng(files.BARE, self.COMMANDS), files.pcap(files.BARE, self.COMMANDS)):
            with pytest.raises(CaptureError, match=r"cut short|has the length|not that of a pcap"):
                read_capture(whole[:cut])

    def test_block_that_leads_nowhere_is_refused(self) -> None:
        for size in (0, 8, 13, 1 << 31):
            broken = files.pcapng(files.BARE, [])[:28] + b"\x06\0\0\0" + size.to_bytes(4, "little") + bytes(40)
            with pytest.raises(CaptureError, match=f"has the length {size}"):
                read_capture(broken)

    def test_interface_that_was_never_announced_is_passed_over(self) -> None:
        whole = files.pcapng(files.BARE, self.COMMANDS)
        assert read_capture(whole[:28] + whole[48:]).steps == []


def test_simtrace_text() -> None:
    text = (
        "simtrace2-sniff - Phone-SIM card communication sniffer \n"
        "Card state change: reset de-asserted\n"
        "ATR: 3b 9f 96 80 1f c7 80 31 a0 73 be 21 13 67 43 20 07 18 00 00 01 a5 \n"
        "Fi/Di switched to 512/32\n"
        "TPDU: 81 ca 00 fe 02 df 25 61 10 \n"
        "TPDU: c0 10 00 00 03 01 02 03 90 00 \n"
        "TPDU (incomplete): 00 a4 00 04 \n"
        "TPDU: 00 a4 \n"
        "TPDU: 0 \n"
        "Card state change: data transfer timeout\n"
    )
    assert seen(text) == ["reset", "reset", ("81ca00fe02", TO, 0x6110), ("c010000003", OPEN, 0x9000)]
    assert read_capture(text.encode()).skipped == 3


class TestQualcomm:
    LINES = (
        ("RX", "3b9f96801fc78031a073be21136743200718000001a5"),
        ("TX", "ff1096790000"),
        ("RX", "ff1096790000"),
        ("TX", "81ca00fe02"),
        ("RX", "ca"),
        ("TX", "df25"),
        ("RX", "6110"),
        ("TX", "80f2000c00"),
        ("RX", "f2840210a09000"),
        ("TX", "00b0000003"),
        ("RX", "6060b0"),
        ("RX", "60b001"),
        ("RX", "9000"),
        ("TX", "c012000000"),
        ("RX", "6c10"),
        ("TX", "00d600000401020304"),
        ("RX", "d6"),
        ("RX", "9000"),
        ("TX", "00d6000002"),
        ("RX", "29"),
        ("TX", "01"),
        ("RX", "29"),
        ("TX", "02"),
        ("RX", "609000"),
        ("TX", "80e0000010"),
        ("RX", "6d00"),
    )
    EXPECTED = (
        "reset",
        ("81ca00fe02", TO, 0x6110),
        ("80f2000c00", FROM, 0x9000),
        ("00b0000003", FROM, 0x9000),
        ("c012000000", FROM, 0x6C10),
        ("00d6000004", TO, 0x9000),
        ("00d6000002", TO, 0x9000),
        ("80e0000010", OPEN, 0x6D00),
    )

    def test_qxdm_and_qcat(self) -> None:
        assert seen(files.qxdm(*self.LINES)) == [*self.EXPECTED]
        assert seen(files.qcat(*self.LINES)) == [*self.EXPECTED]

    def test_slots_that_take_turns(self) -> None:
        first = files.qxdm(("TX", "00a4000402"), ("RX", "a4")).splitlines()
        second = files.qxdm(("TX", "00b0000001"), ("RX", "b0ff9000"), slot=2).splitlines()
        rest = files.qxdm(("TX", "3f00"), ("RX", "9000")).splitlines()
        capture = read_capture("\n".join([first[0], second[0], first[1], second[1], *rest]).encode())
        found = [(step.header.hex(), step.seen, step.card) for step in capture.steps if isinstance(step, Exchange)]
        assert found == [("00b0000001", FROM, "2"), ("00a4000402", TO, "1")]

    def test_what_is_lost_is_counted_or_left_open(self) -> None:
        text = files.qxdm(("TX", "00a4"), ("TX", "00a4000402"), ("TX", "00b0000002"), ("RX", "b0"), ("RX", "9000"))
        assert seen(text) == [("00b0000002", OPEN, 0x9000)]
        assert read_capture(text.encode()).skipped == 2
        assert read_capture(b"[0x19B7] SLOT_1 Type = TX Data = { 0 }").skipped == 1


@pytest.mark.parametrize("raw", [b"", b"hello\nworld", b"\xff\xfe\x00"])
def test_what_is_no_capture_is_refused(raw: bytes) -> None:
    with pytest.raises(CaptureError, match="no capture of a known format") as caught:
        read_capture(raw)
    assert "pcapng" in caught.value.hint


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", ['{"cmd": "80f2000000", "sw": "9000"}\r\n', files.qxdm(("TX", "80f2000000"), ("RX", "9000"))]
)
def test_text_as_programs_of_windows_write_it(text: str, encoding: str) -> None:
    mark = "\ufeff" if encoding[-2:] in ("le", "be") else ""
    assert seen((mark + text).encode(encoding)) == [("80f2000000", seen(text)[0][1], 0x9000)]


def test_format_can_be_said() -> None:
    assert read_capture(b"\n\nnothing", "simtrace").steps == []

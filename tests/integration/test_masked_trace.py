# SPDX-License-Identifier: Apache-2.0
"""Masks leave a trace that Wireshark can take apart: no packet is malformed with them that is not without."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from remsim.card.tlv import encode_length
from remsim.trace.gsmtap import TpduRecord, encode_gsmtap, reveal_all
from remsim.trace.mask import TraceMask
from tests.doubles.captures import pcap
from tests.reference import reference

Exchange = tuple[bytes, bytes]
Objects = tuple[tuple[int, str], ...]

_OK: Final = b"\x90\x00"
_TEXT: Final = "04" + b"secret text".hex()
_LOCATION: Final = "00f11000010001"
_SUBMIT: Final = "11000b912143658709f10004aa" + "05" + b"hello".hex()
_DELIVER: Final = "440b912143658709f17ff66211201234560014" + "027000" + "11" * 17

#: Proactive commands: kind, qualifier, device, further objects (ETSI TS 102 223, clause 6.6).
_FETCHED: Final[tuple[tuple[int, int, int, Objects], ...]] = (
    (0x21, 0x80, 0x02, ((0x8D, _TEXT),)),
    (0x22, 0, 0x82, ((0x8D, _TEXT),)),
    (0x23, 0, 0x82, ((0x8D, _TEXT), (0x91, "0408"), (0x17, _TEXT))),
    (0x25, 0, 0x82, ((0x85, "5469746c65"), (0x8F, "016f6e65"), (0x8F, "0274776f"), (0x18, "2121"))),
    (0x24, 0, 0x82, ((0x85, "5469746c65"), (0x8F, "016f6e65"), (0x90, "01"))),
    (0x13, 0, 0x83, ((0x85, "53656e64"), (0x86, "91214365"), (0x8B, _SUBMIT))),
    (0x11, 0, 0x83, ((0x85, "78"), (0x89, "912a21"))),
    (0x12, 0, 0x83, ((0x85, "78"), (0x8A, "0f2a980c8603"))),
    (0x10, 0, 0x83, ((0x85, "78"), (0x86, "812143f5"), (0x87, "028080"), (0x88, "80"))),
    (0x03, 0, 0x82, ((0x84, "0014"),)),
    (0x05, 0, 0x82, ((0x99, "03090a"),)),
    (0x27, 0, 0x82, ((0xA4, "01"), (0xA5, "001000"))),
    (0x40, 1, 0x82, ((0x35, "03000000"), (0x39, "0578"), (0x47, "08696e7465726e6574"), (0x3C, "021234"))),
    (0x43, 1, 0x21, ((0xB6, "73656372657420646174" + "61" * 190),)),
    (0x42, 0, 0x21, ((0xB7, "40"),)),
    (0x15, 0, 0x82, ((0x31, "687474703a2f2f78"), (0x32, "0001"))),
    (0x34, 0, 0x82, ((0xA8, "41542b43474d490d"),)),
    (0x35, 1, 0x82, ((0xAD, "656e"),)),
)
#: Responses to them: kind, qualifier, result, further objects (clause 6.8).
_ANSWERED: Final[tuple[tuple[int, int, str, Objects], ...]] = (
    (0x23, 0, "00", ((0x8D, _TEXT),)),
    (0x24, 0, "00", ((0x90, "01"),)),
    (0x26, 0, "00", ((0x93, _LOCATION + "0001"),)),
    (0x26, 1, "00", ((0x94, "3a85130000000010"),)),
    (0x26, 2, "00", ((0x96, "22" * 16), (0x9D, "33" * 4))),
    (0x26, 3, "00", ((0xA6, "62112012345600"),)),
    (0x26, 4, "00", ((0xAD, "656e"),)),
    (0x26, 6, "00", ((0xBF, "08"),)),
    (0x27, 0, "00", ((0xA4, "01"), (0xA5, "001000"))),
    (0x40, 1, "00", ((0xB8, "8100"), (0xB5, "03000000"), (0xB9, "0578"))),
    (0x42, 0, "00", ((0xB6, "736563726574"), (0xB7, "00"))),
    (0x13, 0, "3521", ()),
    (0x34, 0, "00", ((0xA9, "4f4b"),)),
)
#: Envelopes: tag, objects (clause 7).
_ENVELOPES: Final[tuple[tuple[int, Objects], ...]] = (
    (0xD1, ((0x82, "8381"), (0x86, "91214365"), (0x8B, _DELIVER))),
    (0xD2, ((0x82, "8381"), (0x8C, "44" * 88))),
    (0xD3, ((0x82, "0181"), (0x90, "01"))),
    (0xD4, ((0x82, "8281"), (0x86, "812143f5"), (0x13, _LOCATION))),
    (0xD5, ((0x82, "8281"), (0x86, "91214365"), (0x86, "91214365"), (0x13, _LOCATION))),
    (0xD6, ((0x99, "03"), (0x82, "8281"), (0x9B, "00"), (0x93, _LOCATION))),
    (0xD6, ((0x99, "09"), (0x82, "8281"), (0xB8, "8100"), (0xB7, "14"))),
    (0xD6, ((0x99, "0b"), (0x82, "8281"), (0xBF, "08"))),
    (0xD7, ((0x82, "8281"), (0xA4, "01"), (0xA5, "001000"))),
)
#: PINs, authentication, and files whose content is masked.
_SECRETS: Final = (
    ("002000010831323334ffffffff", "9000"),
    ("002400011031323334ffffffff35363738ffffffff", "9000"),
    ("002600010831323334ffffffff", "9000"),
    ("002800010831323334ffffffff", "9000"),
    ("002c00011031323334ffffffff35363738ffffffff", "9000"),
    ("a02000010831323334ffffffff", "9000"),
    ("0088008122" + "10" + "11" * 16 + "10" + "22" * 16, "6135"),
    ("00c0000035", "db08" + "33" * 8 + "10" + "44" * 16 + "10" + "55" * 16 + "08" + "66" * 8 + "9000"),
    ("00a4040c07a0000000871002", "9000"),
    ("00b0870009", "0809101010325476989000"),
    ("00b0880021", "07" + "77" * 32 + "9000"),
    ("00a40804022fe2", "6120"),
    ("00b000000a", "980010325476981032149000"),
)


def _object(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + encode_length(len(value)) + value


def _joined(objects: Objects) -> bytes:
    return b"".join(_object(tag, bytes.fromhex(value)) for tag, value in objects)


def _fetch(kind: int, qualifier: int, device: int, objects: Objects) -> Exchange:
    first = ((0x81, f"01{kind:02x}{qualifier:02x}"), (0x82, f"81{device:02x}"))
    data = _object(0xD0, _joined((*first, *objects)))
    return bytes((0x80, 0x12, 0, 0, len(data) & 0xFF)), data + _OK


def _response(kind: int, qualifier: int, result: str, objects: Objects) -> Exchange:
    data = _joined(((0x81, f"01{kind:02x}{qualifier:02x}"), (0x82, "8281"), (0x83, result), *objects))
    return bytes((0x80, 0x14, 0, 0, len(data))) + data, _OK


def _envelope(tag: int, objects: Objects) -> Exchange:
    data = _object(tag, _joined(objects))
    return bytes((0x80, 0xC2, 0, 0, len(data))) + data, _OK


def _made() -> list[Exchange]:
    """Commands as modems and cards really exchange them, of every kind that is masked."""
    found = [_fetch(*command) for command in _FETCHED]
    found += [_response(*command) for command in _ANSWERED]
    found += [_envelope(*command) for command in _ENVELOPES]
    return found + [(bytes.fromhex(command), bytes.fromhex(answer)) for command, answer in _SECRETS]


def _recorded(name: str) -> list[Exchange]:
    lines = reference("traces", f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    return [
        (bytes.fromhex(step["cmd"]), bytes(step["rlen"]) + bytes.fromhex(step["sw"])) for step in steps if "cmd" in step
    ]


def _malformed(datagrams: Iterable[bytes], capture: Path) -> set[int]:
    """The numbers of the packets that tshark calls malformed."""
    capture.write_bytes(pcap(datagrams))
    command = ["tshark", "-r", str(capture), "-Y", "_ws.malformed", "-T", "fields", "-e", "frame.number"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    return {int(line) for line in result.stdout.split()}


@pytest.mark.parametrize("source", ["made", "iot-modem-boot", "phone-boot"])
def test_masks_make_no_packet_malformed(tmp_path: Path, source: str) -> None:
    exchanges = _made() if source == "made" else _recorded(source)
    mask = TraceMask()
    records = [TpduRecord(0, command, answer) for command, answer in exchanges]
    plain = [encode_gsmtap(shown) for record in records if (shown := reveal_all(record)) is not None]
    masked = [encode_gsmtap(mask(record)) for record in records]
    assert plain != masked
    in_clear = _malformed(plain, tmp_path / "plain.pcap")
    # "A command without data whose answer is an error" is malformed to this tshark with and without masks.
    assert source != "made" or not in_clear
    assert _malformed(masked, tmp_path / "masked.pcap") <= in_clear

# SPDX-License-Identifier: Apache-2.0
"""What each target is begun with: captured frames, recorded commands, examples of the manual, and earlier finds.

``found/NAME.hex`` holds one input a line: what reached code that nothing before it in the file does, made small, and
what once was a find. ``python -m tests.fuzz.guided NAME --keep`` writes it.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from remsim.readers.pcscd.protocol import (
    ATTRIBUTE,
    CONNECT,
    CONTEXT,
    COUNT,
    DISPOSITION,
    ESTABLISH,
    EVENT,
    HANDLE,
    RECONNECT,
    ROW,
    TRANSMIT,
    VERSION,
)
from remsim.readers.sim.profiles import load_profile, profile_names
from remsim.uicc import Uicc, UiccState
from remsim.vpcd import encode_message
from remsim.wire.messages.rspro import NO_FLAGS, TpduCardToModem, TpduModemToCard
from tests.doubles import capture_files, engines, vectors
from tests.doubles.engines import BANK, CLIENT
from tests.fuzz.on_files import CONFIGS
from tests.fuzz.on_proofs import stored_token
from tests.fuzz.target import joined
from tests.reference import ROOT, reference

FOUND: Final = Path(__file__).parent / "found"

_NO_CUT: Final = b"\0"
_LINK_KINDS: Final = 8
_MOST_FRAMES: Final = 6
_TOML: Final = re.compile(r"^```toml.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CSV: Final = (
    '"1","0","ACS ACR33 ICC Reader 00 00"\n',
    '# a comment\n1, 2, ^(Generic|Other) [[:alpha:]_-]+ \\[x\\] 0{1,2}$\n"1","2","twice"\n"1","99","far"\n',
    '"1","3","a\\>b\\wc\\.d+[^]x]*","more"\n',
)
#: A card that tells everything: number, IMSI, provider, and the EID of an eUICC.
_IDENTITY_ANSWERS: Final = tuple(
    map(
        bytes.fromhex,
        (
            *("612f", "611e", "981010325476981032f49000"),
            *("6130", "611e", "0809101010325476989000", "611e", "0152656d73696dffffffffffffffffffff9000"),
            *("6121", "6115", "bf3e125a10890490320000000000000000000000189000"),
        ),
    )
)
_MAPPING_RULES: Final = """\
default = "deny"
[[client]]
client = ["7", "30-39:0"]
banks = ["1", "5-8"]
numbers = "89*"
"""
_GUARD_RULES: Final = """\
[presets]
pin-change = "block"
[[rule]]
name = "phone book"
action = "block"
cla = ["00/FC"]
ins = ["DC"]
file = ["7F10/6F3A", "ADF.USIM/6F07"]
length = "1-255"
clients = ["7:0"]
banks = "1"
"""
_PPS: Final = ("ff00ff", "ff1011fe", "ff109479", "ff7011223381", "ff10")
_OBJECTS: Final = (
    "62178202412183022fe2a506c00100ca0180",
    "5f2d0401020304",
    "818000",
    "7f4906000000000000",
    "62820001ff",
)
_AID: Final = bytes.fromhex("00a4040c07a0000000871002")
_PIN: Final = bytes.fromhex("0020000108") + b"1234\xff\xff\xff\xff"
_LINES: Final = (
    b"00A4 0004 02 3F00",
    b"00 20 00 01 08 31 32 33 34 FF FF FF FF",
    b"0xA0 0x20 0x00 0x01 0x08 0x31 0x32 0x33 0x34 0xff 0xff 0xff 0xff",
    b"select 6f07",
)


@cache
def _traces() -> tuple[bytes, ...]:
    """The commands of a recorded start of a modem."""
    steps = map(json.loads, reference("traces", "iot-modem-boot.jsonl").read_text(encoding="ascii").splitlines())
    return tuple(bytes.fromhex(step["cmd"]) for step in steps if "cmd" in step)


def _talks() -> Iterator[bytes]:
    """Commands and what the software card answers to them."""
    card = Uicc(load_profile("iot-modem"))
    commands = [_AID, _PIN, *_traces()]
    for at in range(0, len(commands), 8):
        pairs = [(command, card.transmit(command)) for command in commands[at : at + 8]]
        yield joined(*(part for pair in pairs for part in pair if len(part) <= 255))


def _frames() -> dict[str, bytes]:
    """One frame of each kind."""
    found: dict[str, bytes] = {}
    for frame in vectors.frames():
        found.setdefault(f"{frame.decoded.get('type', frame.decoded['ipa'])}", frame.raw)
    for message in vectors.document("messages.json")["messages"]:
        raw = bytes.fromhex(message["frame"])
        found.setdefault(raw[4:24].hex(), raw)
    return found


def _pdus() -> Iterator[bytes]:
    yield from (raw[4:] for raw in _frames().values() if raw[2:4] == b"\xee\x07")
    tolerance = vectors.document("tolerance.json")
    yield from (bytes.fromhex(entry["der"]) for entry in tolerance["extensions"])
    yield from (bytes.fromhex(entry["ber"]) for entry in tolerance["ber"])
    ours = ROOT / "tests" / "vectors" / "rspro" / "extensions.json"
    yield from (bytes.fromhex(entry["der"]) for entry in json.loads(ours.read_text(encoding="utf-8"))["messages"])


def _streams() -> Iterator[bytes]:
    for session in vectors.sessions():
        for frames in session.streams().values():
            yield b"".join(frame.raw for frame in frames[:_MOST_FRAMES])
    yield from (bad.raw for bad in vectors.bad_frames())


def _links() -> Iterator[bytes]:
    streams = list(_streams())
    for number, stream in enumerate(streams):
        yield bytes((number % _LINK_KINDS,)) + _NO_CUT + stream
    for kind in range(_LINK_KINDS):
        for stream in streams[:4]:
            yield bytes((kind, 3, 1, 2, 30)) + stream


def _session_frames() -> Iterator[bytes]:
    for tag, command in enumerate(_traces()[:40], start=120):
        yield engines.frame(TpduModemToCard(CLIENT, BANK, NO_FLAGS, command), tag=tag)


def _sessions() -> Iterator[bytes]:
    commands = list(_session_frames())
    for other in _frames().values():
        if len(other) <= 255:
            yield joined(commands[0], other, *commands[1:4])


def _fast_codec() -> Iterator[bytes]:
    yield from _session_frames()
    for size, tag in ((2, 1), (80, 200), (256, 40_000), (258, 2**31 - 1)):
        yield engines.frame(TpduCardToModem(BANK, CLIENT, NO_FLAGS, bytes(size)), tag=tag)
        yield engines.frame(TpduCardToModem(BANK, CLIENT, NO_FLAGS, bytes(size), bank_us=tag), tag=tag)


def _usb() -> Iterator[bytes]:
    """What devices and hosts said in the captured scenarios."""
    for path in sorted(reference("vectors", "simtrace2").glob("[0-9]*.json")):
        for event in json.loads(path.read_text(encoding="utf-8"))["events"]:
            if event["side"] == "usb":
                yield bytes.fromhex(event["hex"])


def _pcscd_replies() -> Iterator[bytes]:
    """A card that is opened and used, and readers that are watched, in each version."""
    card, context = 0x20001, 0x10001
    opened = [
        ESTABLISH.pack(0, context, 0),
        CONNECT.pack(context, b"Reader 00 00", 1, 1, card, 1, 0),
        RECONNECT.pack(card, 1, 1, 2, 1, 0),
        HANDLE.pack(card, 0),
        TRANSMIT.pack(card, 1, 16, 5, 1, 16, 4, 0) + b"\1\2\x90\0",
        TRANSMIT.pack(card, 1, 16, 5, 1, 16, 0, 0x80100069),
        DISPOSITION.pack(card, 2, 0),
        CONTEXT.pack(context, 0),
    ]
    row = ROW.pack(b"Reader 00 00", 1, 0x34, 0, b"\x3b\0", 2, 1)
    for minor in range(3):
        yield bytes((minor, 8, 0, 2, 3, 9, 7, 7, 4, 1)) + _NO_CUT + b"".join(opened)
        yield bytes((minor, 2, 11, 8)) + b"\2\x0a\x64" + ATTRIBUTE.pack(card, 0x20110, b"\1\2\3\4", 4, 0)
    yield bytes((2, 2, 12, 13)) + _NO_CUT + COUNT.pack(2) + row * 2 + EVENT.pack(0, 0) + VERSION.pack(4, 6, 0)
    yield bytes((2, 2, 13, 14)) + _NO_CUT + VERSION.pack(4, 6, 0) + EVENT.pack(0, 0x80100002)


def _starts() -> Iterator[bytes]:
    """What ``bankd learn`` reads, commands and answers together or apart."""
    yield b'{"event": "reset"}\n{"cmd": "00a40004023f00", "sw": "6135", "rlen": 0}\n'
    yield b'{"kind":"command","origin":"modem","command":"00200001**","response":"9000"}\n'
    together = capture_files.joined("81ca00fe02df256110", "00b0000002080a9000")
    apart = capture_files.joined("00a40004023f00", "6110", "00b0000002", "080a9000")
    for datagrams in (together, apart):
        yield capture_files.pcapng(capture_files.BARE, datagrams)
        yield capture_files.pcap(capture_files.RAW_IP, [capture_files.in_udp(one) for one in datagrams], order=">")
        cooked = [capture_files.on_link(capture_files.COOKED_2, capture_files.in_udp(one)) for one in datagrams]
        yield capture_files.pcapng(capture_files.COOKED_2, cooked, order=">", is_simple=True)


def _captures() -> Iterator[bytes]:
    """One of each format; the first byte chooses how it is read, and 0 leaves that to its beginning."""
    lines = (
        ("TX", "81ca00fe02"),
        ("RX", "ca"),
        ("TX", "df25"),
        ("RX", "6110"),
        ("TX", "00b0000001"),
        ("RX", "b0ff9000"),
    )
    datagrams = capture_files.joined("81ca00fe02df256110", "00b0000002080a9000")
    wrapped = [capture_files.on_link(capture_files.ETHERNET, capture_files.in_udp(one)) for one in datagrams]
    for raw in (
        b'{"event": "reset"}\n{"cmd": "00a40004023f00", "sw": "6135", "rlen": 0}\n',
        capture_files.pcapng(capture_files.BARE, datagrams),
        capture_files.pcapng(capture_files.ETHERNET, wrapped),
        capture_files.pcap(capture_files.ETHERNET, wrapped, order=">"),
        b"Card state change: reset asserted\nATR: 3b 00 \nTPDU: 81 ca 00 fe 02 df 25 61 10 \nTPDU (malformed): 00 \n",
        capture_files.qxdm(*lines).encode(),
        capture_files.qcat(*lines).encode(),
    ):
        yield b"\0" + raw


def _usb_slots() -> Iterator[bytes]:
    messages = [raw for raw in _usb() if len(raw) < 200]
    for at in range(0, len(messages), 6):
        happenings = [bytes((0x0F,)) + raw for raw in messages[at : at + 6]]
        yield bytes((at // 6 % 8,)) + joined(*happenings, b"\x01\x90\x00")


def _settings() -> Iterator[bytes]:
    texts = [
        match for page in sorted((ROOT / "docs").rglob("*.md")) for match in _TOML.findall(page.read_text("utf-8"))
    ]
    for number in range(len(CONFIGS)):
        yield from (bytes((number,)) + text.encode() for text in texts)


def _profiles() -> Iterator[bytes]:
    folder = ROOT / "src" / "remsim" / "uicc" / "profiles"
    yield from ((folder / f"{name}.toml").read_bytes() for name in profile_names())


def _enrolments() -> Iterator[bytes]:
    code = {"code": "AAAAAAAA", "identity": "bank/1", "secret": "A" * 22, "request": "-----BEGIN"}
    renewal = {"certificate": "-----BEGIN CERTIFICATE-----", "request": "x", "signature": "00"}
    for number, body in enumerate((code, code, renewal)):
        yield bytes((number,)) + json.dumps(body).encode()


_MADE: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "frames": lambda: (_NO_CUT + stream for stream in _streams()),
    "elements": _pdus,
    "pdus": _pdus,
    "links": _links,
    "sessions": _sessions,
    "fast-codec": _fast_codec,
    "list-parts": lambda: iter([joined(b"\0\4\0\0ab", b"\0\4\0\2cd"), joined(b"\0\0\0\0")]),
    "atrs": lambda: (load_profile(name).atr for name in profile_names()),
    "commands": lambda: iter(_traces()),
    "exchanges": lambda: (joined(command, b"\x61\x10", b"x" * 16 + b"\x90\0") for command in _traces()[:20]),
    "directions": lambda: (command[:5] * 2 + b"80/F0 E0 = 3" for command in _traces()[:20]),
    "speeds": lambda: map(bytes.fromhex, _PPS),
    "objects": lambda: map(bytes.fromhex, _OBJECTS),
    "reader-frames": lambda: iter([_NO_CUT + b"".join(map(encode_message, (b"\1", b"\4", *_traces()[:6])))]),
    "reader-slots": lambda: iter([b"\1" + joined(b"\1", b"\4", *_traces()[:8]), b"\0" + joined(*_traces()[8:16])]),
    "pcscd-replies": _pcscd_replies,
    "masks": _talks,
    "traces": lambda: (bytes((number,)) + talk for number, talk in enumerate(_talks())),
    "told-traces": lambda: (b"\1" + pdu for pdu in _pdus()),
    "cut-captures": lambda: (bytes((at, 0)) + command for at, command in enumerate(_traces()[:20])),
    "typed-lines": lambda: iter(_LINES),
    "scrubbed-texts": lambda: iter([joined(b"refused ", b"1234", b"0020000108", bytes(range(16)))]),
    "card-numbers": lambda: iter([joined(b"\x61\x10", b"\x90\0", bytes.fromhex("981010325476981032f49000"))]),
    "card-identities": lambda: iter([joined(*_IDENTITY_ANSWERS)]),
    "input-lines": lambda: iter([b"\3\5\5\5" + b"\r\n".join(_LINES) + b"\n\nRESET\rreset"]),
    "guards": _talks,
    "ahead": _talks,
    "cards": lambda: (joined(_AID, _PIN, *_traces()[at : at + 10]) for at in range(0, 100, 10)),
    "usb-messages": _usb,
    "usb-packets": lambda: (_NO_CUT + raw for raw in _usb()),
    "usb-slots": _usb_slots,
    "settings": _settings,
    "slot-lines": lambda: (text.encode() for text in _CSV),
    "slot-memory": lambda: iter([b'{"version": 1, "slots": {"0": "usb-1", "3": "usb-2"}}']),
    "certified-lists": lambda: iter([b'{"version": 1, "clients": ["client/7", "client/23/0"]}']),
    "rest-cursors": lambda: iter([b"\0WzFd", b"\1WzEsMl0", b"\2WyJCMTozIl0"]),
    "rest-orders": lambda: iter([b'{"card":"B1:3"}', b'{"card":"label:roaming"}']),
    "rest-subjects": lambda: iter([b"B1:3", b"C7:0", b"iccid:8900101234567890018"]),
    "event-streams": lambda: iter([b'id: 1-2\nevent: card_number\ndata: {"id":"1-2"}\n\n', b'{"detail":"no"}']),
    "mapping-rules": lambda: iter([_MAPPING_RULES.encode()]),
    "guard-rules": lambda: iter([_GUARD_RULES.encode()]),
    "profiles": _profiles,
    "card-states": lambda: iter([UiccState.fresh(load_profile("default")).to_bytes()]),
    "captures": _captures,
    "starts": _starts,
    "learnt": lambda: iter(
        [b"remsim-ahead 1\ncard B1:3 modem C7:0 atr 3b9f\n00a40004023f00 00c0000010 00b000000a 00b2010428"]
    ),
    "recordings": lambda: iter([b'{"event": "reset"}\n{"cmd": "00a40004023f00", "sw": "6135", "rlen": 0}\n']),
    "identities": lambda: iter([b"bank/1", b"remsim://client/23/0", b"server/lab.example", b"client/7"]),
    "enrolment-codes": lambda: iter([b"bank/1:AAAAAAAA:" + b"A" * 22 + b":" + b"A" * 43]),
    "token-headers": lambda: iter([b"Bearer " + stored_token()[0].encode(), b"bearer x", b"Basic YTpi"]),
    "session-cookies": lambda: iter([b"__Host-remsim-9997=ab", b'a="\\""; __Host-remsim-9997=cd; e=f']),
    "enrolments": _enrolments,
}


def found(name: str) -> list[bytes]:
    """What the fuzzer found worth keeping for a target."""
    path = FOUND / f"{name}.hex"
    return [bytes.fromhex(line) for line in path.read_text(encoding="ascii").splitlines()] if path.exists() else []


@cache
def _made(name: str) -> tuple[bytes, ...]:
    return tuple(_MADE[name]()) if name in _MADE else ()


def seeds(name: str, longest: int) -> list[bytes]:
    """What a target is begun with, nothing longer than ``longest``, nothing twice."""
    return [raw for raw in dict.fromkeys([*found(name), *_made(name)]) if len(raw) <= longest]

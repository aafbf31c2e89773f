# SPDX-License-Identifier: Apache-2.0
"""Sound conversations to start from: the captured sessions, and single messages behind a proper introduction.

They are kept as messages, so that they can be cast anew with the numbers of a stage; what does not decode (the bad
frames among the vectors) is kept as bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Final, cast

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire import ipa
from remsim.wire.errors import DecodeError
from remsim.wire.link.engine import ABILITIES
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.rspro import (
    ComponentIdentity,
    ComponentType,
    ConnectBankReq,
    ConnectClientReq,
    Message,
    ResultCode,
    RsproPdu,
    SetAtrRes,
    TpduModemToCard,
    UnknownMessage,
)
from tests.doubles import vectors
from tests.fuzz.cast import Roles
from tests.fuzz.script import Part

#: A captured session may be long because of its PINGs; what comes later is more of the same.
_MOST_STEPS: Final = 24

#: A longer frame is about its length; with other numbers in it, it might not fit any more.
_LONGEST_CAST: Final = 2000

_PARTS: Final = {
    ("client", "server"): Part.CLIENT_OF_SERVER,
    ("bankd", "server"): Part.BANKD_OF_SERVER,
    ("client", "bankd"): Part.CLIENT_OF_BANKD,
    ("server", "bankd"): Part.SERVER_OF_BANKD,
}
_SLOT: Final = (ClientSlot(0, 0), BankSlot(0, 0))

#: A message, bytes that are none, or None: an answer is expected here.
Line = RsproPdu | bytes | None


@dataclass(frozen=True, slots=True)
class Play:
    """A conversation that is not cast yet."""

    part: Part
    lines: tuple[Line, ...]
    origin: str

    def cast(self, roles: Roles, *, names_abilities: bool) -> list[bytes | None]:
        """The bytes, spoken by ``roles``; of a peer of ours if ``names_abilities``."""
        return [_bytes(line, roles, names_abilities) if isinstance(line, RsproPdu) else line for line in self.lines]


def _bytes(pdu: RsproPdu, roles: Roles, names_abilities: bool) -> bytes:
    message = cast(Message, pdu.msg)
    values: dict[str, object] = {}
    for field in fields(message):
        value: object = getattr(message, field.name)
        match value:
            case ClientSlot():
                value = roles.client
            case BankSlot():
                value = roles.bank_slot
            case ComponentIdentity() if names_abilities:
                value = value.with_abilities(ABILITIES)
            case int() if field.name == "bank_id":
                value = roles.bank
        values[field.name] = value
    recast = cast(Callable[..., Message], type(message))(**values)
    return ipa.encode_rspro(encode_pdu(replace(pdu, msg=recast)))


def _line(frame: bytes) -> RsproPdu | bytes:
    if frame[2:4] == b"\xee\x07" and len(frame) <= _LONGEST_CAST:
        try:
            pdu = decode_pdu(frame[4:])
        except DecodeError:
            return frame
        # What does not come out as it went in (BER that is not DER) is interesting as it is.
        if not isinstance(pdu.msg, UnknownMessage) and encode_pdu(pdu) == frame[4:]:
            return pdu
    return frame


def _identity(kind: ComponentType) -> ComponentIdentity:
    return ComponentIdentity(kind, "fuzz", "remsim-fuzz", "1")


def _hello(part: Part) -> tuple[Line, ...]:
    """A proper introduction, and the answers that bring us furthest."""
    client = RsproPdu(1, ConnectClientReq(_identity(ComponentType.REMSIM_CLIENT), _SLOT[0]))
    match part:
        case Part.CLIENT_OF_SERVER:
            return (client, None)
        case Part.CLIENT_OF_BANKD:
            return (client, None, RsproPdu(1, SetAtrRes(ResultCode.OK)))
        case Part.BANKD_OF_SERVER:
            return (RsproPdu(1, ConnectBankReq(_identity(ComponentType.REMSIM_BANKD), 0, 8)), None)
        case Part.SERVER_OF_BANKD:
            server = _identity(ComponentType.REMSIM_SERVER).with_abilities(ABILITIES)
            return (RsproPdu(1, ConnectClientReq(server)), None)
    return ()


def _sessions() -> list[Play]:
    found: list[Play] = []
    for session in vectors.sessions():
        by_connection: dict[int, list[vectors.Frame]] = {}
        for frame in session.frames:
            by_connection.setdefault(frame.conn, []).append(frame)
        for frames in by_connection.values():
            for pair, part in _PARTS.items():
                lines = _spoken(frames, *pair)
                if lines:
                    if part is Part.SERVER_OF_BANKD:
                        lines = [*_hello(part), *lines]
                    found.append(Play(part, tuple(lines[:_MOST_STEPS]), session.name))
    return found


def _spoken(frames: Sequence[vectors.Frame], speaker: str, listener: str) -> list[Line]:
    """One side of a connection; the other side's lines are places to wait at."""
    lines: list[Line] = []
    for frame in frames:
        who = (frame.sender.rstrip("2"), frame.receiver.rstrip("2"))
        if who == (speaker, listener):
            lines.append(_line(frame.raw))
        elif who == (listener, speaker) and lines and lines[-1] is not None:
            lines.append(None)
    return lines if any(line is not None for line in lines) else []


def _singles() -> list[Play]:
    messages = [bytes.fromhex(m["frame"]) for m in vectors.document("messages.json")["messages"]]
    tolerance = vectors.document("tolerance.json")
    pdus = [bytes.fromhex(e["der"]) for e in tolerance["extensions"]] + [
        bytes.fromhex(e["ber"]) for e in tolerance["ber"]
    ]
    frames = [*messages, *map(ipa.encode_rspro, pdus), *(bad.raw for bad in vectors.bad_frames())]
    ping = bytes.fromhex("0001fe00")
    return [
        Play(part, (*_hello(part), _line(frame), ping, None), f"single frame {number}")
        for number, frame in enumerate(frames)
        for part in _PARTS.values()
    ]


def _commands() -> list[Play]:
    """Longer talks with a card, from the captured ones: select, read, authenticate and so on in a row."""
    found: list[Line] = []
    for frame in vectors.frames():
        line = _line(frame.raw) if frame.sender == "client" else None
        if isinstance(line, RsproPdu) and isinstance(line.msg, TpduModemToCard):
            found += [line, None]
    hello = _hello(Part.CLIENT_OF_BANKD)
    return [
        Play(Part.CLIENT_OF_BANKD, (*hello, *found[at : at + 12]), f"commands from {at}")
        for at in range(0, len(found), 6)
    ]


@cache
def plays() -> dict[Part, tuple[tuple[Play, ...], ...]]:
    """All conversations by part, in groups of a kind. What REST is asked is not among them."""
    groups = [_sessions(), _singles(), _commands()]
    return {
        part: tuple(found for group in groups if (found := tuple(play for play in group if play.part is part)))
        for part in _PARTS.values()
    }

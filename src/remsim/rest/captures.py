# SPDX-License-Identifier: Apache-2.0
"""Records of a trace as packets of a capture, see ``remsim.trace.pcapng``."""

from datetime import datetime

from remsim.rest.traces import TraceModel
from remsim.trace.gsmtap import AtrRecord, TpduMark, TpduRecord
from remsim.trace.pcapng import CapturePacket, refusal_words

_HIDDEN = "**"
_FILL = "ff"
_MARKS = {"guess": TpduMark.GUESS, "restore": TpduMark.RESTORE, "inventory": TpduMark.INVENTORY}


def packet_of(record: TraceModel, *, has_guesses: bool = False) -> CapturePacket | None:
    """The packet of a record; None if GSMTAP has nothing for it: resets, and commands without an answer.

    A capture shows what the modem saw; with ``has_guesses`` also what no modem has sent, marked (``TpduMark``).
    """
    if record.response is None:
        return None
    slot_nr = int(record.source.partition(":")[2])
    at = datetime.fromisoformat(record.at).timestamp()
    response = _bytes(record.response)
    if record.kind == "atr":
        return CapturePacket(at, AtrRecord(slot_nr, response), _comment(record))
    if record.kind != "command" or record.command is None:
        return None
    mark = _MARKS.get(record.origin or "", TpduMark.MODEM)
    if mark is not TpduMark.MODEM and not has_guesses:
        return None
    return CapturePacket(at, TpduRecord(slot_nr, _bytes(record.command), response, mark), _comment(record))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(_HIDDEN, _FILL))


def _comment(record: TraceModel) -> str:
    """What GSMTAP has no place for, in words."""
    times = [
        f"{name} {value:g} ms"
        for name, value in (("card", record.card_ms), ("network", record.network_ms), ("modem", record.total_ms))
        if value is not None
    ]
    places = [place for place in (record.bank, record.client) if place is not None] or [record.source]
    answer = "" if record.kind == "atr" else refusal_words(_bytes(record.response or ""))
    parts = [" ".join(places), record.origin or "", record.words or "", answer, *times, record.command_id or ""]
    return ", ".join(part for part in parts if part)

# SPDX-License-Identifier: Apache-2.0
"""Records of a trace as lines for people, wherever they are shown."""

from datetime import datetime
from enum import Enum
from typing import Final

from remsim.core.text import counted, escape
from remsim.rest.traces import TraceEndsModel, TraceModel

#: What stands before a command that is not simply the modem's.
_MARKS: Final = {"guess": "g", "restore": "r", "inventory": "i"}
#: A command of the modem that the bankd had answered ahead.
_AHEAD: Final = "*"
#: Over the columns of ``line_of``.
HEADING: Final = "time (UTC)       card  network    ms; g guess, r restore, i inventory, * answered ahead"
#: Status words that are no error, by their first byte.
_GOOD: Final = frozenset({"90", "91", "92", "9F", "61", "62", "63", "6C"})


class Tone(Enum):
    """How a line is to look."""

    PLAIN = 0
    DIM = 1
    MARKED = 2
    WRONG = 3


def line_of(record: TraceModel) -> str:
    """``20:21:00.824     13.2      1.8  READ BINARY, 10 bytes [EF.ICCID]: 9000 ok, 10 bytes``."""
    clock = datetime.fromisoformat(record.at).strftime("%H:%M:%S.%f")[:12]
    if record.kind == "left_out":
        return f"{clock}{'':20}({counted(record.left_out or 0, 'record')} of {record.source} left out: too many)"
    is_ahead = record.origin == "modem" and "+" in (record.command_id or "")
    mark = _AHEAD if is_ahead else _MARKS.get(record.origin or "", " ")
    times = "".join(f"{'' if value is None else f'{value:.1f}':>9}" for value in (record.card_ms, record.network_ms))
    words = escape(record.words or record.kind)
    if record.kind == "command":
        words += f": {escape(record.answer or 'no answer')}"
    elif record.kind == "atr":
        words += f" {record.response or ''}"
    return f"{clock}{times} {mark} {words}"


def tone_of(record: TraceModel) -> Tone:
    """How a record is to look."""
    if record.kind != "command":
        return Tone.MARKED
    if record.answer is None or record.answer[:2] not in _GOOD:
        return Tone.WRONG
    return Tone.PLAIN if record.origin == "modem" else Tone.DIM


def ends_text(ends: TraceEndsModel) -> str:
    """Who tells, and who does not and why."""
    telling = [end.slot for end in ends.ends if end.traces]
    silent = [end.problem or f"{end.slot} does not" for end in ends.ends if not end.traces]
    said = f"tracing {' and '.join(telling)}" if telling else f"nobody traces {ends.slot} now"
    return "; ".join([said, *silent])

# SPDX-License-Identifier: Apache-2.0
"""What passes at one slot, as records for the server, while somebody watches the slot there. The same at both ends.

Every command goes through redaction; hidden bytes do not leave this object. It is made when the trace begins, in the
middle of a card's use, so what files hold is hidden until a file is selected in sight. Knows no socket and no clock.
"""

from collections.abc import Callable
from typing import Final

from remsim.card.filenames import path_names
from remsim.card.instructions import describe_command
from remsim.card.reset import ResetKind
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.rate_limit import TokenBuckets
from remsim.core.values import dataclass
from remsim.redaction import CardRedactor, Masked
from remsim.wire.messages.extensions import (
    MAX_MICROSECONDS,
    MAX_TRACE_RECORDS,
    MAX_WORDS,
    TraceInd,
    TraceKind,
    TraceOrigin,
    TraceRecord,
)
from remsim.wire.messages.rspro import MAX_ATR, MAX_COMMAND, MAX_RESPONSE

#: Records in each second, and so many at once. A modem's start-up has fewer; a burst of the toolkit, too.
RATE: Final = 200
#: What has happened is told so much later at most.
FLUSH_S: Final = 0.1
#: Bytes of a command's header, which say what it is.
_HEADER: Final = 5
_MALFORMED: Final = "malformed command"


@dataclass(frozen=True, slots=True)
class CommandId:
    """What both ends call a command: its session, where that outlives its link; its tag; the place behind it."""

    session: bytes = b""
    tag: int | None = None
    #: 0: it is the command with this tag itself.
    index: int = 0


NO_ID: Final = CommandId()


def _nobody() -> None:
    return


class SlotTap:
    """Records of one slot. ``until``: when the trace ends by itself; ``on_left_out`` is called for each left out."""

    def __init__(self, until: float, *, on_left_out: Callable[[], None] = _nobody) -> None:
        self.until = until
        self._on_left_out = on_left_out
        #: Records that were too many.
        self.left_out = 0
        # Commands as the modem believes the card to have had them; and, where that differs, as the card had them.
        self._modem = CardRedactor.midway()
        self._card: CardRedactor | None = None
        self._records: list[tuple[float, TraceRecord]] = []
        self._bucket = TokenBuckets(burst=RATE, interval_s=1 / RATE, most_keys=1)
        self._told_left_out = 0
        self._flush_at: float | None = None

    # What happens

    def on_command(
        self,
        tpdu: bytes,
        response: bytes | None,
        now: float,
        *,
        origin: TraceOrigin = TraceOrigin.MODEM,
        command_id: CommandId = NO_ID,
        spent_s: float | None = None,
        was_run: bool = True,
        failure: str = "",
    ) -> None:
        """A command was answered, or got no answer for this reason. ``was_run``: by the card, in this order."""
        file = self._redactor(origin).file_of(tpdu)
        command, answer = self._shown(tpdu, response, origin, was_run=was_run)
        if not self._has_room(now):
            # What is selected had to be followed all the same.
            return
        words = _MALFORMED if command.hidden & set(range(_HEADER)) else describe_command(tpdu)
        if file is not None and isinstance(file[-1], int):
            words += f" [{path_names(file)[-1]}]"
        if failure:
            words += f": {failure}"
        self._add(
            now,
            TraceRecord(
                TraceKind.COMMAND,
                origin,
                0,
                session=command_id.session or None,
                tag=command_id.tag,
                index=command_id.index or None,
                command=command.to_bytes()[:MAX_COMMAND],
                response=None if answer is None else answer.to_bytes()[:MAX_RESPONSE],
                hidden_command=_bits(command, MAX_COMMAND),
                hidden_response=None if answer is None else _bits(answer, MAX_RESPONSE),
                words=_words(words),
                spent_us=None if spent_s is None else _microseconds(spent_s),
            ),
        )

    def on_reset(self, kind: ResetKind, now: float, *, words: str = "") -> None:
        """The card begins anew: channel 0, at the MF."""
        self._modem.on_reset()
        self._card = None
        trace_kind = TraceKind.COLD_RESET if kind is ResetKind.COLD else TraceKind.WARM_RESET
        if self._has_room(now):
            self._add(now, TraceRecord(trace_kind, TraceOrigin.MODEM, 0, words=_words(words or f"{kind.value} reset")))

    def on_atr(self, atr: bytes, now: float) -> None:
        """The card gave this ATR, or the modem is shown it."""
        words = f"ATR, {len(atr)} bytes"
        if self._has_room(now):
            self._add(now, TraceRecord(TraceKind.ATR, TraceOrigin.MODEM, 0, response=atr[:MAX_ATR], words=words))

    def on_unknown_card(self) -> None:
        """Another card may be there, or this one may have been reset unseen."""
        self._modem, self._card = CardRedactor.midway(), None

    # What is told

    def next_deadline(self) -> float:
        """When ``take`` is due, or the trace ends."""
        return self.until if self._flush_at is None else min(self.until, self._flush_at)

    def take(
        self, now: float, *, bank_slot: BankSlot | None = None, client_slot: ClientSlot | None = None
    ) -> TraceInd | None:
        """What is to be told by now; None: nothing. Where more is left, ``next_deadline`` says so."""
        told, self._records = self._records[:MAX_TRACE_RECORDS], self._records[MAX_TRACE_RECORDS:]
        self._flush_at = now if self._records else None
        if not told and self.left_out == self._told_left_out:
            return None
        self._told_left_out = self.left_out
        records = tuple(_aged(record, now - at) for at, record in told)
        return TraceInd(min(self.left_out, MAX_MICROSECONDS), records, bank_slot, client_slot)

    def _has_room(self, at: float) -> bool:
        """Whether one more may be told now; if not, it is counted."""
        if self._flush_at is None:
            self._flush_at = at + FLUSH_S
        if self._bucket.take(None, at):
            return True
        self.left_out += 1
        self._on_left_out()
        return False

    def _add(self, at: float, record: TraceRecord) -> None:
        self._records.append((at, record))
        if len(self._records) >= MAX_TRACE_RECORDS:
            self._flush_at = at

    # What may be shown

    def _redactor(self, origin: TraceOrigin) -> CardRedactor:
        return self._modem if origin is TraceOrigin.MODEM or self._card is None else self._card

    def _shown(
        self, tpdu: bytes, response: bytes | None, origin: TraceOrigin, *, was_run: bool
    ) -> tuple[Masked, Masked | None]:
        if origin is TraceOrigin.INVENTORY:
            # The card was powered for this, and is powered off after it.
            return self._exchange(self._modem, tpdu, response)
        if origin is not TraceOrigin.MODEM:
            if self._card is None:
                # Until now both were the same.
                self._card = self._modem.copy()
            return self._exchange(self._card, tpdu, response)
        if self._card is not None and was_run:
            self._exchange(self._card, tpdu, response)
        return self._exchange(self._modem, tpdu, response)

    def _exchange(self, redactor: CardRedactor, tpdu: bytes, response: bytes | None) -> tuple[Masked, Masked | None]:
        if response is None:
            shown = redactor.command(tpdu)
            # Whether the card has selected something is not known.
            self.on_unknown_card()
            return shown, None
        return redactor.exchange(tpdu, response)


def _bits(masked: Masked, most: int) -> bytes | None:
    """A bit for each hidden byte, the highest first; None if there is none."""
    places = [place for place in masked.hidden - masked.structure if place < most]
    if not places:
        return None
    raw = bytearray(max(places) // 8 + 1)
    for place in places:
        raw[place // 8] |= 0x80 >> place % 8
    return bytes(raw)


def hidden_places(bits: bytes | None) -> frozenset[int]:
    """Which bytes are hidden, of what ``TraceRecord`` says."""
    if not bits:
        return frozenset()
    return frozenset(place for place in range(8 * len(bits)) if bits[place // 8] & 0x80 >> place % 8)


def _words(text: str) -> str:
    shown = text.encode("ascii", "replace").decode("ascii")
    return "".join(letter if " " <= letter <= "~" else "?" for letter in shown)[:MAX_WORDS]


def _microseconds(seconds: float) -> int:
    return min(max(0, round(seconds * 1e6)), MAX_MICROSECONDS)


def _aged(record: TraceRecord, age_s: float) -> TraceRecord:
    return TraceRecord(
        record.kind,
        record.origin,
        _microseconds(age_s),
        record.session,
        record.tag,
        record.index,
        record.command,
        record.response,
        record.hidden_command,
        record.hidden_response,
        record.words,
        record.spent_us,
    )

# SPDX-License-Identifier: Apache-2.0
"""Slots that somebody watches at the server: what the active server asked for, and the records that it gets.

A slot that is not watched costs its commands one look at ``CardSlot.is_traced``. No I/O: the runtime tells of each
command that ``TraceTpdu`` asks it to trace, because it alone knows what the card took for it.
"""

from collections.abc import Sequence
from functools import partial

from remsim.bankd.core.actions import BankdAction, Origin, TimeCard, TraceTpdu
from remsim.bankd.core.session import CardSlot, Due
from remsim.card.reset import ResetKind
from remsim.core.deadlines import Deadlines
from remsim.core.limits import LimitCounts, LimitName
from remsim.trace.tap import CommandId, SlotTap
from remsim.wire.link.actions import LinkId, Send
from remsim.wire.messages.extensions import TraceOrigin, TraceReq

ORIGINS = {
    Origin.MODEM: TraceOrigin.MODEM,
    Origin.GUESS: TraceOrigin.GUESS,
    Origin.RESTORE: TraceOrigin.RESTORE,
}


class SlotTraces:
    """Which slots of a bank are traced. ``fixed`` are those traced for others, watched or not."""

    def __init__(
        self,
        positions: Sequence[CardSlot],
        *,
        fixed: frozenset[int],
        out: list[BankdAction],
        deadlines: Deadlines[Due],
        limits: LimitCounts,
    ) -> None:
        self._on_left_out = partial(limits.reached, LimitName.TRACE_RATE)
        self._positions = positions
        self._fixed = fixed
        self._out = out
        self._deadlines = deadlines
        self._taps: dict[int, SlotTap] = {}
        self._link: LinkId | None = None

    @property
    def watched(self) -> frozenset[int]:
        """The slots that are watched."""
        return frozenset(self._taps)

    def on_request(self, request: TraceReq, link: LinkId, now: float) -> bool:
        """The active server wants to hear of a slot, or no more. False: it is none of this bank."""
        slot = request.bank_slot
        if slot is None or slot.slot_nr >= len(self._positions):
            return False
        if slot != self._positions[slot.slot_nr].bank_slot:
            return False
        if request.for_ms == 0:
            self._end(slot.slot_nr)
            return True
        self._link = link
        until = now + request.for_ms / 1000
        tap = self._taps.get(slot.slot_nr)
        if tap is None:
            tap = self._taps[slot.slot_nr] = SlotTap(until, on_left_out=self._on_left_out)
            self._positions[slot.slot_nr].is_traced = True
            self._out.append(TimeCard(slot.slot_nr, is_on=True))
        tap.until = until
        self._deadlines.set(tap, tap.next_deadline())
        return True

    def end_all(self) -> None:
        """The server that watched is gone."""
        for slot_nr in list(self._taps):
            self._end(slot_nr)

    def on_due(self, tap: SlotTap, now: float) -> None:
        """Something is to be told, or the trace is over."""
        slot_nr = next((nr for nr, known in self._taps.items() if known is tap), None)
        if slot_nr is None:
            return
        position = self._positions[slot_nr]
        client = None if position.session is None else position.session.client
        message = tap.take(now, bank_slot=position.bank_slot, client_slot=client)
        if message is not None and self._link is not None:
            self._out.append(Send(self._link, message))
        if now >= tap.until:
            self._end(slot_nr)
        else:
            self._deadlines.set(tap, tap.next_deadline())

    # What happens at the slots. The timer that is due then is set by the caller.

    def on_tpdu(self, traced: TraceTpdu, spent_s: float | None, now: float) -> None:
        """A command was answered, or failed."""
        tap = self._taps.get(traced.slot_nr)
        if tap is None:
            return
        tap.on_command(
            traced.tpdu,
            traced.response,
            now,
            origin=ORIGINS[traced.origin],
            command_id=CommandId(traced.session, traced.tag, traced.index),
            spent_s=spent_s,
            was_run=traced.was_run,
            failure="" if traced.response is not None else "the card failed",
        )
        self._deadlines.set(tap, tap.next_deadline())

    def on_inventory(self, slot_nr: int, tpdu: bytes, response: bytes, spent_s: float, now: float) -> None:
        """The bankd itself asked the card something."""
        tap = self._taps.get(slot_nr)
        if tap is not None:
            tap.on_command(tpdu, response, now, origin=TraceOrigin.INVENTORY, spent_s=spent_s)
            self._deadlines.set(tap, tap.next_deadline())

    def on_atr(self, slot_nr: int, atr: bytes, now: float) -> None:
        """The client is given this ATR."""
        tap = self._taps.get(slot_nr)
        if tap is not None:
            tap.on_atr(atr, now)
            self._deadlines.set(tap, tap.next_deadline())

    def on_reset(self, slot_nr: int, kind: ResetKind, now: float, *, words: str = "") -> None:
        """The card is powered up, or reset."""
        tap = self._taps.get(slot_nr)
        if tap is not None:
            tap.on_reset(kind, now, words=words)
            self._deadlines.set(tap, tap.next_deadline())

    def _end(self, slot_nr: int) -> None:
        tap = self._taps.pop(slot_nr, None)
        if tap is None:
            return
        self._deadlines.cancel(tap)
        self._positions[slot_nr].is_traced = slot_nr in self._fixed
        self._out.append(TimeCard(slot_nr, is_on=False))

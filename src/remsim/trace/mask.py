# SPDX-License-Identifier: Apache-2.0
"""What is hidden in trace records that leave a program as they are: GSMTAP."""

from collections import defaultdict
from dataclasses import replace

from remsim.redaction import CardRedactor
from remsim.trace.gsmtap import AtrRecord, TpduMark, TraceRecord


class TraceMask:
    """A Redactor of trace records. Must be told of resets, which not every one of them shows."""

    def __init__(self) -> None:
        self._cards: defaultdict[int, CardRedactor] = defaultdict(CardRedactor)
        # Where commands were run that no modem has sent, what the card has selected; the others have what the modem
        # believes to be selected.
        self._run: dict[int, CardRedactor] = {}

    def __call__(self, record: TraceRecord) -> TraceRecord:
        """The record with hidden bytes as FF."""
        if isinstance(record, AtrRecord):
            return record
        slot_nr, redactor = record.slot_nr, self._cards[record.slot_nr]
        if record.mark is not TpduMark.MODEM:
            # Until the first of them both were the same.
            redactor = self._run.setdefault(slot_nr, redactor.copy())
        elif record.was_run and (run := self._run.get(slot_nr)) is not None:
            run.exchange(record.tpdu, record.response)
        command, response = redactor.exchange(record.tpdu, record.response)
        return replace(record, tpdu=command.to_bytes(), response=response.to_bytes())

    def on_reset(self, slot_nr: int) -> None:
        """The slot's card starts anew."""
        self._cards[slot_nr].on_reset()
        self._run.pop(slot_nr, None)

    def on_unknown_card(self, slot_nr: int) -> None:
        """Another card may be there, or it may have been reset unseen: what is selected is not known."""
        self._cards[slot_nr] = CardRedactor.midway()
        self._run.pop(slot_nr, None)

# SPDX-License-Identifier: Apache-2.0
"""What is hidden in trace records that leave a program as they are: GSMTAP."""

from collections import defaultdict

from remsim.redaction import CardRedactor
from remsim.trace.gsmtap import AtrRecord, TpduRecord, TraceRecord


class TraceMask:
    """A Redactor of trace records. Must be told of resets, which not every one of them shows."""

    def __init__(self) -> None:
        self._cards: defaultdict[int, CardRedactor] = defaultdict(CardRedactor)

    def __call__(self, record: TraceRecord) -> TraceRecord:
        """The record with hidden bytes as FF."""
        if isinstance(record, AtrRecord):
            return record
        command, response = self._cards[record.slot_nr].exchange(record.tpdu, record.response)
        return TpduRecord(record.slot_nr, command.to_bytes(), response.to_bytes())

    def on_reset(self, slot_nr: int) -> None:
        """The slot's card starts anew."""
        self._cards[slot_nr].on_reset()

    def on_unknown_card(self, slot_nr: int) -> None:
        """Another card may be there, or it may have been reset unseen: what is selected is not known."""
        self._cards[slot_nr] = CardRedactor.midway()

# SPDX-License-Identifier: Apache-2.0
"""What a trace may show of each slot's traffic: secrets masked, by what ``remsim.redaction`` knows of them."""

from collections import defaultdict

from remsim.redaction import CardRedactor
from remsim.trace import AtrRecord, TpduRecord, TraceRecord


class TraceMask:
    """A Redactor of trace records. Must be told of resets, which not every one of them shows."""

    def __init__(self) -> None:
        self._cards: defaultdict[int, CardRedactor] = defaultdict(CardRedactor)

    def __call__(self, record: TraceRecord) -> TraceRecord:
        """The record with hidden octets as FF."""
        if isinstance(record, AtrRecord):
            return record
        command, response = self._cards[record.slot_nr].exchange(record.tpdu, record.response)
        return TpduRecord(record.slot_nr, command.to_bytes(), response.to_bytes())

    def on_reset(self, slot_nr: int) -> None:
        """The slot's card starts anew."""
        self._cards[slot_nr].on_reset()

# SPDX-License-Identifier: Apache-2.0
"""What coordinators tell people: one typed event, from which log lines, event streams and pages are made. No I/O."""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass

#: How much it matters: for developers, for the record, somebody should look, something is broken.
Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One thing that happened, as an action of a coordinator.

    ``name`` is the event's name, the same for every occurrence: ``client_mapped``. ``fields`` hold what differs; None
    and empty text are left out of a log line. No field holds bytes of a card.
    """

    level: Level
    name: str
    bank_slot: BankSlot | None = None
    client_slot: ClientSlot | None = None
    fields: Mapping[str, object] = field(default_factory=dict)

    def shown_fields(self) -> dict[str, object]:
        """The fields that say something, in order."""
        return {key: value for key, value in self.fields.items() if value is not None and value != ""}

# SPDX-License-Identifier: Apache-2.0
"""What the page says of a slot in one word, with a colour and a symbol: derived from the models of v2, and from them
only. Each keeps the age and the source of the observation that decides it.
"""

import re
from typing import Final

from remsim.core.values import dataclass
from remsim.rest import models
from remsim.server.mapping_lacks import NO_CARD, READER_FAILS

#: Symbols differ in shape, so that nobody needs the colours.
SYMBOLS: Final = {
    "active": "●",
    "waiting": "◔",
    "problem": "▲",
    "free": "○",
    "unknown": "◌",
    "locked": "⊘",
    "empty": "–",
    "away": "✕",
}
#: In the order in which the filter offers them.
MEANINGS: Final = {
    "problem": "problem",
    "waiting": "waiting",
    "active": "in force",
    "free": "free",
    "unknown": "unknown",
    "locked": "locked",
    "empty": "no card",
    "away": "away",
}
#: Reasons that do not go away by themselves.
_TROUBLE: Final = frozenset({NO_CARD, READER_FAILS})


@dataclass(frozen=True, slots=True)
class Shown:
    """A state as the page shows it."""

    state: str
    #: In words, for people.
    text: str
    since: str | None
    source: str

    @property
    def symbol(self) -> str:
        """Beside the colour."""
        return SYMBOLS[self.state]


#: It has a mapping of which no more is told.
_HIDDEN: Final = Shown("unknown", "mapped, to something that the token is not for", None, "server")


def shown(state: str, text: str, observed: models.Observed) -> Shown:
    """A state that rests on this observation."""
    return Shown(state, text, observed.since, observed.source)


def of_bank_slot(slot: models.BankSlotModel, link: models.LinkObserved) -> Shown:
    """The state of a bank slot; ``link`` is that of its bank."""
    if link.state == "absent":
        return shown("away", "its bank is not connected", link)
    if slot.mapping is not None:
        return of_mapping(slot.mapping)
    if slot.reader is not None:
        return shown("problem", READER_FAILS, slot.card)
    if slot.hidden_mapping:
        return _HIDDEN
    match slot.card.state:
        case _ if slot.lock is not None and slot.card.state != "absent":
            return Shown("locked", f"locked: {slot.lock.reason}", slot.lock.since, "server")
        case "present":
            return _free("free", slot.card, slot.unmapped_since)
        case "absent":
            return shown("empty", "no card", slot.card)
        case _:
            # As long as the bankd has been here, it has not told.
            return Shown("unknown", "perhaps free: its bankd does not tell of cards", link.since, slot.card.source)


def of_mapping(mapping: models.MappingModel) -> Shown:
    """The state of a mapping."""
    observed = mapping.usability or mapping.state
    if mapping.operational:
        return shown("active", "in force", observed)
    reason = mapping.missing[0]
    is_trouble = mapping.state.state == "refused" or reason in _TROUBLE or "refused" in reason
    return shown("problem" if is_trouble else "waiting", short(reason), observed)


def _free(text: str, observed: models.Observed, unmapped_since: str | None) -> Shown:
    """What can be had: since it is there, or since its last mapping has ended."""
    if unmapped_since is not None and (observed.since is None or unmapped_since > observed.since):
        return Shown("free", text, unmapped_since, "server")
    return shown("free", text, observed)


def short(reason: str) -> str:
    """A reason without its time, which stands beside it as an age."""
    return re.sub(r" since [0-9T:Z-]+$", "", reason)


def of_client_slot(slot: models.ClientSlotModel) -> Shown:
    """The state of a client slot."""
    if slot.link.state == "absent":
        return shown("away", "not connected", slot.link)
    if slot.hidden_mapping and slot.mapping is None:
        return _HIDDEN
    if slot.mapping is None:
        return _free("has no card", slot.link, slot.unmapped_since)
    return of_mapping(slot.mapping)


def of_bank(bank: models.BankModel) -> Shown:
    """The state of a bank."""
    if bank.link.state == "absent":
        return shown("away", "not connected", bank.link)
    return shown("active", "connected", bank.link)

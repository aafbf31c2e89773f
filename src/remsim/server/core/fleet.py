# SPDX-License-Identifier: Apache-2.0
"""From a desired state as a whole to the changes that lead there: which mappings end, and which are made. Without I/O.

A client that names a label keeps the card that it has, if that is one of them and nobody names it by its slot; the
others get what is free, in the order of client slots. The same state therefore leads to no further change. A number
that two cards have names neither of them, unless the client has one already.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from remsim.core.errors import RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.server.core.card_choice import AMBIGUITY_HINT, CardChoice, CardChoiceKind, ambiguity


class FleetError(RemsimError):
    """A desired state that cannot be reached."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Client slots whose mappings end, and the pairs of those that are made, both in order."""

    ended: tuple[ClientSlot, ...]
    created: tuple[tuple[BankSlot, ClientSlot], ...]


def plan_fleet(
    wanted: Mapping[ClientSlot, CardChoice],
    current: Mapping[ClientSlot, BankSlot],
    candidates: Callable[[CardChoice], Sequence[BankSlot]],
    occupied: AbstractSet[BankSlot],
    best_first: Callable[[ClientSlot, Sequence[BankSlot]], Sequence[BankSlot]],
) -> FleetPlan:
    """What leads from ``current`` to ``wanted``. Raises FleetError.

    ``candidates`` gives the slots of the cards that a choice names; ``occupied`` are slots that others have, who are
    not asked here. Of several that are free, a client gets the one that is ``best_first``.
    """
    found = {choice: tuple(candidates(choice)) for choice in dict.fromkeys(wanted.values())}
    given: dict[ClientSlot, BankSlot] = {}
    taken: dict[BankSlot, ClientSlot] = {}

    def give(client: ClientSlot, bank: BankSlot) -> None:
        given[client] = bank
        taken[bank] = client

    for client, choice in sorted(wanted.items()):
        if choice.kind is CardChoiceKind.LABEL:
            continue
        if not found[choice]:
            raise FleetError(f"{client}: no bank has {choice} now", hint="see remsim ctl cards")
        (bank, *others) = found[choice]
        if others and current.get(client) in found[choice]:
            bank = current[client]
        elif others:
            raise FleetError(f"{client}: {ambiguity(choice, found[choice])}", hint=AMBIGUITY_HINT)
        if bank in taken:
            raise FleetError(f"{taken[bank]} and {client} both want {bank}", hint="give one of them another card")
        if bank in occupied:
            raise FleetError(f"{client}: {bank} is in use", hint="see remsim ctl mappings")
        give(client, bank)
    for client, choice in sorted(wanted.items()):
        if client not in given and client in current:
            kept = current[client]
            if kept in found[choice] and kept not in taken:
                give(client, kept)
    for client, choice in sorted(wanted.items()):
        if client in given:
            continue
        if not found[choice]:
            raise FleetError(f"{client}: no bank has a card of {choice}", hint="see remsim ctl cards, remsim ctl slots")
        free = [bank for bank in found[choice] if bank not in taken and bank not in occupied]
        if not free:
            text = f"{client}: none of the {len(found[choice])} cards of {choice} is free"
            raise FleetError(text, hint="label more cards, or want fewer")
        give(client, best_first(client, free)[0])
    changed = {client for client, bank in current.items() if given.get(client) != bank}
    created = tuple((bank, client) for client, bank in sorted(given.items()) if current.get(client) != bank)
    return FleetPlan(tuple(sorted(changed)), created)

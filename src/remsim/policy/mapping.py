# SPDX-License-Identifier: Apache-2.0
"""Who may be given which card: rules per client, judged before a mapping is stored.

::

    default = "allow"            # clients without a rule get whatever the operator maps; "deny": they get nothing

    [[client]]
    client = ["23", "30-39:0"]   # these clients, or these slots of them ...
    banks = ["1", "5-8"]         # ... may use all slots of these banks,
    slots = ["2:0-3"]            # these bank slots,
    numbers = ["89001001*"]      # and cards with these numbers (ICCID), wherever they are

Each rule only allows. If one or more rules name a client slot, a mapping needs the permission of at least one of them;
a rule without any card forbids all. A number counts only for a card whose number is known.

There are no rules on IMSIs: reading one may need a PIN, and a card may have several, while its ICCID is its own.
"""

import re
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.policy.fields import EVERY, PolicyError, Slots, Table, parse_numbers, parse_slots

#: As ``remsim.card.iccid.is_iccid``, in small letters, too.
_NUMBER: Final = re.compile(r"[0-9A-E]{1,20}\*?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MappingDecision:
    """``reason`` is a sentence for people: which rule decided, or that none did."""

    is_allowed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ClientRule:
    """One ``[[client]]``; ``number`` counts from 1, for messages."""

    number: int
    clients: tuple[Slots, ...]
    bank_slots: tuple[Slots, ...]
    card_numbers: tuple[str, ...]

    def concerns(self, client: ClientSlot) -> bool:
        """Whether the rule is about this client slot."""
        return any(slots.has(client.client_id, client.slot_nr) for slots in self.clients)

    def allows(self, bank: BankSlot, iccid: str | None) -> bool:
        """Whether it allows the card in this slot, whose number is given where it is known."""
        if any(slots.has(bank.bank_id, bank.slot_nr) for slots in self.bank_slots):
            return True
        return iccid is not None and any(_matches(pattern, iccid) for pattern in self.card_numbers)


@dataclass(frozen=True, slots=True)
class MappingPolicy:
    """All rules. The default value allows everything."""

    rules: tuple[ClientRule, ...] = ()
    is_open: bool = True

    @property
    def size(self) -> str:
        """``1 rule``, ``2 rules``."""
        return f"{len(self.rules)} rule{'' if len(self.rules) == 1 else 's'}"

    def decide(self, client: ClientSlot, bank: BankSlot, iccid: str | None = None) -> MappingDecision:
        """Whether ``client`` may be mapped to ``bank``. ``iccid``: the number of the card there, where it is known."""
        rules = [rule for rule in self.rules if rule.concerns(client)]
        if not rules:
            return MappingDecision(self.is_open, f"no rule names {client}, and the default is {_word(self.is_open)}")
        for rule in rules:
            if rule.allows(bank, iccid):
                return MappingDecision(is_allowed=True, reason=f"client rule {rule.number} allows {bank} for {client}")
        numbers = ", ".join(str(rule.number) for rule in rules)
        is_unknown = iccid is None and any(rule.card_numbers for rule in rules)
        card = f"{bank}, whose card's number is not known," if is_unknown else str(bank)
        return MappingDecision(
            is_allowed=False, reason=f"{card} is not among what client rule {numbers} allows {client}"
        )


OPEN: Final = MappingPolicy()


def parse_mapping_policy(text: str, origin: str) -> MappingPolicy:
    """Read the rules; ``origin`` is the file's name. Raises PolicyError."""
    table = Table.of_text(text, origin)
    default = table.word("default", ("allow", "deny"), "allow")
    rules = tuple(_rule(number, rule) for number, rule in enumerate(table.tables("client"), start=1))
    table.finish()
    return MappingPolicy(rules, default == "allow")


def _rule(number: int, table: Table) -> ClientRule:
    clients = table.each("client", parse_slots)
    if not clients:
        raise table.error("client is missing", 'say whom the rule is about, for example client = "23"')
    banks = tuple(Slots(numbers, EVERY) for numbers in table.each("banks", parse_numbers))
    rule = ClientRule(number, clients, banks + table.each("slots", parse_slots), table.each("numbers", _card_number))
    table.finish()
    return rule


def _card_number(text: str) -> str:
    if _NUMBER.fullmatch(text) is None:
        raise PolicyError(
            f"{text!r} is no card number (ICCID)",
            hint="write digits (0 to 9, A to E), with * at the end for all that follow",
        )
    return text.upper()


def _matches(pattern: str, number: str) -> bool:
    return number.startswith(pattern[:-1]) if pattern.endswith("*") else number == pattern


def _word(is_open: bool) -> str:
    return "to allow" if is_open else "to deny"

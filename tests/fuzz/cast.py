# SPDX-License-Identifier: Apache-2.0
"""Who is who: the numbers under which conversations appear, those that the canary has, and what is mapped to what.

Several conversations run at a time, each on a stage of its own with numbers of its own; otherwise they would spend
their time in contending for one identity.
"""

from dataclasses import dataclass
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot

#: The bank with the software cards that the server controls, and one that no server controls yet.
BANK: Final = 1
LONELY_BANK: Final = 2
#: Conversations at the same time.
STAGES: Final = 48

CANARY_CLIENT: Final = ClientSlot(1000, 0)
CANARY_BANK_SLOT: Final = BankSlot(BANK, STAGES)
#: One slot for each stage, and the canary's.
SLOTS: Final = STAGES + 1


@dataclass(frozen=True, slots=True)
class Roles:
    """The numbers that one conversation uses for itself."""

    client: ClientSlot
    bank_slot: BankSlot
    #: Number of the bank that it plays.
    bank: int


def of_stage(stage: int) -> Roles:
    """A client that is mapped to a real card."""
    return Roles(ClientSlot(300 + stage, 0), BankSlot(BANK, stage), 500 + stage)


def with_own_bank(stage: int) -> Roles:
    """A client that is mapped to a bank which conversations of the same stage play."""
    return Roles(ClientSlot(300 + stage, 1), BankSlot(500 + stage, 0), 500 + stage)


def of_canary() -> Roles:
    """The canary's own numbers: who claims them must be turned away."""
    return Roles(CANARY_CLIENT, CANARY_BANK_SLOT, BANK)


def mappings() -> list[tuple[ClientSlot, BankSlot]]:
    """What the server is told before it starts."""
    roles = [of_canary()]
    for stage in range(STAGES):
        roles += [of_stage(stage), with_own_bank(stage)]
    return [(role.client, role.bank_slot) for role in roles]

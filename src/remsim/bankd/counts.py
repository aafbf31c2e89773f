# SPDX-License-Identifier: Apache-2.0
"""What a bank counts: plain numbers, so that counting costs nothing; ``metrics`` shows them."""

from dataclasses import dataclass, field

from remsim.bankd.actions import FaultKind
from remsim.limits import LimitCounts


@dataclass(slots=True)
class BankdCounts:
    """Totals since the start."""

    #: Commands that a card answered.
    tpdus: int = 0
    #: Resets that a card survived.
    resets: int = 0
    #: Operations of a card that failed, by kind.
    faults: dict[FaultKind, int] = field(default_factory=lambda: dict.fromkeys(FaultKind, 0))
    #: Newcomers with the identity of a client that proved to be alive.
    duplicate_clients: int = 0
    #: Clients whose certificate, or the lack of one, was not good for the client slot that they claimed.
    impostors: int = 0
    #: Servers that wanted a bank which another server governs.
    second_servers: int = 0
    #: Connections that were closed because there were too many without a card.
    crowded_out: int = 0
    #: Connections that were closed because their peer broke the protocol.
    protocol_errors: int = 0
    #: Commands that a rule kept from the card, and those that one only noted.
    blocked_commands: int = 0
    noted_commands: int = 0
    #: Entries for the server's audit log that were dropped, because no server took them for long.
    audit_dropped: int = 0
    #: How often each limit was reached.
    limits: LimitCounts = field(default_factory=LimitCounts)

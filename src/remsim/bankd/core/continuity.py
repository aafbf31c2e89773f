# SPDX-License-Identifier: Apache-2.0
"""What makes a card session outlive its link: token, ledger, lines, and what counts of it. See ``holds``."""

from collections.abc import Callable
from dataclasses import field

from remsim.core.identity import Proof
from remsim.core.ids import ClientSlot
from remsim.core.values import dataclass
from remsim.session.hold import Hold, HoldTimes
from remsim.session.ledger import OperationLedger
from remsim.session.lines import ResetEdges
from remsim.session.token import SessionTokens
from remsim.wire.link.tags import is_newer
from remsim.wire.messages.rspro import SessionEnd


@dataclass(frozen=True, slots=True)
class HoldPolicy:
    """Which sessions are held for their clients when a link is lost, and for how long."""

    times: HoldTimes
    #: Only those whose client has proven with a certificate who it is.
    needs_proof: bool
    #: Gives so many unpredictable bytes.
    random: Callable[[int], bytes]
    #: Whether the cards in a reader of this name are shared with other programs, which may reset them meanwhile.
    is_shared: Callable[[str], bool]

    def allows(self, proof: Proof | None, reader: str) -> bool:
        """Whether a session of a client with this certificate, on a card in this reader, is held."""
        return (proof is not None or not self.needs_proof) and not self.is_shared(reader)


@dataclass(slots=True)
class HoldCounts:
    """Totals since the start."""

    #: Links of a session that were lost, the session being held.
    cuts: int = 0
    #: Sessions that went on: after a cut that was noticed, and over a link that was still thought to be alive.
    resumed: int = 0
    taken_over: int = 0
    #: Sessions that ended while they were held, by cause.
    ended: dict[SessionEnd, int] = field(
        default_factory=lambda: dict.fromkeys((cause for cause in SessionEnd if cause is not SessionEnd.UNKNOWN), 0)
    )
    #: Longest time for which a session was held and went on, in seconds.
    longest_s: float = 0.0
    #: Commands that came again, or would have, and were not run again.
    suppressed: int = 0


class Continuity:
    """What makes one session outlive its link, from the powering up of its card on."""

    __slots__ = ("_awaited", "_since", "edges", "hold", "is_unsettled", "ledger", "owes_atr", "proof", "tokens")

    def __init__(
        self, client: ClientSlot, proof: Proof | None, edges: ResetEdges, *, random: Callable[[int], bytes]
    ) -> None:
        self.proof = proof
        self.tokens = SessionTokens(client, proof, random=random)
        self.ledger = OperationLedger()
        #: The lines of the modem as the client showed them last, over whichever link.
        self.edges = edges
        #: The client has a new token and has sent nothing since, so it may still return with the former one.
        self.is_unsettled = False
        #: The client has not said yet that it has the card's present ATR.
        self.owes_atr = False
        #: While there is no link.
        self.hold: Hold | None = None
        # The newest operation that came before the present link, and the command from then that is still awaited.
        self._since: int | None = None
        self._awaited: int | None = None

    def go_on(self, waits_for: int | None) -> None:
        """Another link takes the session up; its client waits for the answer to this command."""
        self.hold, self.is_unsettled = None, True
        self._since, self._awaited = self.ledger.last, waits_for

    def is_awaited(self, tag: int) -> bool:
        """Whether the present link waits for the answer to this command."""
        return self._since is None or tag == self._awaited or is_newer(tag, self._since)

    def settle(self) -> None:
        """The client has sent something behind the new token."""
        self.is_unsettled = False
        self.tokens.settle()

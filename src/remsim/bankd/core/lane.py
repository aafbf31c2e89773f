# SPDX-License-Identifier: Apache-2.0
"""The short cut for commands of one session to a card that answers later, without I/O.

It does to the card position what ``clients.on_tpdu`` and ``cards.on_card_response`` do in the plain case, and nothing
in any other: then the command, or the response, goes the long way.
"""

from remsim.bankd.core.session import BankdCounts, CardSlot, Session
from remsim.bankd.core.states import CardState, SessionState
from remsim.wire.messages.rspro import MAX_COMMAND, MAX_RESPONSE, MIN_COMMAND, MIN_RESPONSE


class DeferredLane:
    """Commands of ``session`` to the card at ``position``, from one CardAttached to the next."""

    def __init__(self, session: Session, position: CardSlot, counts: BankdCounts) -> None:
        self._session = session
        self._position = position
        self._counts = counts

    def begin(self, tag: int, tpdu: bytes) -> bool:
        """Take a command; it must be given to the card now. False: let it arrive as an event."""
        position, session = self._position, self._session
        if (
            position.state is not CardState.READY
            or position.session is not session
            or session.queue
            or not MIN_COMMAND <= len(tpdu) <= MAX_COMMAND
        ):
            return False
        position.state = CardState.BUSY  # CardEvent.COMMAND, without the table's cost
        position.caller, position.tag, position.tpdu = session, tag, tpdu
        return True

    def finish(self, response: bytes) -> int | None:
        """Take a response; the tag with which it must be sent now. None: there is more to it, report it as usual."""
        position, session = self._position, self._session
        if (
            position.caller is not session
            or position.session is not session
            or position.powered_for is not session
            or session.state is not SessionState.CONNECTED_CLIENT_MAPPED_CARD
            or not position.is_present
            or session.queue
            or session.is_ending
            or not MIN_RESPONSE <= len(response) <= MAX_RESPONSE
        ):
            return None
        position.state = CardState.READY  # CardEvent.DONE
        position.caller = None
        self._counts.tpdus += 1
        return position.tag

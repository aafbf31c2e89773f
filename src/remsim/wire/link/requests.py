# SPDX-License-Identifier: Apache-2.0
"""Requests under way on one link: those of the peer that wait for our answer, and ours that wait for the peer's.

Both ways their number is limited, and whoever reaches the limit loses the link. Knows neither bytes nor time.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from remsim.wire.errors import LocalProtocolError
from remsim.wire.messages.rspro import RESPONSE_TO, Request, Response, TpduCardToModem, TpduModemToCard

#: Requests of one kind of one peer that we have not answered yet. A sound peer has one TPDU, or a bank's mappings, in
#: flight.
MAX_UNANSWERED: Final = 2048
#: Requests of ours that the peer has not answered: a bank's mappings, with all those that were deleted while it was
#: away. A peer that lets more add up will never answer.
MAX_OUTSTANDING: Final = 8192


@dataclass(slots=True)
class Asked:
    """A request of ours, with its tag and when it went out, in the time of the link."""

    tag: int
    request: Request
    sent_at: float


class Requests:
    """The book of one link."""

    def __init__(self) -> None:
        #: Per type of answer, the tags of requests that still want one.
        self.owed: dict[type[Response], deque[int]] = {}
        self._asked: deque[Asked] = deque()

    # The peer's

    def owe(self, kind: type, tag: int) -> bool:
        """A request of class ``kind`` wants its answer from now on. False: too many do, and it is not noted."""
        owed = self.owed.get(RESPONSE_TO[kind])
        if owed is None:
            owed = self.owed[RESPONSE_TO[kind]] = deque()
        if len(owed) >= MAX_UNANSWERED:
            return False
        owed.append(tag)
        return True

    def settle(self, message: Response, reply_to: int | None) -> int:
        """Cross out the request that ``message`` answers; return its tag. Raises LocalProtocolError.

        A classic server dies of an answer too many.
        """
        owed = self.owed.get(type(message))
        if reply_to is None or not owed or reply_to not in owed:
            raise LocalProtocolError(f"{type(message).__name__} answers no open request (tag {reply_to})")
        owed.remove(reply_to)
        return reply_to

    def settle_command(self, tag: int) -> None:
        """``settle`` for a TPDU: cross out the command that is answered now. Raises LocalProtocolError."""
        owed = self.owed.get(TpduCardToModem)
        if not owed or tag not in owed:
            raise LocalProtocolError(f"TpduCardToModem answers no open request (tag {tag})")
        owed.remove(tag)

    def waive(self, tag: int, response: type[Response]) -> None:
        """A request gets no answer after all."""
        owed = self.owed.get(response)
        if owed and tag in owed:
            owed.remove(tag)

    def waive_commands(self) -> None:
        """No command of the peer gets an answer any more."""
        self.owed.pop(TpduCardToModem, None)

    # Ours

    def ask(self, asked: Asked) -> bool:
        """Note a request of ours. False: too many have no answer, and it is not noted."""
        if len(self._asked) >= MAX_OUTSTANDING:
            return False
        self._asked.append(asked)
        return True

    def match(self, kind: type[Request], tag: int, *, is_echoed: bool) -> Asked | None:
        """Cross out the request of this kind that an answer belongs to: by its tag if it is echoed, else the oldest."""
        for index, asked in enumerate(self._asked):
            if type(asked.request) is kind and (not is_echoed or asked.tag == tag):
                del self._asked[index]
                return asked
        return None

    def forget_commands(self) -> None:
        """No command of ours is answered any more."""
        self._asked = deque(asked for asked in self._asked if type(asked.request) is not TpduModemToCard)

    def oldest_command(self) -> float | None:
        """When the oldest command without an answer was sent; None if there is none."""
        return min((one.sent_at for one in self._asked if isinstance(one.request, TpduModemToCard)), default=None)

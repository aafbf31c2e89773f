# SPDX-License-Identifier: Apache-2.0
"""Requests under way on one link: those of the peer that wait for our answer, and ours that wait for the peer's.

In both directions their number is limited, and a peer that reaches the limit loses the link. Knows neither bytes nor
time.
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
    """The requests under way on one link."""

    def __init__(self) -> None:
        #: Per type of answer, the tags of requests that still wait for one.
        self.expected: dict[type[Response], deque[int]] = {}
        self._asked: deque[Asked] = deque()

    # The peer's

    def expect_response(self, kind: type, tag: int) -> bool:
        """A request of class ``kind`` waits for our answer from now on. False: too many do, and it is not noted."""
        tags = self.expected.get(RESPONSE_TO[kind])
        if tags is None:
            tags = self.expected[RESPONSE_TO[kind]] = deque()
        if len(tags) >= MAX_UNANSWERED:
            return False
        tags.append(tag)
        return True

    def complete(self, message: Response, reply_to: int | None) -> int:
        """Cross out the request that ``message`` answers; return its tag. Raises LocalProtocolError.

        A classic server dies of an answer too many.
        """
        tags = self.expected.get(type(message))
        if reply_to is None or not tags or reply_to not in tags:
            raise LocalProtocolError(f"{type(message).__name__} answers no open request (tag {reply_to})")
        tags.remove(reply_to)
        return reply_to

    def complete_command(self, tag: int) -> None:
        """``complete`` for a TPDU: cross out the command that is answered now. Raises LocalProtocolError."""
        tags = self.expected.get(TpduCardToModem)
        if not tags or tag not in tags:
            raise LocalProtocolError(f"TpduCardToModem answers no open request (tag {tag})")
        tags.remove(tag)

    def cancel(self, tag: int, response: type[Response]) -> None:
        """A request gets no answer after all."""
        tags = self.expected.get(response)
        if tags and tag in tags:
            tags.remove(tag)

    def cancel_commands(self) -> None:
        """No command of the peer gets an answer any more."""
        self.expected.pop(TpduCardToModem, None)

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

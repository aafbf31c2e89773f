# SPDX-License-Identifier: Apache-2.0
"""Two programs with one certificate: each takes over from the other, for ever, and a modem loses its card each time.

A program whose link broke comes back before the old link is known to be dead. Its certificate proves that it is the
same, so it takes over at once. But a certificate that was copied to a second host proves the same of two programs. They
are told apart by what they do: after ``MOST`` take-overs in a minute between the same addresses the next one is not
granted unseen. Then the holder is asked (PING): a program that came back has left a dead link behind, and takes over
all the same; where both are alive, the one that is connected, which was there first, stays.

Used wherever a newcomer can take over, with the same words (``contest_texts``). Pure: time is an argument.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

#: Take-overs between the same two addresses that are granted unseen within ``WINDOW_S``; the third one is too many.
MOST: Final = 2
WINDOW_S: Final = 60.0
#: An identity is contested until its second program has not come back for this long. Programs try again after a minute
#: at most.
QUIET_S: Final = 300.0
#: Identities that are remembered; beyond it the one that was heard of longest ago is forgotten.
MAX_IDENTITIES: Final = 4096


#: What an operator can do about it.
CONTEST_HINT: Final = "stop one of the two programs, or enrol it anew under a number of its own"


def contest_texts(identity: str, holder: str, newcomer: str) -> tuple[str, str]:
    """What the holder and the newcomer hear of it, who may be at different places."""
    return (
        f"a second program, at {newcomer}, uses the certificate of {identity}, too; it is refused. {CONTEST_HINT}",
        f"another program, at {holder}, uses the certificate of {identity} and was here first. {CONTEST_HINT}",
    )


@dataclass(slots=True)
class _Contest:
    """What happened to one identity."""

    between: frozenset[str]
    times: list[float] = field(default_factory=list)
    is_open: bool = False
    #: The refusal was put into words.
    is_told: bool = False
    last: float = 0.0


class TakeOvers:
    """All identities of one kind. Addresses are those of hosts, without ports. ``now`` never goes backwards."""

    def __init__(self) -> None:
        self._contests: OrderedDict[Hashable, _Contest] = OrderedDict()
        #: Newcomers that were refused because the holder is alive, since the start.
        self.refused = 0

    def may(self, identity: Hashable, holder: str, newcomer: str, now: float) -> bool:
        """Whether the newcomer may take over unseen; else ask whether the holder is alive."""
        between = frozenset((holder, newcomer))
        contest = self._contests.pop(identity, None)
        if contest is None or now - contest.last > QUIET_S or (not contest.is_open and contest.between != between):
            contest = _Contest(between)
        self._contests[identity] = contest
        if len(self._contests) > MAX_IDENTITIES:
            self._contests.popitem(last=False)
        contest.last = now
        contest.times = [time for time in contest.times if now - time < WINDOW_S]
        if contest.is_open or len(contest.times) >= MOST:
            contest.is_open = True
            return False
        contest.times.append(now)
        return True

    def refuse(self, identity: Hashable, now: float) -> bool:
        """The holder is alive, and the newcomer is refused; whether this is to be said, which it is once a contest."""
        self.refused += 1
        contest = self._contests.get(identity)
        if contest is None or contest.is_told:
            return False
        contest.last = now
        contest.is_told = True
        return True

    def contested(self, now: float) -> int:
        """How many identities two programs are contending for at this time."""
        return sum(contest.is_told and now - contest.last <= QUIET_S for contest in self._contests.values())

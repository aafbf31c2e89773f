# SPDX-License-Identifier: Apache-2.0
"""Who holds an identity, who challenges the holder, and who wins. One rule for servers and bankds, without I/O.

An identity is what only one connection may be at a time: a client slot, a bank, the active server of a bank. The rule:

1. An identity that nobody holds goes to the first claimant.
2. A claimant with a certificate takes over at once from a holder without one, and from a holder with the same
   certificate: that is the same program, back before its old link is known to be dead. The caller closes the holder.
3. Any other claimant waits, and the holder is asked whether it is alive (PING). So is one that comes with the same
   certificate once the identity is *contested* (``TakeOvers``). A holder that is being closed is not asked.
4. A holder that answers stays, and all who wait are refused.
5. When the holder is lost, its caller decides by the call that it makes what becomes of those who wait:

   - ``on_lost`` (servers): the newest becomes the holder, because it is the least likely to be a dead link itself. The
     others are refused; those that are alive come back and challenge the new holder.
   - ``release`` (bankds): the identity is free, and all who waited claim it again: first the one that takes over, then
     the oldest. A classic client that is refused waits for long before it comes back, so nobody is refused by guess.
6. ``MAX_CHALLENGERS`` may wait for one identity. More are refused at once; rule 2 goes before this one.

A connection that was let in before anybody held the identity, and wants it only later, does not wait for it at all
(``claim_if_free``): it holds it, or is refused. What is refused for other reasons (a wrong certificate) is the caller's
business: it does not claim, and withdraws what waits before it reports the loss of the holder.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import field
from enum import Enum
from typing import Final, Generic, TypeVar

from remsim.core.identity import Proof
from remsim.core.values import dataclass

#: Connections that may wait to hear whether the holder of their identity is alive. One program has one or two links at
#: a time; more are one program that connects again and again.
MAX_CHALLENGERS: Final = 16

#: Take-overs between the same two addresses that are granted unseen within ``WINDOW_S``; the third one is too many.
MOST: Final = 2
WINDOW_S: Final = 60.0
#: An identity is contested until its second program has not come back for this long. Programs try again after a minute
#: at most.
QUIET_S: Final = 300.0
#: Identities that are remembered; beyond it the one that was heard of longest ago is forgotten.
MAX_IDENTITIES: Final = 4096


#: What an operator can do about it.
CONTEST_HINT: Final = "stop one of the two programs, or enrol it anew with an id of its own"


def contest_texts(identity: str, holder: str, newcomer: str) -> tuple[str, str]:
    """What the holder and the newcomer are told, who may be at different places."""
    return (
        f"a second program, at {newcomer}, uses the certificate of {identity}, too; it is refused. {CONTEST_HINT}",
        f"another program, at {holder}, uses the certificate of {identity} and was here first. {CONTEST_HINT}",
    )


@dataclass(slots=True)
class _Contest:
    """What happened to one identity."""

    between: frozenset[Hashable]
    times: list[float] = field(default_factory=list)
    is_open: bool = False
    #: The refusal was put into words.
    is_told: bool = False
    last: float = 0.0


class TakeOvers:
    """Tells a program that comes back from two programs with one certificate, by how often they take over.

    A certificate that was copied to a second host would let two programs take over from each other for ever, and a
    modem would lose its card each time. After ``MOST`` take-overs in a minute between the same addresses the next one
    is not granted unseen. Then the holder is asked: a program that came back has left a dead link behind, and takes
    over all the same; where both are alive, the one that was there first stays.

    Addresses are those of hosts, without ports. ``now`` never goes backwards.
    """

    def __init__(self) -> None:
        self._contests: OrderedDict[Hashable, _Contest] = OrderedDict()
        #: Newcomers that were refused because the holder is alive, since the start.
        self.refused = 0

    def may(self, identity: Hashable, holder: Hashable, newcomer: Hashable, now: float) -> bool:
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


class ClaimVerdict(Enum):
    """What becomes of a claim."""

    HOLDS = "it holds the identity now"
    TAKES_OVER = "it waits; close the holder, whose loss makes it the holder"
    PROBE = "it waits; ask the holder whether it is alive"
    WAITS = "it waits; the holder is being asked, or closed"
    TOO_MANY = "it is refused: too many wait already"


class ClaimRefusal(Enum):
    """Why one that waited is refused."""

    IN_USE = "another program is this identity"
    CONTESTED = "another program with the same certificate is alive; tell both, and the operator"
    STILL_CONTESTED = "the same, and it was told before"


K = TypeVar("K", bound=Hashable)
H = TypeVar("H", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Refused(Generic[H]):
    """One that waited, and is refused now."""

    who: H
    reason: ClaimRefusal


@dataclass(frozen=True, slots=True)
class Succession(Generic[H]):
    """Who holds the identity after the loss of its holder, and who is refused, the oldest first."""

    winner: H
    refused: tuple[Refused[H], ...]


@dataclass(slots=True)
class _Claimant:
    """What decides about one connection: its certificate, and the host that it comes from."""

    proof: Proof | None
    host: Hashable

    def is_same_as(self, other: "_Claimant") -> bool:
        """Whether both show the same certificate."""
        return self.proof is not None and self.proof == other.proof


@dataclass(slots=True)
class _Held(Generic[K, H]):
    """One identity that somebody holds."""

    identity: K
    holder: H
    claimant: _Claimant
    #: The oldest first.
    challengers: dict[H, _Claimant] = field(default_factory=dict)
    #: Its holder is being closed for a challenger that takes over: this one.
    is_closing: bool = False
    successor: H | None = None


class IdentityClaims(Generic[K, H]):
    """All identities of one kind. ``H`` is what holds one: a peer or a session.

    Each holds or claims one identity at a time. ``now`` never goes backwards.
    """

    def __init__(self) -> None:
        self._held: dict[K, _Held[K, H]] = {}
        # Where each holder and each challenger is.
        self._place: dict[H, _Held[K, H]] = {}
        self._takeovers = TakeOvers()

    @property
    def contest_refusals(self) -> int:
        """How many were refused, since the start, because another program with their certificate is alive."""
        return self._takeovers.refused

    def holder(self, identity: K) -> H | None:
        """Who holds this identity."""
        held = self._held.get(identity)
        return None if held is None else held.holder

    def challengers(self, holder: H) -> tuple[H, ...]:
        """Who waits for the identity that ``holder`` has, the oldest first; nobody if it holds none."""
        held = self._place.get(holder)
        return () if held is None or held.holder != holder else tuple(held.challengers)

    def is_waiting(self, who: H) -> bool:
        """Whether it has claimed an identity that another holds."""
        held = self._place.get(who)
        return held is not None and held.holder != who

    def claim(self, identity: K, who: H, proof: Proof | None, host: Hashable, now: float) -> ClaimVerdict:
        """``who``, which neither holds nor claims anything yet, wants ``identity``. ``host`` is its address."""
        if who in self._place:
            raise ValueError(f"{who!r} has claimed an identity already")
        claimant = _Claimant(proof, host)
        held = self._held.get(identity)
        if held is None:
            self._held[identity] = self._place[who] = _Held(identity, who, claimant)
            return ClaimVerdict.HOLDS
        takes_over = not held.is_closing and self._may_take_over(held, claimant, now)
        if not takes_over and len(held.challengers) >= MAX_CHALLENGERS:
            return ClaimVerdict.TOO_MANY
        held.challengers[who] = claimant
        self._place[who] = held
        if takes_over:
            held.is_closing, held.successor = True, who
            return ClaimVerdict.TAKES_OVER
        return ClaimVerdict.PROBE if len(held.challengers) == 1 and not held.is_closing else ClaimVerdict.WAITS

    def _may_take_over(self, held: _Held[K, H], claimant: _Claimant, now: float) -> bool:
        """Rule 2: whether this claimant need not wait for the holder's answer."""
        if claimant.proof is None or held.claimant.proof is None:
            return claimant.proof is not None
        is_same = claimant.is_same_as(held.claimant)
        return is_same and self._takeovers.may(_contest_of(held), held.claimant.host, claimant.host, now)

    def claim_if_free(self, identity: K, who: H, proof: Proof | None, host: Hashable, now: float) -> Refused[H] | None:
        """``who`` wants ``identity``, and does not wait for it, or not any longer. None: it holds it now."""
        if self.is_waiting(who):
            self.withdraw(who)
        held = self._held.get(identity)
        if held is not None:
            return self._refuse(held, who, _Claimant(proof, host), now)
        self.claim(identity, who, proof, host, now)
        return None

    def on_alive(self, holder: H, now: float) -> list[Refused[H]]:
        """The holder has answered: who waited is refused, the oldest first. Nobody is, if it is being closed."""
        held = self._place.get(holder)
        if held is None or held.holder != holder or held.is_closing:
            return []
        return self._refuse_all(held, now)

    def on_lost(self, who: H, now: float) -> Succession[H] | None:
        """A connection is gone. If it held an identity for which others wait: who holds it now."""
        held = self._place.pop(who, None)
        if held is None:
            return None
        if held.holder != who:
            del held.challengers[who]
            return None
        if not held.challengers:
            del self._held[held.identity]
            return None
        held.holder, held.claimant = held.challengers.popitem()
        held.is_closing, held.successor = False, None
        return Succession(held.holder, tuple(self._refuse_all(held, now)))

    def release(self, who: H) -> tuple[H, ...]:
        """A connection is gone. If it held an identity: who waited for that, in the order in which they claim it again.

        The identity is free then, and none of them claims anything.
        """
        held = self._place.pop(who, None)
        if held is None:
            return ()
        if held.holder != who:
            del held.challengers[who]
            return ()
        del self._held[held.identity]
        for challenger in held.challengers:
            del self._place[challenger]
        return tuple(sorted(held.challengers, key=lambda challenger: challenger != held.successor))

    def hand_over(self, holder: H, who: H, proof: Proof | None, host: Hashable) -> bool:
        """``who`` has proven to be what ``holder`` was, whose link is surely dead: it takes its place at once.

        Returns whether others wait, who are to know whether the new holder is alive.
        """
        held = self._place.pop(holder)
        held.holder, held.claimant = who, _Claimant(proof, host)
        held.is_closing, held.successor = False, None
        self._place[who] = held
        return bool(held.challengers)

    def withdraw(self, who: H) -> None:
        """The claim of one that waits is void."""
        del self._place.pop(who).challengers[who]

    def _refuse_all(self, held: _Held[K, H], now: float) -> list[Refused[H]]:
        refused = [self._refuse(held, who, claimant, now) for who, claimant in held.challengers.items()]
        for who in held.challengers:
            del self._place[who]
        held.challengers.clear()
        return refused

    def _refuse(self, held: _Held[K, H], who: H, claimant: _Claimant, now: float) -> Refused[H]:
        if not claimant.is_same_as(held.claimant):
            return Refused(who, ClaimRefusal.IN_USE)
        is_first = self._takeovers.refuse(_contest_of(held), now)
        return Refused(who, ClaimRefusal.CONTESTED if is_first else ClaimRefusal.STILL_CONTESTED)


def _contest_of(held: _Held[K, H]) -> Hashable:
    """What two programs with the certificate of the holder may contend for: each certificate is judged by itself."""
    return held.identity, held.claimant.proof

# SPDX-License-Identifier: Apache-2.0
"""When to dial, and when to dial again: the dialling side of a link without I/O, and its state table.

A pair of state and event that is not listed is illegal. Attempts never end: the first one after a lost link comes at
once, later ones after growing delays with a random part. A connection that is refused is an answer, so it does not wait
for the connect deadline (known-limits.md, 64).
"""

from collections.abc import Callable
from typing import Final

from remsim.core.state_machine import Event, State, Stateful, Transitions
from remsim.core.values import dataclass


class DialState(State):
    """A link that we dial: client to server, client to bankd, bankd to server."""

    DISCONNECTED = "DISCONNECTED"  # not wanted
    CONNECTING = "CONNECTING"  # TCP connect running
    ESTABLISHED = "ESTABLISHED"  # TCP is up, waiting for the connect response
    CONNECTED = "CONNECTED"  # in service
    BACKOFF = "BACKOFF"  # waiting before the next attempt


class DialEvent(Event):
    """What moves a dialled link."""

    WANTED = "wanted"  # a target is set
    UNWANTED = "unwanted"  # the target is withdrawn
    TCP_UP = "TCP up"
    FAILED = "failed"  # refused, timed out, unreachable, reset, closed, or not accepted
    ACCEPTED = "accepted"  # connect response ok
    TIMER = "delay over"


DIAL_TRANSITIONS: Final = Transitions(
    "dialled link",
    {
        (DialState.DISCONNECTED, DialEvent.WANTED): DialState.CONNECTING,
        (DialState.DISCONNECTED, DialEvent.UNWANTED): DialState.DISCONNECTED,
        (DialState.CONNECTING, DialEvent.WANTED): DialState.CONNECTING,
        (DialState.CONNECTING, DialEvent.UNWANTED): DialState.DISCONNECTED,
        (DialState.CONNECTING, DialEvent.TCP_UP): DialState.ESTABLISHED,
        (DialState.CONNECTING, DialEvent.FAILED): DialState.BACKOFF,
        (DialState.ESTABLISHED, DialEvent.WANTED): DialState.CONNECTING,
        (DialState.ESTABLISHED, DialEvent.UNWANTED): DialState.DISCONNECTED,
        (DialState.ESTABLISHED, DialEvent.ACCEPTED): DialState.CONNECTED,
        (DialState.ESTABLISHED, DialEvent.FAILED): DialState.BACKOFF,
        (DialState.CONNECTED, DialEvent.WANTED): DialState.CONNECTING,
        (DialState.CONNECTED, DialEvent.UNWANTED): DialState.DISCONNECTED,
        (DialState.CONNECTED, DialEvent.FAILED): DialState.BACKOFF,
        (DialState.BACKOFF, DialEvent.WANTED): DialState.CONNECTING,
        (DialState.BACKOFF, DialEvent.UNWANTED): DialState.DISCONNECTED,
        (DialState.BACKOFF, DialEvent.TIMER): DialState.CONNECTING,
    },
)

#: Names that event scripts of the classic client know.
CLASSIC_DIAL_STATE: Final[dict[DialState, str]] = {
    DialState.DISCONNECTED: "INIT",
    DialState.CONNECTING: "REESTABLISH",
    DialState.ESTABLISHED: "ESTABLISHED",
    DialState.CONNECTED: "CONNECTED",
    DialState.BACKOFF: "REESTABLISH_DELAY",
}


#: TCP and name resolution must be done within this time.
TCP_TIMEOUT_S: Final = 10.0
#: A link that was in service for this long starts again at the shortest delay.
_STABLE_AFTER_S: Final = 32.0
#: As ``_STABLE_AFTER_S`` where a card session waits for the next link, unless the last one has brought it an answer. A
#: peer that hangs up on us each time must not be dialled in a tight loop.
_USEFUL_AFTER_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay before attempt n (from 0): ``first_s`` doubled each time up to ``most_s``, from half to whole of it."""

    first_s: float = 0.25
    most_s: float = 16.0

    def delay_s(self, failures: int, random: float) -> float:
        """Seconds to wait after ``failures`` attempts in a row; ``random`` is in 0..1."""
        if failures <= 1:
            return 0.0
        whole = min(self.most_s, self.first_s * 2.0 ** min(failures - 2, 20))
        return whole * (0.5 + 0.5 * random)


@dataclass(frozen=True, slots=True)
class Dial:
    """Start a TCP connection to ``host``, ``port``; whatever was running before is obsolete."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class HangUp:
    """Abandon the connection or the attempt."""

    reason: str


DialAction = Dial | HangUp


class DialSchedule(Stateful[DialState, DialEvent]):
    """Drives one dialled link through ``DIAL_TRANSITIONS``. ``random`` gives numbers in 0..1 for the jitter."""

    TRANSITIONS = DIAL_TRANSITIONS

    def __init__(self, *, random: Callable[[], float], backoff: Backoff | None = None) -> None:
        super().__init__(DialState.DISCONNECTED)
        self.target: tuple[str, int] | None = None
        #: Attempts in a row that did not come into service; the delay grows with it.
        self.failures = 0
        self._random = random
        self._backoff = backoff or Backoff()
        self._deadline: float | None = None
        self._in_service_since: float | None = None

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        return self._deadline

    def want(self, host: str, port: int, now: float) -> list[DialAction]:
        """Dial this target from now on; a link or attempt to another one is dropped."""
        actions: list[DialAction] = [] if self._is_idle() else [HangUp("another target")]
        self.target = (host, port)
        self.failures = 0
        return actions + self._move(DialEvent.WANTED, now)

    def unwant(self, now: float) -> list[DialAction]:
        """Stop dialling and hang up."""
        actions: list[DialAction] = [] if self._is_idle() else [HangUp("not wanted any more")]
        self.target = None
        return actions + self._move(DialEvent.UNWANTED, now)

    def on_tcp_up(self, now: float) -> list[DialAction]:
        """TCP is connected."""
        return self._move(DialEvent.TCP_UP, now)

    def on_accepted(self, now: float) -> list[DialAction]:
        """The peer accepted us."""
        self._in_service_since = now
        return self._move(DialEvent.ACCEPTED, now)

    def on_use(self, now: float, *, has_answered: bool = False) -> None:
        """The link in service has carried a session, though not for long: the attempt after its loss comes at once.

        ``has_answered``: the peer has answered the session over it, so each attempt gets the session further. Without
        that, links that do not live for ``_USEFUL_AFTER_S`` are dialled with growing delays.
        """
        since = self._in_service_since
        if since is not None and (has_answered or now - since >= _USEFUL_AFTER_S):
            self.failures = 0

    def on_failed(self, now: float) -> list[DialAction]:
        """The attempt failed or the link is lost."""
        if self._in_service_since is not None and now - self._in_service_since >= _STABLE_AFTER_S:
            self.failures = 0
        self._in_service_since = None
        self.failures += 1
        return self._move(DialEvent.FAILED, now)

    def handle_timer(self, now: float) -> list[DialAction]:
        """Do what is due: give up a TCP attempt, or dial again."""
        if self._deadline is None or now < self._deadline:
            return []
        if self.state is DialState.CONNECTING:
            return [HangUp(f"no TCP connection within {TCP_TIMEOUT_S:g} s"), *self.on_failed(now)]
        return self._move(DialEvent.TIMER, now)

    def _is_idle(self) -> bool:
        return self.state in (DialState.DISCONNECTED, DialState.BACKOFF)

    def _move(self, event: DialEvent, now: float) -> list[DialAction]:
        following = self.step(event)
        self._deadline = None
        if following is DialState.CONNECTING and self.target is not None:
            self._deadline = now + TCP_TIMEOUT_S
            return [Dial(*self.target)]
        if following is DialState.BACKOFF:
            self._deadline = now + self._backoff.delay_s(self.failures, self._random())
        return []

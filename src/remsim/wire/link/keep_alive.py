# SPDX-License-Identifier: Apache-2.0
"""Whether the peer of a link lives: when to send PING, and when a PONG is overdue. Knows neither bytes nor messages."""

from remsim.core.values import dataclass


@dataclass(frozen=True, slots=True)
class KeepAliveTimes:
    """PING ``first_after_s`` after the start, then ``interval_s`` after each PONG; dead ``timeout_s`` after a PING."""

    interval_s: float = 30.0
    timeout_s: float = 10.0
    first_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SendPing:
    """A PING is due."""


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """The peer did not answer in time."""

    reason: str


class LivenessMonitor:
    """Watches the peer of one link. A probe is a PING out of turn, with a time limit of its own."""

    __slots__ = ("_ping_at", "_pinged_at", "_probe_by", "_round_trip_s", "_times", "pong_by")

    def __init__(self, times: KeepAliveTimes, now: float) -> None:
        self._times = times
        self._ping_at: float | None = now + times.first_after_s
        self._probe_by: float | None = None
        #: When a PONG must be here; None if none is awaited.
        self.pong_by: float | None = None
        self._pinged_at = now
        self._round_trip_s: float | None = None

    @property
    def dead_after_s(self) -> float:
        """A dead peer is noticed within this time."""
        return self._times.interval_s + self._times.timeout_s

    def change(self, times: KeepAliveTimes, now: float) -> None:
        """Other times hold from now on; a PING or PONG that would be due later than by them is due earlier."""
        self._times = times
        if self._ping_at is not None:
            self._ping_at = min(self._ping_at, now + times.interval_s)
        if self.pong_by is not None:
            self.pong_by = min(self.pong_by, now + times.timeout_s)

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        return min((at for at in (self._ping_at, self.pong_by, self._probe_by) if at is not None), default=None)

    def probe(self, now: float, timeout_s: float) -> None:
        """A PING goes out now, and its PONG is due after ``timeout_s``."""
        # Another probe must not prolong one that runs: each newcomer with the same identity starts one.
        self._probe_by = now + timeout_s if self._probe_by is None else min(self._probe_by, now + timeout_s)

    def on_command_answered(self, now: float) -> None:
        """The card is done, so the PONG that it held up is due as usual."""
        if self.pong_by is not None:
            self.pong_by = min(self.pong_by, now + self._times.timeout_s)

    def on_pong(self, now: float) -> bool:
        """A PONG has come. Returns whether it answers a probe."""
        was_probe, self._probe_by = self._probe_by is not None, None
        if self.pong_by is not None:
            self.pong_by = None
            self._ping_at = now + self._times.interval_s
            if not was_probe:
                # Beside a probe it is not known which of both PINGs was answered.
                self._round_trip_s = max(0.0, now - self._pinged_at)
        return was_probe

    def take_round_trip(self) -> float | None:
        """How long the last PONG took, if one has come since this was asked."""
        taken, self._round_trip_s = self._round_trip_s, None
        return taken

    def handle_timer(self, now: float, *, busy_until: float | None = None) -> SendPing | PeerSilent | None:
        """What is due at ``now``. A PONG may be missing as long as the peer is known to be busy."""
        if self._probe_by is not None and now >= self._probe_by:
            return PeerSilent("the peer did not answer a probe")
        if self.pong_by is not None and now >= self.pong_by:
            if busy_until is not None and now < busy_until:
                self.pong_by = busy_until
                return None
            return PeerSilent(f"no PONG within {self._times.timeout_s:g} s")
        if self._ping_at is not None and now >= self._ping_at:
            self._ping_at = None
            self._pinged_at = now
            self.pong_by = now + self._times.timeout_s
            return SendPing()
        return None

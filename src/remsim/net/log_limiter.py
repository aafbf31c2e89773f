# SPDX-License-Identifier: Apache-2.0
"""How many lines of the log peers may cause: a flood of them must not fill the disk. All are counted elsewhere.

Most events follow from what a peer does, and nobody but the network decides how often that is. So each event has a
budget, and those about peers that are not accepted, or that send what they should not, have a small one. What is beyond
it is told at debug level only, and that it is so once.

And what one peer causes again and again, because it is refused or gets no card and never stops trying, is told a few
times, then once that it recurs, and once when that has ended (``core.episode``).
"""

from collections.abc import Callable, Hashable, Mapping, Set
from typing import Final

from remsim.config import LogLevel
from remsim.core.episode import LineVerdict, RecurringEvents, Row
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.rate_limit import FloodLimit
from remsim.logs import Logger
from remsim.net.runtime.tasks import Alarm

#: Fields that say what a line is about: the first one that is there; without any of them, the peer's host.
_SUBJECTS: Final = ("client_slot", "claims", "bank", "bank_slot")

#: Of each event about unauthenticated peers: a dozen of programs that are set up wrongly are seen, again and again.
UNAUTHENTICATED_LINES: Final = 200
UNAUTHENTICATED_INTERVAL_S: Final = 10.0
#: Of each other event: ten thousand clients may return after a power cut.
EVENT_LINES: Final = 20_000
EVENT_INTERVAL_S: Final = 1.0

#: What net itself says of connections that never became a link.
TLS_REFUSED: Final = "tls_refused"
PLAINTEXT_REFUSED: Final = "plaintext_refused"
#: And of those that became one without TLS, but whose peer never said in RSPRO who it is.
PEER_UNIDENTIFIED: Final = "peer_unidentified"

_BEGINS: Final = "lines_recur"
_ENDED: Final = "lines_recurred"
_TEXT: Final = "more of these lines are counted and said at debug level, until they have stopped for a while"
#: An IPv6 network gives a peer more sources than can be remembered, so that all of these may come from one.
_UNAUTHENTICATED: Final = frozenset({_BEGINS, _ENDED, TLS_REFUSED, PLAINTEXT_REFUSED, PEER_UNIDENTIFIED})


class LogRateLimiter:
    """The budgets of one program: all that it logs about peers goes through it.

    ``now`` gives seconds of a clock that does not go back.
    """

    def __init__(
        self,
        log: Logger,
        limits: LimitCounts,
        *,
        now: Callable[[], float],
        unauthenticated: Set[str] = frozenset(),
    ) -> None:
        """``unauthenticated`` are the names of the program's events about unauthenticated peers."""
        self._log = log
        self._limits = limits
        self._unauthenticated = _UNAUTHENTICATED | unauthenticated
        self._now = now
        self._small = FloodLimit(burst=UNAUTHENTICATED_LINES, interval_s=UNAUTHENTICATED_INTERVAL_S)
        self._large = FloodLimit(burst=EVENT_LINES, interval_s=EVENT_INTERVAL_S)
        self._recurring = RecurringEvents()
        self._alarm = Alarm(self._on_alarm)

    def close(self) -> None:
        """Nothing will be said any more."""
        self._alarm.cancel()

    def write(
        self, event: str, level: LogLevel, fields: Mapping[str, object], *, about: Mapping[str, object] | None = None
    ) -> None:
        """Log a line at the level that it may have. ``about`` says of whom it is where the fields do not."""
        write = getattr(self._log, self.level(event, level, fields if about is None else about))
        write(event, **fields)

    def level(self, event: str, wanted: LogLevel, fields: Mapping[str, object] | None = None) -> LogLevel:
        """The level at which to log an event: as wanted, or debug when there were too many of it.

        With ``fields``, a line that one peer causes again and again is held back, too. Needs a running loop then.
        """
        if wanted == "debug":
            return wanted
        subject = None if fields is None or wanted == "error" else subject_of(fields)
        if subject is not None:
            verdict = self._recurring.on_event(subject, event, self._now())
            self._alarm.set(self._recurring.next_deadline())
            if verdict is not LineVerdict.PASS:
                self._limits.reached(LimitName.RECURRING_LINES)
                if verdict is LineVerdict.FIRST_HELD_BACK and self._budgeted(_BEGINS, "info") == "info":
                    self._log.info(_BEGINS, about=_text(subject), event_name=event, text=_TEXT)
                return "debug"
        return self._budgeted(event, wanted)

    def _on_alarm(self) -> None:
        for row in self._recurring.ended(self._now()):
            if self._budgeted(_ENDED, "info") == "info":
                self._log.info(_ENDED, about=_text(row.subject), **_summary(row))
        self._alarm.set(self._recurring.next_deadline())

    def _budgeted(self, event: str, wanted: LogLevel) -> LogLevel:
        limit = self._small if event in self._unauthenticated else self._large
        verdict = limit.check(event, self._now())
        if verdict is LineVerdict.PASS:
            return wanted
        self._limits.reached(LimitName.LOG_LINES)
        if verdict is LineVerdict.FIRST_HELD_BACK:
            self._log.warning("limit_reached", limit=LimitName.LOG_LINES.value, about=event)
        return "debug"


def subject_of(fields: Mapping[str, object]) -> Hashable | None:
    """What a line with these fields is about; None if that cannot be said."""
    for key in _SUBJECTS:
        if fields.get(key) is not None:
            return (key, str(fields[key]))
    peer = str(fields.get("peer") or "")
    host, _, port = peer.rpartition(":")
    return ("peer", host if port.isdecimal() and host else peer) if peer else None


def _text(subject: Hashable) -> str:
    return " ".join(subject) if isinstance(subject, tuple) else str(subject)


def _summary(row: Row) -> dict[str, object]:
    counts = ", ".join(f"{event} {count}" for event, count in row.events.items())
    return {"events": counts, "held_back": row.held_back, "for_s": round(row.last - row.began)}

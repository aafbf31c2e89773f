# SPDX-License-Identifier: Apache-2.0
"""What time an authority signs with: that of the system's clock, as long as it does not jump.

A clock that is 70 days ahead for ten seconds must not leave a revocation list and certificates that are not valid for
70 days. So time that passes is compared with a clock that nobody sets, and the last time that was good is kept in a
file for the next process. After a jump, everything is dated on the old line until the clock has stayed on its new one
for an hour; then it was the old one that was wrong. A clock that is behind the last good time counts as wrong, too.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from remsim.core.values import dataclass
from remsim.pki import files
from remsim.pki.errors import PkiError
from remsim.pki.facts import CertificateFacts, RevocationFacts

#: Clocks of hosts differ by less than this, and one that is set in the course of things moves by less.
TOLERANCE_S: Final = 300.0
#: So long must a clock go on after a jump before it is believed.
SETTLE_S: Final = 3600.0
#: A host may have been off for so long. What looks like more must prove itself.
MAX_GAP_S: Final = 14 * 86400.0
#: The good time is written down so often.
_KEPT_EVERY_S: Final = 600.0
#: An authority that ends within this time is warned about: every host must hear of a new certificate before.
ENDING_S: Final = 180 * 86400.0


@dataclass(frozen=True, slots=True)
class Dates:
    """``begins``: from when on what is signed is valid, in no case later than now. ``now``: what lifetimes count from.

    Both are seconds since 1970. ``is_doubtful``: the system's clock says something else.
    """

    begins: float
    now: float
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept between processes: the last good time, and a time in doubt that was seen first, if there was one."""

    good: float
    seen: float | None = None


class SteadyTime:
    """Judges readings of the system's clock. Without I/O: each comes with that of a clock that nobody sets."""

    def __init__(self, record: Record | None = None) -> None:
        """``record`` is that of the process before; None: there was none."""
        self._record = record
        # The last reading on the line of good time: wall, steady.
        self._good: tuple[float, float] | None = None
        # The first one on another line.
        self._doubted: tuple[float, float] | None = None
        # Nothing ran since the last good time, so a part of a jump ahead may be real.
        self._was_off = record is not None

    @property
    def record(self) -> Record | None:
        """What the next process is to know."""
        if self._good is None:
            return self._record
        return Record(self._good[0], None if self._doubted is None else self._doubted[0])

    def read(self, wall: float, steady: float) -> Dates:
        """What to date things with when the clocks say this."""
        if self._good is None:
            self._good = self._first(wall), steady
        expected = self._good[0] + steady - self._good[1]
        if abs(wall - expected) <= TOLERANCE_S or self._has_settled(wall, steady):
            self._good, self._doubted, self._was_off = (wall, steady), None, False
            return Dates(wall, wall)
        is_ahead = wall > expected
        return Dates(expected, wall if is_ahead and self._was_off else expected, is_doubtful=True)

    def _first(self, wall: float) -> float:
        record = self._record
        if record is None or 0 <= wall - record.good <= MAX_GAP_S:
            return wall
        if record.seen is not None and wall - record.seen >= SETTLE_S:
            # An earlier process saw this line already, and the clock did not go back since.
            return wall if wall - record.seen <= MAX_GAP_S else max(record.good, record.seen)
        return record.good

    def _has_settled(self, wall: float, steady: float) -> bool:
        if self._doubted is None or abs(wall - self._doubted[0] - (steady - self._doubted[1])) > TOLERANCE_S:
            self._doubted = wall, steady
        return steady - self._doubted[1] >= SETTLE_S


def boot_time() -> float:
    """Seconds of a clock that nobody sets; it goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SigningClock:
    """Reads clocks for one authority, and keeps the last good time in ``path``. May be used by several threads."""

    def __init__(self, path: Path, steady: Callable[[], float] = boot_time) -> None:
        self._path = path
        self._steady = steady
        self._written = read_record(path)
        self._time = SteadyTime(self._written)
        self._turn = threading.Lock()

    def read(self, wall: float) -> Dates:
        """What to date things with when the system's clock says ``wall``."""
        with self._turn:
            dates = self._time.read(wall, self._steady())
            self._keep(self._time.record)
        return dates

    def _keep(self, record: Record | None) -> None:
        old = self._written
        if record is None or (
            old is not None
            and abs(record.good - old.good) < _KEPT_EVERY_S
            and (record.seen is None) == (old.seen is None)
        ):
            return
        # Without the file, the next process knows less; no reason to sign nothing now.
        with contextlib.suppress(PkiError):
            files.write_private(self._path, json.dumps({"good": record.good, "seen": record.seen}).encode() + b"\n")
            self._written = record


def read_record(path: Path) -> Record | None:
    """What an earlier process kept; None if there is nothing that can be used."""
    try:
        value: object = json.loads(files.read_private(path))
    except (PkiError, ValueError, RecursionError):
        return None
    good, seen = (value.get("good"), value.get("seen")) if isinstance(value, dict) else (None, None)
    if not isinstance(good, float):
        return None
    return Record(good, seen if isinstance(seen, float) else None)


def is_from_future(date: datetime, now: float) -> bool:
    """Whether something was dated later than any clock of ours may be ahead."""
    return date.timestamp() > now + TOLERANCE_S


@dataclass(frozen=True, slots=True)
class ClockFinding:
    """Something about dates that keeps links from coming up, or soon will; for people."""

    text: str
    hint: str


def check_dates(
    now: float,
    *,
    record: Record | None = None,
    revocations: RevocationFacts | None = None,
    certificate: CertificateFacts | None = None,
    authority: CertificateFacts | None = None,
) -> list[ClockFinding]:
    """What is wrong with the clock, or with the dates of what a host or an authority keeps. ``now`` is its clock."""
    found: list[ClockFinding] = []
    set_clock = "set the clock of this host (timedatectl); the server signs a new one within a minute"
    if record is not None and now < record.good - TOLERANCE_S:
        text = f"the clock says {_day(now)}, but {_day(record.good)} has been already"
        found.append(ClockFinding(text, "set the clock of this host, or wait an hour if it is right"))
    if revocations is not None and is_from_future(revocations.issued_at, now):
        text = f"the revocation list is of {_date(revocations.issued_at)}, which is to come: a clock is wrong, or was"
        found.append(ClockFinding(text, set_clock))
    if certificate is not None and is_from_future(certificate.not_before, now):
        text = f"the certificate of {certificate.identity} is not valid before {_date(certificate.not_before)}"
        found.append(
            ClockFinding(text, "set the clock of this host; if it is right, the certificate is renewed by itself")
        )
    if certificate is not None and certificate.not_after.timestamp() <= now:
        text = f"the certificate of {certificate.identity} expired on {_date(certificate.not_after)}"
        found.append(ClockFinding(text, "is the clock right, and does the program run that renews it?"))
    if authority is not None:
        found += _check_authority(authority, now)
    return found


def _check_authority(authority: CertificateFacts, now: float) -> list[ClockFinding]:
    if is_from_future(authority.not_before, now):
        return [ClockFinding(f"the authority begins on {_date(authority.not_before)}", "set the clock of this host")]
    left_s = authority.not_after.timestamp() - now
    if left_s > ENDING_S:
        return []
    text = f"the authority {'ends' if left_s > 0 else 'ended'} on {_date(authority.not_after)}"
    return [ClockFinding(text, "give it a new certificate on the server: remsim pki extend")]


def _date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _day(seconds: float) -> str:
    return _date(datetime.fromtimestamp(seconds, UTC))

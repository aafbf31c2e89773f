# SPDX-License-Identifier: Apache-2.0
"""Looks regularly for what is wrong, and lets the registry of warnings know: the state of mappings and peers, and what
only the host knows: disk, clock, database, certificates.
"""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from remsim.core.disk_room import judge_room, room_text
from remsim.core.identity import Identity, Role
from remsim.core.ids import BankSlot
from remsim.core.values import dataclass
from remsim.net.runtime.tasks import in_thread
from remsim.server.core.slotmap import Mapping
from remsim.server.core.verdicts import VerdictKind
from remsim.server.core.warning_rules import KINDS, Found
from remsim.server.core.warnings import Alert
from remsim.server.runtime import ServerRuntime

#: Between two looks.
INTERVAL_S: Final = 5.0
#: Mappings between two looks at others' work.
_PORTION: Final = 100
#: A certificate that ends sooner is warned about: hosts renew a month before.
ENDING_S: Final = 14 * 86400.0
#: One that ended so long ago is not warned of any more: its host is absent, and a warning says that.
_FORGOTTEN_S: Final = 86400.0
#: A clock that is set in the course of things moves by less.
_JUMP_S: Final = 300.0
#: For how long a jump is worth a warning.
_JUMP_SHOWN_S: Final = 3600.0

_HEALTH: Final = frozenset({"slot-health"})
#: Verdicts that have a warning of another kind, and those that say what is the case for a moment.
_SAID_ELSEWHERE: Final = frozenset({VerdictKind.READER, VerdictKind.NO_CARD, VerdictKind.WAITING, VerdictKind.HELD})
_OWN: Final = frozenset({"certificate", "clock", "database", "disk"})
_SERVER: Final = "server"


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """When the certificate of somebody ends, in seconds since 1970."""

    identity: Identity
    not_after: float


@dataclass(slots=True)
class Outside:
    """What is looked at besides the coordinator: how certificates end, and whether the authority doubts the clock."""

    state_dir: Path
    certificates: Callable[[], Iterable[CertificateEnd]] = lambda: ()
    is_clock_doubtful: Callable[[], bool] = lambda: False


class WarningWatch:
    """Looks for warnings every few seconds. ``run`` is a task."""

    def __init__(self, runtime: ServerRuntime, outside: Outside) -> None:
        self._runtime = runtime
        self._outside = outside
        self._offset: float | None = None
        self._jumped_at: float | None = None
        self._jump_s = 0.0

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Look once."""
        runtime = self._runtime
        rows: list[tuple[Mapping, list[str], float | None]] = []
        for place, mapping in enumerate(list(runtime.coordinator.slotmap), start=1):
            info = runtime.query.mapping_by_id(mapping.id)
            if info is not None:
                rows.append((mapping, info.missing, info.usability.since))
            if place % _PORTION == 0:
                await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()
        inside = runtime.coordinator.warning_rules.look(rows, now)
        found = {**inside, **self._health(now), **await self._own(time.time(), now)}
        # At once: some kinds are found here and there.
        runtime.set_warnings(KINDS | _HEALTH | _OWN, found)

    def _health(self, now: float) -> Found:
        """What peers tell of slots, where nothing else here says it."""
        board = self._runtime.coordinator.health
        found: Found = {}
        for place in board.troubled():
            verdict = (board.slot(place, now) if isinstance(place, BankSlot) else board.client(place, now)).verdict
            if verdict.kind.is_trouble and verdict.kind not in _SAID_ELSEWHERE:
                about = str(place)
                found["slot-health", about] = Alert(0, "slot-health", about, 0.0, verdict.text, verdict.advice)
        return found

    async def _own(self, wall: float, now: float) -> Found:
        found = [*self._certificates(wall), *self._clock(wall, now), *self._database(), *await self._disk()]
        return {(alert.kind, alert.about): alert for alert in found}

    def _certificates(self, wall: float) -> list[Alert]:
        last: dict[str, float] = {}
        for end in self._outside.certificates():
            about = _about(end.identity)
            last[about] = max(end.not_after, last.get(about, 0.0))
        return [
            _ending(about, not_after - wall)
            for about, not_after in last.items()
            if -_FORGOTTEN_S < not_after - wall < ENDING_S
        ]

    def _clock(self, wall: float, now: float) -> list[Alert]:
        offset = wall - now
        if self._offset is not None and abs(offset - self._offset) > _JUMP_S:
            self._jumped_at, self._jump_s = now, offset - self._offset
        self._offset = offset
        if self._outside.is_clock_doubtful():
            text = "the server's clock says something else than the authority has signed with until now"
        elif self._jumped_at is not None and now - self._jumped_at < _JUMP_SHOWN_S:
            text = f"the server's clock has jumped by {self._jump_s:+.0f} s"
        else:
            return []
        hint = "set the clock by the network (NTP); times of events, leases and certificates go by it"
        return [Alert(0, "clock", _SERVER, 0.0, text, hint)]

    def _database(self) -> list[Alert]:
        if self._runtime.query.is_store_healthy:
            return []
        text = "the database did not take the last change: it is locked, full or gone"
        hint = "see the server's log, and remsim doctor on its host"
        return [Alert(0, "database", _SERVER, 0.0, text, hint, "error")]

    async def _disk(self) -> list[Alert]:
        place = self._outside.state_dir
        try:
            usage = await in_thread(shutil.disk_usage, place)
        except OSError as error:
            text = f"{place} cannot be looked at: {error.strerror}"
            return [Alert(0, "disk", _SERVER, 0.0, text, "is its file system mounted?", "error")]
        severity = judge_room(usage.free)
        if severity is None:
            return []
        text = room_text(place, usage.free, usage.total)
        hint = "make room: a server that cannot write refuses changes of mappings"
        return [Alert(0, "disk", _SERVER, 0.0, text, hint, severity)]


def _about(identity: Identity) -> str:
    if identity.role is Role.SERVER:
        return _SERVER
    slot = "" if identity.slot_nr is None else f":{identity.slot_nr}"
    return f"{'B' if identity.role is Role.BANK else 'C'}{identity.number}{slot}"


def _ending(about: str, left_s: float) -> Alert:
    whose = "the server's certificate" if about == _SERVER else f"the certificate of {about}"
    if left_s <= 0:
        return Alert(0, "certificate", about, 0.0, f"{whose} has ended", "enrol that host anew", "error")
    days = int(left_s // 86400)
    when = "within a day" if days == 0 else f"in {days} day{'' if days == 1 else 's'}"
    hint = "a host renews by itself while its program runs and reaches the server: see its log"
    return Alert(0, "certificate", about, 0.0, f"{whose} ends {when}", hint, "error" if days == 0 else "warning")

# SPDX-License-Identifier: Apache-2.0
"""What PC/SC's readers are known to be, and what to tell when they are seen again. No I/O but log lines.

Used by what watches PC/SC: it lists the readers, looks at each of them, and says when the service is gone.
"""

from collections.abc import Sequence
from typing import Final

from remsim.core.values import dataclass
from remsim.logs import Logger
from remsim.readers.base import Presence, PresenceEvent, PresenceListener, twins_of

_SERVICE_GONE: Final = "PC/SC service gone"
_SERVICE_BACK: Final = "PC/SC service back"


@dataclass(frozen=True, slots=True)
class _Seen:
    """``counter`` counts cards that came or went."""

    presence: Presence
    counter: int
    atr: bytes | None


class ReaderStates:
    """The readers of one PC/SC service. Its methods return what is to be told."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        # In the service's order; None until a reader was looked at.
        self._readers: dict[str, _Seen | None] = {}
        self._twins: frozenset[str] = frozenset()
        self._is_service_there: bool | None = None
        self._cause = ""

    @property
    def names(self) -> list[str]:
        """The readers that are there and can be told apart, in the service's order."""
        return list(self._readers)

    def on_list(self, listed: Sequence[str]) -> list[PresenceEvent]:
        """The service has these readers now."""
        if self._is_service_there is False:
            self._cause = _SERVICE_BACK
        twins = self._look_for_twins(listed)
        names = [name for name in listed if name not in twins]
        events = []
        for name in [name for name in self._readers if name not in names]:
            del self._readers[name]
            cause = "two readers have this name" if name in twins else "reader unplugged"
            events.append(PresenceEvent(name, Presence.UNKNOWN, None, cause))
        for name in names:
            self._readers.setdefault(name, None)
        return events

    def _look_for_twins(self, listed: Sequence[str]) -> frozenset[str]:
        """Names that several readers have. PC/SC opens readers by name, so nobody can say which one that would be."""
        twins = twins_of(listed)
        for name in sorted(twins - self._twins):
            self._log.warning(
                "readers_of_one_name",
                reader=name,
                readers=listed.count(name),
                text="none of them is served: PC/SC cannot tell them apart",
                hint="give each entry of reader.conf a FRIENDLYNAME of its own and restart pcscd",
            )
        self._twins = twins
        return twins

    def on_state(self, name: str, presence: Presence, counter: int, atr: bytes) -> list[PresenceEvent]:
        """A reader was looked at."""
        if name not in self._readers:
            return []
        before = self._readers[name]
        self._readers[name] = _Seen(presence, counter, atr or None)
        events = []
        if presence is Presence.PRESENT and before is not None and before.presence is Presence.PRESENT:
            if counter == before.counter:
                return []
            # Out and in again between two looks: the card in it is not the one that was powered.
            events.append(PresenceEvent(name, Presence.ABSENT, None, self._cause))
        elif before is not None and presence is before.presence:
            return []
        return [*events, PresenceEvent(name, presence, atr or None, self._cause)]

    def on_places(self, names: Sequence[str]) -> list[PresenceEvent]:
        """The places of these readers have become known: which slots they get may depend on that."""
        there = ((name, seen) for name in names if (seen := self._readers.get(name)) is not None)
        return [PresenceEvent(name, seen.presence, seen.atr, "its USB port is known") for name, seen in there]

    def on_service_gone(self, error: str, hint: str) -> list[PresenceEvent]:
        """The service cannot be reached. Said once."""
        if self._is_service_there is not False:
            self._log.warning("pcsc_service_gone", error=error, hint=hint)
        self._is_service_there = False
        events = [PresenceEvent(name, Presence.UNKNOWN, None, _SERVICE_GONE) for name in self._readers]
        self._readers.clear()
        return events

    def on_service_there(self) -> None:
        """The service lets us watch: one that lists readers and fails then would come and go in the log for ever."""
        if self._is_service_there is False:
            self._log.info("pcsc_service_back", readers=len(self._readers))
        self._is_service_there = True
        self._cause = ""


class KnownReaders:
    """What a source has been told of its readers, for listeners that come later."""

    def __init__(self) -> None:
        #: The readers that are plugged in, in PC/SC's order.
        self.names: list[str] = []
        self._latest: dict[str, PresenceEvent] = {}
        self._listeners: list[PresenceListener] = []

    def watch(self, listener: PresenceListener) -> None:
        """Tell ``listener`` what is known already, then every change."""
        self._listeners.append(listener)
        for event in list(self._latest.values()):
            listener(event)

    def end(self) -> None:
        """Tell nobody any more."""
        self._listeners.clear()

    def on_event(self, event: PresenceEvent) -> None:
        """Something happened at a reader."""
        if event.presence is Presence.UNKNOWN:
            self._latest.pop(event.reader, None)
            if event.reader in self.names:
                self.names.remove(event.reader)
        else:
            self._latest[event.reader] = event
            if event.reader not in self.names:
                self.names.append(event.reader)
        for listener in tuple(self._listeners):
            listener(event)

# SPDX-License-Identifier: Apache-2.0
"""What is wrong now, and what to do: one registry for everybody who finds something. Without I/O.

A warning has a kind and is about one thing; there is at most one of a kind about a thing. Who finds that something is
wrong sets it, again and again if it likes, and clears it when it is over: both give the events that tell of it, and
nothing if nothing changed. Times are seconds since 1970-01-01 UTC.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, Literal

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.log_event import LogEvent
from remsim.core.values import dataclass
from remsim.server.core.tokens import Scope

Severity = Literal["warning", "error"]

#: The kinds, for people.
WARNING_KINDS: Final[Mapping[str, str]] = {
    "bank-absent": "a bank with mappings is not connected",
    "card-away": "a mapping waits for the card that it follows",
    "card-pulled": "a mapped slot has no card",
    "certificate": "a certificate ends within 14 days",
    "clock": "the server's clock has jumped, or is wrong",
    "database": "the database took nothing of late",
    "disk": "the file system of a state directory, the server's or a bankd's, is nearly full",
    "host": "something else is wrong with a bank's host",
    "identity": "two programs claim to be the same, or one connects again and again",
    "mapping-not-operational": "a modem cannot use its card, for more than a minute",
    "mapping-refused": "a bankd does not want a mapping",
    "pcscd": "pcscd of a bank's host cannot be used, or is too old for what it is to do",
    "reader": "a reader has failed several times, hangs, or cannot be served",
    "slot-health": "what a bankd or client tells of a slot looks bad",
    "twins": "two cards have one number",
}
#: More than one of each kind about each slot of a large installation is a flood.
MAX_WARNINGS: Final = 16_384

_WHOLE: Final = re.compile(r"([BC])([0-9]{1,4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Alert:
    """One warning. ``number`` is never used again in this run of the server."""

    number: int
    kind: str
    #: ``B1:3``, ``C7:0``, ``B1``, ``C7`` or ``server``.
    about: str
    since: float
    text: str
    hint: str
    severity: Severity = "warning"
    #: The other end of a mapping, where the warning is about one end of it.
    other: BankSlot | ClientSlot | None = None

    def is_visible(self, scope: Scope) -> bool:
        """Whether a token with this scope may see it: all that it names must be within."""
        ends = _ids(self.about)
        if self.other is not None:
            ends = [*ends, *_ids(str(self.other))]
        if not ends:
            return not scope.is_limited
        return all(scope.has_bank(number) if letter == "B" else scope.has_client(number) for letter, number in ends)


class Warnings:
    """All warnings that hold now. ``limits`` counts those that were more than there may be."""

    def __init__(self, limits: LimitCounts) -> None:
        self._limits = limits
        self._last = 0
        self._alerts: dict[tuple[str, str], Alert] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._alerts)

    def __iter__(self) -> Iterator[Alert]:
        """Iterate over them, the oldest first."""
        return iter(tuple(self._alerts.values()))

    def get(self, kind: str, about: str) -> Alert | None:
        """The warning of a kind about a thing."""
        return self._alerts.get((kind, about))

    def counts(self) -> dict[str, int]:
        """How many there are of each kind, 0 included."""
        found = dict.fromkeys(WARNING_KINDS, 0)
        for alert in self._alerts.values():
            found[alert.kind] += 1
        return found

    def set(
        self,
        kind: str,
        about: BankSlot | ClientSlot | str,
        text: str,
        hint: str,
        *,
        wall: float,
        severity: Severity = "warning",
        other: BankSlot | ClientSlot | None = None,
    ) -> list[LogEvent]:
        """Something is wrong with ``about``. Other words than before replace those; only a new one is an event.

        ``kind`` is one of ``WARNING_KINDS``; ``about`` a slot, ``B1``, ``C7`` or ``server``.
        """
        key = (kind, str(about))
        assert kind in WARNING_KINDS, kind
        before = self._alerts.get(key)
        if before is not None:
            self._alerts[key] = replace(before, text=text, hint=hint, severity=severity, other=other)
            return []
        if len(self._alerts) >= MAX_WARNINGS:
            self._limits.reached(LimitName.WARNINGS)
            return []
        self._last += 1
        alert = self._alerts[key] = Alert(self._last, kind, str(about), wall, text, hint, severity, other)
        return [_event("warning", alert, "warning", severity=severity, text=text, hint=hint)]

    def clear(self, kind: str, about: BankSlot | ClientSlot | str) -> list[LogEvent]:
        """That is over, if it ever was."""
        alert = self._alerts.pop((kind, str(about)), None)
        return [] if alert is None else [_event("warning_cleared", alert, "info")]

    def replace(self, kinds: frozenset[str], found: Mapping[tuple[str, str], Alert], wall: float) -> list[LogEvent]:
        """Of these kinds there is exactly what was ``found`` now.

        Its numbers do not matter, and neither do its times, if there was a warning already; of a new one they say since
        when it is wrong, 0: not known.
        """
        events: list[LogEvent] = []
        for kind, about in [key for key in self._alerts if key[0] in kinds and key not in found]:
            events += self.clear(kind, about)
        for alert in found.values():
            events += self.set(
                alert.kind,
                alert.about,
                alert.text,
                alert.hint,
                wall=min(alert.since, wall) or wall,
                severity=alert.severity,
                other=alert.other,
            )
        return events


def _ids(about: str) -> list[tuple[str, int]]:
    """The bank or client that a text names: ``B1:3``, ``B1`` → B, 1."""
    found = _WHOLE.fullmatch(about.partition(":")[0])
    return [] if found is None else [(found[1], int(found[2]))]


def _event(name: str, alert: Alert, level: Literal["info", "warning"], **fields: object) -> LogEvent:
    about: dict[str, object] = {"warning": alert.number, "kind": alert.kind, "about": alert.about}
    slots: dict[str, BankSlot | ClientSlot] = {}
    for text in (alert.about, "" if alert.other is None else str(alert.other)):
        if ":" in text:
            slots[text[0]] = BankSlot.parse(text) if text[0] == "B" else ClientSlot.parse(text)
        for letter, number in _ids(text):
            about["bank" if letter == "B" else "client"] = number
    bank, client = slots.get("B"), slots.get("C")
    return LogEvent(
        level,
        name,
        bank if isinstance(bank, BankSlot) else None,
        client if isinstance(client, ClientSlot) else None,
        about | fields,
    )

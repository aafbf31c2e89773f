# SPDX-License-Identifier: Apache-2.0
"""What a bank reports for the server's audit log, without I/O: sent at once, or kept until a server takes it.

Only servers that named the ability ``audit.1`` take entries. An entry on its way when the link breaks is lost: nothing
confirms it. The bankd's own log has a line for each.
"""

from collections import deque
from dataclasses import replace
from typing import Final

from remsim.bankd.core.actions import BankdAction
from remsim.bankd.core.server_links import ServerLinks
from remsim.bankd.core.session import BankdCounts
from remsim.core.limits import LimitName
from remsim.core.log_event import LogEvent
from remsim.wire.link.abilities import AUDIT
from remsim.wire.link.actions import Send
from remsim.wire.messages.extensions import MAX_DETAIL, AuditInd

#: Entries kept while no server takes them: five sessions that use up what one may report. The server takes so many at
#: once. More are dropped, the latest first: the first ones show how it began.
MAX_KEPT: Final = 512


class AuditTrail:
    """The entries of one bank. Actions are appended to ``out``."""

    def __init__(self, control: ServerLinks, out: list[BankdAction], counts: BankdCounts) -> None:
        self._control = control
        self._out = out
        self._counts = counts
        # Each with the time at which it was made.
        self._kept: deque[tuple[AuditInd, float]] = deque()
        self._dropped = 0

    def add(self, entry: AuditInd, now: float) -> None:
        """Report something. What it says must be within the limits of the message; see ``plain_detail``."""
        if len(self._kept) >= MAX_KEPT:
            self._dropped += 1
            self._counts.audit_dropped += 1
            self._counts.limits.reached(LimitName.KEPT_AUDIT)
            return
        self._kept.append((entry, now))
        self.flush(now)

    def flush(self, now: float) -> None:
        """Send what is kept, if a server is there that takes it; say once what could not be kept."""
        active_server = self._control.active_server
        if not self._kept or active_server is None or AUDIT not in (active_server.abilities or ()):
            return
        entries = [_dated(entry, now - made_at) for entry, made_at in self._kept]
        self._kept.clear()
        if self._dropped:
            self._out.append(LogEvent("warning", "audit_entries_dropped", fields={"count": self._dropped}))
            detail = f"{self._dropped} entries of this bank were dropped while no server took them"
            entries.append(AuditInd("audit.lost", is_refused=False, detail=detail))
            self._dropped = 0
        self._out.extend(Send(active_server.link, entry) for entry in entries)


def plain_detail(text: str) -> str:
    """``text`` as a detail of an entry: printable ASCII, which the message can carry, and no longer than that."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:MAX_DETAIL]


def _dated(entry: AuditInd, age_s: float) -> AuditInd:
    """The server enters its own time; what was kept says how long ago it was."""
    if age_s < 1:
        return entry
    age = f" ({age_s:.0f} s before this entry)"
    return replace(entry, detail=f"{(entry.detail or '')[: MAX_DETAIL - len(age)]}{age}".strip())

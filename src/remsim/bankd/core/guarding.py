# SPDX-License-Identifier: Apache-2.0
"""The guards of a bank's sessions without I/O: what rules say about commands is counted, logged and audited here."""

from collections.abc import Iterable
from typing import Final

from remsim.bankd.core.actions import BankdAction
from remsim.bankd.core.audit import AuditTrail, plain_detail
from remsim.bankd.core.session import BankdCounts, CardSession
from remsim.card.selection import SelectionTracker
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.core.log_event import LogEvent
from remsim.policy.guard import Guard, GuardPolicy, RuleMatch
from remsim.wire.messages.extensions import AuditInd

#: Of each kind, blocked and noted, so many lines about one session, and so many entries in the audit log, where
#: one more says that this was too much. A modem that repeats itself must not fill them. All are counted.
MAX_LINES: Final = 100


class MappingGuard:
    """Watches the commands of one session, from one powering up of its card to the next."""

    def __init__(
        self,
        guard: Guard,
        bank: BankSlot,
        client: ClientSlot,
        *,
        counts: BankdCounts,
        out: list[BankdAction],
        audit: AuditTrail,
    ) -> None:
        self._bank, self._client = bank, client
        self._counts = counts
        self._out = out
        self._audit = audit
        self._blocked = self._noted = 0
        self.follow(guard)

    def follow(self, guard: Guard) -> None:
        """Go by other rules from now on."""
        self._guard = guard
        self.tracker = guard.tracker
        #: Told of each exchange and each reset: what is selected decides what a command is about.
        self.on_exchange = guard.on_exchange
        self.on_reset = guard.on_reset

    def concerns(self, tpdu: bytes, /) -> bool:
        """Whether any rule is about this command. Nothing is noted."""
        return self._guard.check(tpdu) is not None

    def blocks(self, tpdu: bytes, now: float, /) -> bool:
        """Whether the card must not see this command. What a rule is about is counted and logged."""
        finding = self._guard.check(tpdu)
        if finding is None:
            return False
        self._note(finding, now)
        return finding.is_blocked

    def _note(self, finding: RuleMatch, now: float) -> None:
        command = finding.header.hex() or "malformed"
        path = "/".join(_step(step) for step in finding.path or ()) or "unknown"
        fields = {"rule": finding.rule, "command": command, "file": path}
        if not finding.is_blocked:
            self._counts.noted_commands += 1
            self._noted += 1
            if self._noted <= MAX_LINES:
                self._out.append(LogEvent("info", "command_noted", self._bank, self._client, fields))
            else:
                self._counts.limits.reached(LimitName.GUARD_LINES)
            return
        self._counts.blocked_commands += 1
        self._blocked += 1
        if self._blocked <= MAX_LINES:
            self._out.append(LogEvent("warning", "command_blocked", self._bank, self._client, fields))
            self._enter(f"rule {finding.rule}: {command} file {path}", now)
            return
        self._counts.limits.reached(LimitName.GUARD_LINES)
        if self._blocked == MAX_LINES + 1:
            self._enter(f"more than {MAX_LINES} commands of this session were blocked; the rest is counted only", now)

    def _enter(self, detail: str, now: float) -> None:
        """Report to the audit log."""
        entry = AuditInd(
            "command.block",
            is_refused=True,
            bank_slot=self._bank,
            client_slot=self._client,
            detail=plain_detail(detail),
        )
        self._audit.add(entry, now)


class Guards:
    """Makes the guards of all sessions of a bank by its rules, which may change."""

    def __init__(self, policy: GuardPolicy, *, counts: BankdCounts, out: list[BankdAction], audit: AuditTrail) -> None:
        self._policy = policy
        self._counts = counts
        self._out = out
        self._audit = audit

    def begin(self, session: CardSession) -> None:
        """The card of this session was powered just now."""
        session.guard = self._guard_for(session, None if session.ahead is None else session.ahead.view)

    def change(self, policy: GuardPolicy, sessions: Iterable[CardSession]) -> None:
        """Let other rules hold, also for the sessions in service, which keep what is selected."""
        self._policy = policy
        running = 0
        for session in sessions:
            running += 1
            if isinstance(session.guard, MappingGuard) and policy.concerns(session.slot.bank_slot, session.client):
                guard = policy.guard_for(session.slot.bank_slot, session.client, session.guard.tracker)
                session.guard.follow(guard)
                continue
            # A session without a guard was not watched: what is selected is not known.
            tracker = SelectionTracker.midway() if session.ahead is None else session.ahead.view
            session.guard = self._guard_for(session, tracker)
        fields = {"rules": len(policy.rules), "sessions": running}
        self._out.append(LogEvent("info", "guard_reloaded", fields=fields))

    def _guard_for(self, session: CardSession, tracker: SelectionTracker | None = None) -> MappingGuard | None:
        """The guard of one session; None if no rule is about it. ``tracker``: as for ``Guard``."""
        policy, bank, client = self._policy, session.slot.bank_slot, session.client
        if not policy.concerns(bank, client):
            return None
        guard = policy.guard_for(bank, client, tracker)
        return MappingGuard(guard, bank, client, counts=self._counts, out=self._out, audit=self._audit)


def _step(step: int | str) -> str:
    return f"{step:04X}" if isinstance(step, int) else step

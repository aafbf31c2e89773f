# SPDX-License-Identifier: Apache-2.0
"""What a trace may show of each slot's traffic: secrets masked, by what ``remsim.redaction`` knows of them."""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from remsim.bankd.core.audit import plain_detail
from remsim.bankd.core.session import BankdCounts
from remsim.bankd.driver import CardDriver
from remsim.card.selection import SelectionTracker
from remsim.config import BankdConfig, TextError, read_text
from remsim.core.errors import StartError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.logs import Logger
from remsim.net.runtime.tasks import in_thread
from remsim.policy.fields import PolicyError
from remsim.policy.guard import DEFAULT, PRESETS, Guard, GuardPolicy, RuleMatch, parse_guard_policy
from remsim.redaction import CardRedactor
from remsim.trace.gsmtap import AtrRecord, TpduRecord, TraceRecord
from remsim.wire.messages.extensions import AuditInd


class TraceMask:
    """A Redactor of trace records. Must be told of resets, which not every one of them shows."""

    def __init__(self) -> None:
        self._cards: defaultdict[int, CardRedactor] = defaultdict(CardRedactor)

    def __call__(self, record: TraceRecord) -> TraceRecord:
        """The record with hidden bytes as FF."""
        if isinstance(record, AtrRecord):
            return record
        command, response = self._cards[record.slot_nr].exchange(record.tpdu, record.response)
        return TpduRecord(record.slot_nr, command.to_bytes(), response.to_bytes())

    def on_reset(self, slot_nr: int) -> None:
        """The slot's card starts anew."""
        self._cards[slot_nr].on_reset()


#: Of each kind, blocked and noted, so many lines about one session, and so many entries in the audit log, where
#: one more says that this was too much. A modem that repeats itself must not fill them. All are counted.
MAX_LINES: Final = 100

#: Takes what belongs into the server's audit log.
Report = Callable[[AuditInd], None]


def read_guard_policy(config: BankdConfig) -> GuardPolicy:
    """The rules of the guard file, or the shipped ones, which only note. Raises StartError and PolicyError."""
    if config.guard is None:
        return DEFAULT
    try:
        text = read_text(config.guard)
    except (OSError, TextError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StartError(f"the guard file {config.guard} cannot be read: {reason}", hint="see --guard FILE") from error
    return parse_guard_policy(text, str(config.guard), PRESETS)


def guard_for(
    policy: GuardPolicy,
    bank: BankSlot,
    client: ClientSlot,
    *,
    counts: BankdCounts,
    log: Logger,
    report: Report,
    tracker: SelectionTracker | None = None,
) -> "SlotGuard | None":
    """The guard of one mapping, for one session; None if no rule is about it. ``tracker``: as for ``Guard``."""
    if not policy.concerns(bank, client):
        return None
    bound = log.bind(bank_slot=bank, client_slot=client)
    return SlotGuard(policy.guard_for(bank, client, tracker), bank, client, counts=counts, log=bound, report=report)


class Guards:
    """The guards of all sessions of a bank, and the rules that they go by."""

    def __init__(self, config: BankdConfig, *, counts: BankdCounts, log: Logger, report: Report) -> None:
        """Read the rules. Raises StartError and PolicyError. ``report`` gets what belongs into the audit log."""
        self._config = config
        self._counts = counts
        self._log = log
        self._report = report
        self._policy = read_guard_policy(config)
        # Who has which card, by slot number, while it is powered for somebody.
        self._sessions: dict[int, tuple[CardDriver, BankSlot, ClientSlot]] = {}

    def begin(self, slot: CardDriver, bank: BankSlot, client: ClientSlot) -> None:
        """A client has a card, powered just now."""
        self._sessions[slot.slot_nr] = slot, bank, client
        slot.guard = self._guard_for(bank, client)

    def end(self, slot: CardDriver) -> None:
        """The card is powered off; its guard goes with it."""
        self._sessions.pop(slot.slot_nr, None)

    async def reload(self) -> None:
        """Let the rules hold that the file has now, also for sessions that run, which keep what is selected.

        A file that cannot be used is reported, and the rules stay as they are.
        """
        if self._config.guard is None:
            return
        try:
            policy = await in_thread(read_guard_policy, self._config)
        except (PolicyError, StartError) as error:
            self._log.error("guard_not_reloaded", error=str(error), hint=error.hint)
            return
        self._policy = policy
        for slot, bank, client in self._sessions.values():
            if isinstance(slot.guard, SlotGuard) and policy.concerns(bank, client):
                slot.guard.follow(policy.guard_for(bank, client, slot.guard.tracker))
                continue
            # Whoever had no guard was not watched: what is selected is not known.
            slot.guard = self._guard_for(bank, client, SelectionTracker.midway())
        self._log.info("guard_reloaded", rules=len(policy.rules), sessions=len(self._sessions))

    def _guard_for(
        self, bank: BankSlot, client: ClientSlot, tracker: SelectionTracker | None = None
    ) -> "SlotGuard | None":
        return guard_for(
            self._policy, bank, client, counts=self._counts, log=self._log, report=self._report, tracker=tracker
        )


class SlotGuard:
    """Watches the commands of one session."""

    def __init__(
        self, guard: Guard, bank: BankSlot, client: ClientSlot, *, counts: BankdCounts, log: Logger, report: Report
    ) -> None:
        self._bank, self._client = bank, client
        self._counts = counts
        self._log = log
        self._report = report
        self._blocked = self._noted = 0
        self.follow(guard)

    def follow(self, guard: Guard) -> None:
        """Go by other rules from now on."""
        self._guard = guard
        self.tracker = guard.tracker
        #: Told of each exchange and each reset: what is selected decides what a command is about.
        self.on_exchange = guard.on_exchange
        self.on_reset = guard.on_reset

    def blocks(self, tpdu: bytes) -> bool:
        """Whether the card must not see this command. What a rule is about is counted and logged."""
        finding = self._guard.check(tpdu)
        if finding is None:
            return False
        self._note(finding)
        return finding.is_blocked

    def _note(self, finding: RuleMatch) -> None:
        command = finding.header.hex() or "malformed"
        path = "/".join(_step(step) for step in finding.path or ()) or "unknown"
        if not finding.is_blocked:
            self._counts.noted_commands += 1
            self._noted += 1
            if self._noted <= MAX_LINES:
                self._log.info("command_noted", rule=finding.rule, command=command, file=path)
            else:
                self._counts.limits.reached(LimitName.GUARD_LINES)
            return
        self._counts.blocked_commands += 1
        self._blocked += 1
        if self._blocked <= MAX_LINES:
            self._log.warning("command_blocked", rule=finding.rule, command=command, file=path)
            self._enter(f"rule {finding.rule}: {command} file {path}")
            return
        self._counts.limits.reached(LimitName.GUARD_LINES)
        if self._blocked == MAX_LINES + 1:
            self._enter(f"more than {MAX_LINES} commands of this session were blocked; the rest is counted only")

    def _enter(self, detail: str) -> None:
        """Report to the audit log."""
        self._report(
            AuditInd(
                "command.block",
                is_refused=True,
                bank_slot=self._bank,
                client_slot=self._client,
                detail=plain_detail(detail),
            )
        )


def _step(step: int | str) -> str:
    return f"{step:04X}" if isinstance(step, int) else step

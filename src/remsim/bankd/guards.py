# SPDX-License-Identifier: Apache-2.0
"""The guard in front of each card: which rules hold for which mapping, and what is said when one is met.

The rules themselves are in ``remsim.policy.guard``; ``slot`` asks before a command reaches the card. A mapping that no
rule is about has no guard, and its commands are not looked at.
"""

from typing import Final

from remsim.bankd.counts import BankdCounts
from remsim.config import BankdConfig
from remsim.errors import StartError
from remsim.ids import BankSlot, ClientSlot
from remsim.limits import LimitName
from remsim.logs import Logger
from remsim.policy.guard import Finding, Guard, GuardPolicy, parse_guard_policy
from remsim.policy.presets import DEFAULT, PRESETS

#: So many lines about one session; a modem that repeats itself must not fill the log. All are counted.
MAX_LINES: Final = 100


def read_guard_policy(config: BankdConfig) -> GuardPolicy:
    """The rules of the guard file, or the shipped ones, which only note. Raises StartError and PolicyError."""
    if config.guard is None:
        return DEFAULT
    try:
        text = config.guard.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StartError(f"the guard file {config.guard} cannot be read: {reason}", hint="see --guard FILE") from error
    return parse_guard_policy(text, str(config.guard), PRESETS)


def guard_for(
    policy: GuardPolicy, bank: BankSlot, client: ClientSlot, *, counts: BankdCounts, log: Logger
) -> "SlotGuard | None":
    """The guard of one mapping; None if no rule is about it."""
    if not any(rule.concerns(bank, client) for rule in policy.rules):
        return None
    return SlotGuard(policy.guard_for(bank, client), counts, log.bind(bank_slot=bank, client_slot=client))


class SlotGuard:
    """Watches the commands of one session."""

    def __init__(self, guard: Guard, counts: BankdCounts, log: Logger) -> None:
        self._guard = guard
        self._counts = counts
        self._log = log
        self._lines = 0
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

    def _note(self, finding: Finding) -> None:
        if finding.is_blocked:
            self._counts.blocked_commands += 1
        else:
            self._counts.noted_commands += 1
        self._lines += 1
        if self._lines > MAX_LINES:
            self._counts.limits.reached(LimitName.GUARD_LINES)
            return
        path = None if finding.path is None else "/".join(_step(step) for step in finding.path)
        fields = {"rule": finding.rule, "command": finding.header.hex() or "malformed", "file": path or "unknown"}
        if finding.is_blocked:
            self._log.warning("command_blocked", **fields)
        else:
            self._log.info("command_noted", **fields)


def _step(step: int | str) -> str:
    return f"{step:04X}" if isinstance(step, int) else step

# SPDX-License-Identifier: Apache-2.0
"""The guard's rules in their file, and the mask over traces. What the rules do is in ``core.guarding``."""

from collections import defaultdict
from dataclasses import replace

from remsim.config import BankdConfig, TextError, read_text
from remsim.core.errors import StartError
from remsim.logs import Logger
from remsim.net.runtime.tasks import in_thread
from remsim.policy.fields import PolicyError
from remsim.policy.guard import DEFAULT, PRESETS, GuardPolicy, parse_guard_policy
from remsim.redaction import CardRedactor
from remsim.trace.gsmtap import AtrRecord, TpduMark, TraceRecord


class TraceMask:
    """A Redactor of trace records. Must be told of resets, which not every one of them shows."""

    def __init__(self) -> None:
        self._cards: defaultdict[int, CardRedactor] = defaultdict(CardRedactor)
        # Where commands were run that no modem has sent, what the card has selected; the others have what the modem
        # believes to be selected.
        self._run: dict[int, CardRedactor] = {}

    def __call__(self, record: TraceRecord) -> TraceRecord:
        """The record with hidden bytes as FF."""
        if isinstance(record, AtrRecord):
            return record
        slot_nr, redactor = record.slot_nr, self._cards[record.slot_nr]
        if record.mark is not TpduMark.MODEM:
            # Until the first of them both were the same.
            redactor = self._run.setdefault(slot_nr, redactor.copy())
        elif record.was_run and (run := self._run.get(slot_nr)) is not None:
            run.exchange(record.tpdu, record.response)
        command, response = redactor.exchange(record.tpdu, record.response)
        return replace(record, tpdu=command.to_bytes(), response=response.to_bytes())

    def on_reset(self, slot_nr: int) -> None:
        """The slot's card starts anew."""
        self._cards[slot_nr].on_reset()
        self._run.pop(slot_nr, None)


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


async def reread_guard_policy(config: BankdConfig, log: Logger) -> GuardPolicy | None:
    """The rules that the guard file has now. None: there is no file, or none that can be used, which is reported."""
    if config.guard is None:
        return None
    try:
        return await in_thread(read_guard_policy, config)
    except (PolicyError, StartError) as error:
        log.error("guard_not_reloaded", error=str(error), hint=error.hint)
        return None

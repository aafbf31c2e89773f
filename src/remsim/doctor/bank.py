# SPDX-License-Identifier: Apache-2.0
"""Whether a bank's host can serve cards, and from where its bankd takes them. What is judged is in ``bankd.host``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remsim.bankd.host.judging import CHECK, BankFacts, judge_host, look_at_host, protocol_text
from remsim.bankd.reader_choice import PCSC, PCSCD, choose_without_asking
from remsim.bankd.slots.csv import CSV_NAME, parse_slots_csv
from remsim.config import BankdConfig, SlotSource, TextError, read_text
from remsim.core.errors import ConfigError
from remsim.core.finding import Finding, Outcome
from remsim.doctor.check import Situation

_CHOICE: Final = "reader"
#: What stands in the way of reader pcscd, in few words.
_IN_SHORT: Final = {
    "absent": "there is no socket",
    "no socket": "it is no socket",
    "no rights": "no right to use it",
    "nobody": "nothing listens there",
    "refused": "pcscd refuses us",
    "silent": "pcscd does not answer",
    "foreign": "no version that is known",
}
#: With these, the PC/SC library might do what the socket does not: there is no pcscd that we could wait for.
_NO_PCSCD: Final = frozenset({"absent", "no socket", "nobody", "foreign"})


def judge_choice(facts: BankFacts, config: BankdConfig | None) -> Finding:
    """Which reader source the bankd takes, and why."""
    daemon = facts.pcscd
    choice = choose_without_asking(config, has_pyscard=facts.has_pyscard)
    if choice is not None:
        return Finding(_CHOICE, Outcome.OK, f"{choice.reader} is used: {choice.why}")
    if daemon.trouble is None:
        return Finding(_CHOICE, Outcome.OK, f"{PCSCD} is used: {daemon.socket} answers ({protocol_text(daemon)})")
    because = f"because of {daemon.socket}: {_IN_SHORT[daemon.trouble]}"
    if daemon.trouble not in _NO_PCSCD:
        return Finding(
            _CHOICE, Outcome.NOTE, f"{PCSCD} is used, and waits {because}", "what helps is said of pcscd below"
        )
    mend = "mend what is said of pcscd below; or set reader to pcscd, which waits until it can be used"
    return Finding(_CHOICE, Outcome.NOTE, f"{PCSC} is used, {because}", mend)


async def check_pcscd(situation: Situation) -> Sequence[Finding]:
    """The readers of this host."""
    config = situation.bankd
    if config is not None and config.reader == "sim":
        return [Finding(CHECK, Outcome.OK, "not needed: the cards are software")]
    if config is not None and config.reader not in (None, PCSCD, PCSC):
        return [Finding(CHECK, Outcome.OK, f"not looked at: readers come from {config.reader}")]
    facts = await look_at_host(os.environ, config)
    findings = [judge_choice(facts, config), *judge_host(facts, config, () if config is None else config.slot)]
    return findings if config is None else [*findings, *_csv_findings(config)]


def _csv_findings(config: BankdConfig) -> list[Finding]:
    """Whether the classic slot file, if one is used, can be read."""
    file = config.csv
    if file is None and config.slot_source is SlotSource.UNSPECIFIED and Path(CSV_NAME).is_file():
        file = Path(CSV_NAME)
    if file is None:
        return []
    try:
        text = read_text(file)
        read = parse_slots_csv(text, bank_id=config.bank_id, slots=config.slots, origin=str(file))
    except ConfigError as error:
        return [Finding(CHECK, Outcome.PROBLEM, str(error), error.hint or "correct the file")]
    except TextError as error:
        return [Finding(CHECK, Outcome.PROBLEM, f"{file}: {error}", error.hint)]
    except OSError as error:
        return [Finding(CHECK, Outcome.PROBLEM, f"cannot read {file}: {error.strerror}", "check its path and rights")]
    return [Finding(CHECK, Outcome.NOTE, warning, "correct the file") for warning in read.warnings]

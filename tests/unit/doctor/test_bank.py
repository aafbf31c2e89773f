# SPDX-License-Identifier: Apache-2.0
"""From where a bankd takes its cards, as the doctor tells it, and when pcscd is not looked at."""

from pathlib import Path

import pytest

from remsim.config import BankdConfig, HostPort, PcscdSocket
from remsim.core.finding import Outcome
from remsim.core.identity import Role
from remsim.doctor.bank import check_pcscd, judge_choice
from remsim.doctor.check import Situation
from tests.doubles.bank_facts import SOCKET, facts


@pytest.mark.parametrize(
    ("reader", "has_daemons", "has_pyscard", "trouble", "outcome", "text"),
    [
        ("pcsc", False, True, None, Outcome.OK, "pcsc is used: the setting reader names it"),
        ("pcscd", False, True, "absent", Outcome.OK, "pcscd is used: the setting reader names it"),
        (None, True, True, "absent", Outcome.OK, "pcscd is used: [[pcscd]] names its sockets"),
        (None, False, False, "absent", Outcome.OK, "pcscd is used: pyscard is not installed, so there is no other"),
        (None, False, True, None, Outcome.OK, f"pcscd is used: {SOCKET} answers (protocol 4:4)"),
        (
            None,
            False,
            True,
            "silent",
            Outcome.NOTE,
            f"pcscd is used, and waits because of {SOCKET}: pcscd does not answer",
        ),
        (None, False, True, "foreign", Outcome.NOTE, f"pcsc is used, because of {SOCKET}: no version that is known"),
    ],
)
def test_reader_that_is_chosen_is_told_with_the_reason(
    reader: str | None, has_daemons: bool, has_pyscard: bool, trouble: str | None, outcome: Outcome, text: str
) -> None:
    daemons = (PcscdSocket(socket=SOCKET),) if has_daemons else ()
    config = BankdConfig(state_dir=Path("state"), reader=reader, pcscd=daemons)
    found = judge_choice(facts(trouble=trouble, has_pyscard=has_pyscard), config)
    assert (found.check, found.outcome, found.text) == ("reader", outcome, text)
    if not has_daemons and reader is None:
        assert judge_choice(facts(trouble=trouble, has_pyscard=has_pyscard), None) == found


@pytest.mark.parametrize(
    ("reader", "text"),
    [("sim", "not needed: the cards are software"), ("acme", "not looked at: readers come from acme")],
)
async def test_other_sources_of_readers_need_no_pcscd(reader: str, text: str, tmp_path: Path) -> None:
    config = BankdConfig(reader=reader, state_dir=tmp_path)
    (finding,) = await check_pcscd(Situation(HostPort("h", 1), role=Role.BANK, bankd=config))
    assert (finding.outcome, finding.text) == (Outcome.OK, text)

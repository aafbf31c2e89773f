# SPDX-License-Identifier: Apache-2.0
"""What the server hears of card sessions (ability ``sessions.1``)."""

from remsim.wire.link.abilities import ABILITIES
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.bank import SERVER, Bank
from tests.unit.bankd.core.test_holds import back, bank, connect, told


def reports(made: Bank, server: int) -> list[tuple[str, int, int]]:
    """Phase, age in ms, and cuts."""
    found = [message for message in made.sent[server] if isinstance(message, rspro.SessionStateInd)]
    return [(message.phase.name, message.age_ms, message.cuts) for message in found]


def test_server_hears_of_each_change() -> None:
    made = bank()
    link = connect(made)
    made.lose(link)
    made.lose(back(made, told(made, link).token))
    made.wait(made.now + 60.0)
    assert reports(made, 1) == [
        ("RESUMABLE", 0, 0),
        ("DETACHED", 0, 1),
        ("RESUMABLE", 0, 1),
        ("DETACHED", 0, 2),
        ("NONE", 0, 2),
    ]


def test_server_that_comes_back_hears_of_all_sessions_with_their_age() -> None:
    made = bank()
    made.connect(is_own=True)
    made.lose(1)
    made.now += 1.5
    server = made.link(is_dialled=True)
    made.say(server, rspro.ConnectBankRes(SERVER.with_abilities(ABILITIES), ResultCode.OK))
    assert reports(made, server) == [("ATTACHED", 1500, 0)]


def test_card_that_is_gone_ends_what_the_server_knows() -> None:
    made = bank()
    made.connect(is_own=True)
    made.presence(0, is_present=False)
    made.presence(0, is_present=True)
    assert [phase for phase, _, _ in reports(made, 1)] == ["ATTACHED", "NONE", "ATTACHED"]

# SPDX-License-Identifier: Apache-2.0
"""The bankd's end, step by step: the order of tags, what is kept for the modem, a new link, a reset."""

from collections.abc import Iterable

import pytest

from remsim.ahead.bank_side import AheadSession, Answer, Guess, Run, Trial
from remsim.ahead.client_side import SentAhead, Used
from remsim.ahead.context_model import ContextModel
from remsim.ahead.pace import NEAR_S
from remsim.ahead.predictor import Predictor
from remsim.ahead.symbols import symbol_of

_MF = bytes.fromhex("00a4000c023f00")
_ICCID, _READ = bytes.fromhex("00a40004022fe2"), bytes.fromhex("00b000000a")
_FETCH = bytes.fromhex("00c0000005")
_AUTHENTICATE = bytes.fromhex("008800810411223344")
_OK = b"\x90\x00"
_FCP = bytes.fromhex("6203820100")


def _session(*learnt: bytes) -> AheadSession:
    recordings = [[symbol_of(command) for command in learnt]] if learnt else []
    session = AheadSession(Predictor([ContextModel(recordings)]), round_trip=0.3)
    assert session.on_command(10, _MF, 0.0) == Run()
    session.on_response(10, _MF, _OK, 0.0)
    return session


def _guess(session: AheadSession, response: bytes) -> SentAhead:
    step = session.next_step()
    assert isinstance(step, Guess)
    answer = session.on_step_done(response)
    assert answer is not None
    return answer


def _busy(session: AheadSession) -> None:
    """Two guesses: the file of the card's number was selected, and its FCP fetched."""
    assert _guess(session, b"\x61\x05") == SentAhead(10, 1, _ICCID, b"\x61\x05")
    assert _guess(session, _FCP + _OK) == SentAhead(10, 2, _FETCH, _FCP + _OK)


_LEARNT = (_MF, _ICCID, _FETCH, _READ)


def test_modem_that_sends_what_was_guessed_needs_no_answer() -> None:
    session = _session(*_LEARNT)
    _busy(session)
    assert session.on_command(11, _ICCID, 0.3) == Answer(b"\x61\x05", is_guess=True)
    assert session.on_command(12, _FETCH, 0.6) == Answer(_FCP + _OK, is_guess=True)
    assert session.counts.hits == 2


def test_modem_that_sends_something_else_finds_the_card_where_it_left_it() -> None:
    session = _session(*_LEARNT)
    _busy(session)
    decision = session.on_command(11, _READ, 0.3)
    assert isinstance(decision, Run)
    assert [step.command for step in decision.restore] == [_MF]
    assert session.on_restored(_READ) is None
    session.on_response(11, _READ, b"\x69\x86", 0.31)
    assert (session.counts.hits, session.counts.misses, session.counts.wasted) == (0, 1, 2)


def test_response_that_waited_waits_again() -> None:
    session = _session(*_LEARNT)
    _busy(session)
    other = bytes.fromhex("00c0000002")
    session.on_used(Used(10, 1))
    decision = session.on_command(12, other, 0.3)
    assert isinstance(decision, Run)
    assert [step.command for step in decision.restore] == [_MF, _ICCID]


def test_report_moves_the_window_only() -> None:
    session = _session(*_LEARNT)
    _busy(session)
    session.on_used(Used(10, 1))
    session.on_used(Used(9, 2))
    assert session.counts.hits == 1
    assert session.used == [SentAhead(10, 1, _ICCID, b"\x61\x05")]
    assert session.on_command(12, _FETCH, 0.4) == Answer(_FCP + _OK, is_guess=True)


def _authenticated() -> AheadSession:
    session = _session()
    assert session.on_command(11, _AUTHENTICATE, 0.3) == Run()
    session.on_response(11, _AUTHENTICATE, b"\x61\x05", 0.3)
    assert _guess(session, b"ABCDE" + _OK) == SentAhead(11, 1, _FETCH, b"ABCDE" + _OK)
    return session


def test_response_of_authenticate_is_kept_for_a_modem_that_fetches_it_in_parts() -> None:
    session = _authenticated()
    for tag, length, response in ((12, 2, b"AB\x61\x03"), (13, 9, b"\x6c\x03"), (14, 3, b"CDE" + _OK)):
        command = bytes((0x00, 0xC0, 0x00, 0x00, length))
        assert session.on_command(tag, command, 0.6) == Answer(response)
        session.on_response(tag, command, response, 0.6)
        assert session.next_step() is None or length == 3


def test_response_of_authenticate_is_lost_with_another_command() -> None:
    session = _authenticated()
    assert session.on_command(12, _READ, 0.6) == Run()
    session.on_response(12, _READ, b"\x69\x86", 0.6)
    assert session.held is None
    assert session.on_command(13, _FETCH, 0.9) == Run()


def test_answers_that_may_be_lost_with_their_link_are_sent_again() -> None:
    session = _session(*_LEARNT)
    _busy(session)
    session.on_detached()
    assert session.next_step() is None
    session.on_attached()
    again = SentAhead(11, 1, _FETCH, _FCP + _OK)
    assert session.on_command(11, _ICCID, 5.0) == Answer(b"\x61\x05", is_guess=True, again=(again,))
    assert session.on_command(12, _FETCH, 5.3) == Answer(_FCP + _OK, is_guess=True)


def test_command_of_a_lost_link_leaves_the_numbers_as_they_are() -> None:
    """The client may have had its answer ahead, and uses those behind it meanwhile."""
    session = _session(*_LEARNT)
    _busy(session)
    session.on_detached()
    assert session.on_command(11, _ICCID, 5.0, is_over_link=False) == Answer(b"\x61\x05", is_guess=True)
    session.on_attached()
    session.on_used(Used(10, 2))
    assert session.counts.hits == 2
    assert session.on_command(13, _READ, 5.3) == Run()


def test_reset_forgets_all_and_gives_what_is_to_be_learnt() -> None:
    session = _session(*_LEARNT)
    _busy(session)
    session.on_command(11, _ICCID, 0.3)
    assert session.on_reset() == tuple(map(symbol_of, (_MF, _ICCID)))
    assert session.next_step() is None
    assert session.on_command(1, _MF, 1.0) == Run()


def test_trial_that_is_refused_ends_guessing_there() -> None:
    session = AheadSession(
        Predictor([ContextModel([[symbol_of(c) for c in (bytes.fromhex("00a40004023f00"), _ICCID, _FETCH, _READ)]])]),
        round_trip=0.3,
    )
    first = bytes.fromhex("00a40004023f00")
    session.on_command(1, first, 0.0)
    session.on_response(1, first, _OK, 0.0)
    assert session.next_step() == Trial(_MF)
    assert session.on_step_done(b"\x6a\x86") is None
    assert session.next_step() is None
    assert session.on_command(2, _READ, 0.3) == Run()


def test_near_a_card_nothing_doubtful_is_guessed() -> None:
    session = AheadSession(Predictor([ContextModel([[symbol_of(command) for command in _LEARNT]])]), round_trip=0.0)
    session.on_command(1, _MF, 0.0)
    session.on_response(1, _MF, _OK, 0.0)
    assert session.next_step() is None


_OTHERS = tuple(bytes((0x00, 0xB2, number, 0x04, 0x10)) for number in range(1, 101))


def _play(session: AheadSession, first_tag: int, commands: Iterable[bytes], *, now: float, wait: float) -> float:
    """The modem sends these, none of which is guessed, and each comes so long after the answer before."""
    for tag, command in enumerate(commands, start=first_tag):
        now += wait
        assert session.on_command(tag, command, now) == Run()
        session.on_response(tag, command, _OK, now)
    return now


def test_next_to_its_card_nothing_is_guessed_however_sure() -> None:
    session = _session(*_LEARNT)
    now = _play(session, 11, [_MF] * 16, now=0.0, wait=NEAR_S / 2)
    assert not session.may_guess
    assert session.next_step() is None
    _play(session, 27, [_MF] * 16, now=now, wait=NEAR_S)
    assert session.may_guess


@pytest.mark.parametrize("count", [40, 90])
def test_modem_that_moves_away_is_found_again_in_what_was_learnt(count: int) -> None:
    """Of what it sent meanwhile, no more than two contexts are kept."""
    session = _session(_MF, *_OTHERS)
    now = _play(session, 11, _OTHERS[: count - 16], now=0.0, wait=0.0)
    assert session.next_step() is None
    _play(session, 200, _OTHERS[count - 16 : count], now=now, wait=0.2)
    assert _guess(session, b"\x6a\x83") == SentAhead(215, 1, _OTHERS[count], b"\x6a\x83")


def test_held_response_is_given_whether_or_not_anything_was_run_since() -> None:
    session = _authenticated()
    first = bytes.fromhex("00c0000002")
    assert session.on_command(12, first, 0.6) == Answer(b"AB\x61\x03")
    session.on_response(12, first, b"AB\x61\x03", 0.6)
    assert session.on_command(13, bytes.fromhex("00c0000003"), 0.9) == Answer(b"CDE" + _OK)

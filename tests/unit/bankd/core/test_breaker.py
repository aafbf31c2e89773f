# SPDX-License-Identifier: Apache-2.0
"""The breaker of a card position: when it opens, how long it waits, and what closes it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from remsim.bankd.core.actions import FaultKind
from remsim.bankd.core.breaker import DELAYS_S, JITTER, MAX_BUSY_DELAY_S, TRIPS_AFTER, SlotBreaker
from remsim.bankd.core.states import BREAKER_TRANSITIONS, BreakerEvent, BreakerState

#: Kinds of which a reader can be sick.
SICK = [kind for kind in FaultKind if kind is not FaultKind.BUSY]


def test_every_state_is_entered_and_left() -> None:
    rows = list(BREAKER_TRANSITIONS)
    assert {state for state, _event, _to in rows} == set(BreakerState)
    assert {to for _state, _event, to in rows} == set(BreakerState)
    assert {event for _state, event, _to in rows} == set(BreakerEvent)


def test_card_that_is_of_no_use_ends_a_probe_only() -> None:
    breaker = SlotBreaker(0)
    assert not breaker.on_unfit(FaultKind.PROTOCOL)
    for _ in range(TRIPS_AFTER):
        breaker.on_failure(FaultKind.MUTE, 10.0)
    assert not breaker.on_unfit(FaultKind.PROTOCOL)
    breaker.on_try()
    assert breaker.on_unfit(FaultKind.PROTOCOL)
    assert (breaker.state, breaker.fault, breaker.failures) == (BreakerState.OPEN, FaultKind.PROTOCOL, TRIPS_AFTER)


def test_it_opens_once_and_is_closed_by_an_answered_command_only() -> None:
    breaker = SlotBreaker(0)
    states = []
    assert [breaker.on_failure(FaultKind.MUTE, 10.0) for _ in range(TRIPS_AFTER)] == [False, False, True]
    states.append(breaker.state)
    breaker.on_try()
    states.append(breaker.state)
    assert not breaker.on_failure(FaultKind.MUTE, 20.0, was_in_service=True)
    states.append(breaker.state)
    assert states == [BreakerState.OPEN, BreakerState.PROBING, BreakerState.OPEN]
    breaker.on_try()
    breaker.on_try()
    assert breaker.on_answered()
    assert (breaker.state, breaker.failures, breaker.next_try, breaker.trips) == (BreakerState.CLOSED, 0, 0.0, 1)
    assert not breaker.on_answered()


def test_first_fault_of_a_command_costs_no_time() -> None:
    breaker = SlotBreaker(0)
    breaker.on_failure(FaultKind.TRANSMISSION, 10.0, was_in_service=True)
    assert breaker.next_try == 10.0
    breaker.on_failure(FaultKind.TRANSMISSION, 11.0, was_in_service=True)
    assert breaker.next_try > 12.0


def test_reader_that_another_program_holds_is_not_sick() -> None:
    breaker = SlotBreaker(0)
    for number in range(50):
        now = number * 100.0
        assert not breaker.on_failure(FaultKind.BUSY, now)
        assert breaker.next_try - now <= MAX_BUSY_DELAY_S * (1 + JITTER)
    assert breaker.state is BreakerState.CLOSED


def test_exchanged_card_is_tried_at_once() -> None:
    breaker = SlotBreaker(0)
    for _ in range(TRIPS_AFTER):
        breaker.on_failure(FaultKind.NO_READER, 10.0)
    assert breaker.on_exchange()
    assert (breaker.state, breaker.failures, breaker.next_try) == (BreakerState.CLOSED, 0, 0.0)


def test_readers_that_fail_together_are_tried_apart() -> None:
    breakers = [SlotBreaker(slot_nr) for slot_nr in range(16)]
    for _ in range(len(DELAYS_S)):
        for breaker in breakers:
            breaker.on_failure(FaultKind.MUTE, 0.0)
    times = sorted(breaker.next_try for breaker in breakers)
    assert all(later - earlier > 0.5 for earlier, later in pairwise(times))


@given(
    slot_nr=st.integers(0, 1023),
    happenings=st.lists(
        st.tuples(
            st.sampled_from(["fails", "fault", "answers", "exchanged"]), st.sampled_from(SICK), st.floats(0.0, 100.0)
        ),
        max_size=60,
    ),
)
def test_whatever_happens_attempts_are_bounded_and_trust_is_earned(
    slot_nr: int, happenings: list[tuple[str, FaultKind, float]]
) -> None:
    breaker, now, row, trips = SlotBreaker(slot_nr), 0.0, 0, 0
    for what, kind, later in happenings:
        now = max(now + later, breaker.next_try)
        was = breaker.state
        if what in ("fails", "fault"):
            breaker.on_try()
            row += 1
            opens = breaker.on_failure(kind, now, was_in_service=what == "fault")
            trips += opens
            assert opens == (row == TRIPS_AFTER)
            is_free = row == 1 and what == "fault"
            base = DELAYS_S[min(row, len(DELAYS_S)) - 1]
            wait_s = breaker.next_try - now
            assert wait_s == 0.0 if is_free else base * (1 - JITTER) - 1e-6 <= wait_s <= base * (1 + JITTER) + 1e-6
            assert (breaker.state is BreakerState.OPEN) == (row >= TRIPS_AFTER)
        else:
            breaker.on_try()
            closes = breaker.on_answered() if what == "answers" else breaker.on_exchange()
            assert closes == (was is not BreakerState.CLOSED)
            row = 0
            assert breaker.state is BreakerState.CLOSED
        assert (breaker.failures, breaker.trips) == (row, trips)

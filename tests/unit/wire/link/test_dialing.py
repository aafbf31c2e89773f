# SPDX-License-Identifier: Apache-2.0
"""When to dial, and when to dial again."""

import pytest

from remsim.core.state_machine import IllegalTransitionError
from remsim.wire.link.dialing import (
    CLASSIC_DIAL_STATE,
    DIAL_TRANSITIONS,
    TCP_TIMEOUT_S,
    Backoff,
    Dial,
    DialEvent,
    DialSchedule,
    DialState,
    HangUp,
)

HERE = Dial("bank.example", 9999)


def dialler(random: float = 1.0) -> DialSchedule:
    """A dialler whose jitter is fixed."""
    return DialSchedule(random=lambda: random)


def dialling(now: float = 0.0) -> DialSchedule:
    """A dialler in CONNECTING."""
    found = dialler()
    assert found.want("bank.example", 9999, now) == [HERE]
    return found


def in_service(now: float = 0.0) -> DialSchedule:
    """A dialler in CONNECTED."""
    found = dialling(now)
    assert found.on_tcp_up(now) == []
    assert found.on_accepted(now) == []
    return found


def in_state(state: DialState) -> DialSchedule:
    """A dialler in ``state``."""
    match state:
        case DialState.DISCONNECTED:
            return dialler()
        case DialState.CONNECTING:
            return dialling()
        case DialState.ESTABLISHED:
            found = dialling()
            found.on_tcp_up(0)
            return found
        case DialState.CONNECTED:
            return in_service()
        case DialState.BACKOFF:
            found = dialling()
            found.on_failed(0)
            return found


def happen(found: DialSchedule, event: DialEvent) -> None:
    """Let ``event`` happen at the time when it is due."""
    match event:
        case DialEvent.WANTED:
            found.want("other.example", 1, 0)
        case DialEvent.UNWANTED:
            found.unwant(0)
        case DialEvent.TCP_UP:
            found.on_tcp_up(0)
        case DialEvent.FAILED:
            found.on_failed(0)
        case DialEvent.ACCEPTED:
            found.on_accepted(0)
        case DialEvent.TIMER:
            found.handle_timer(found.next_deadline() or 0)


@pytest.mark.parametrize("event", DialEvent)
@pytest.mark.parametrize("state", DialState)
def test_state_follows_the_table(state: DialState, event: DialEvent) -> None:
    found = in_state(state)
    assert found.state is state
    if DIAL_TRANSITIONS.allows(state, event):
        happen(found, event)
        assert found.state is DIAL_TRANSITIONS.following(state, event)
    elif event is DialEvent.TIMER:
        # The timer of another state: the TCP attempt's limit, or none at all.
        happen(found, event)
        assert found.state is (DialState.BACKOFF if state is DialState.CONNECTING else state)
    else:
        with pytest.raises(IllegalTransitionError, match=f"'{event.value}' in state {state.value}"):
            happen(found, event)


def test_every_state_has_a_classic_name() -> None:
    assert set(CLASSIC_DIAL_STATE) == set(DialState)


def test_link_is_dialled_established_and_in_service() -> None:
    found = dialling(5.0)
    assert found.target == ("bank.example", 9999)
    assert found.next_deadline() == 5.0 + TCP_TIMEOUT_S
    found.on_tcp_up(5.1)
    assert found.next_deadline() is None
    found.on_accepted(5.2)
    assert found.state is DialState.CONNECTED
    assert found.next_deadline() is None


def test_refused_connection_is_tried_again_at_once_then_ever_later() -> None:
    # known-limits.md 64: refused is an answer; no waiting for the end of the connect deadline.
    found, now, delays = dialling(), 0.0, []
    for _ in range(10):
        found.on_failed(now)
        due = found.next_deadline()
        assert due is not None
        delays.append(due - now)
        now = due
        assert found.handle_timer(now) == [HERE]
    assert delays == [0, 0.25, 0.5, 1, 2, 4, 8, 16, 16, 16]


def test_delays_have_a_random_part() -> None:
    backoff = Backoff(first_s=1, most_s=8)
    assert [backoff.delay_s(n, 0.0) for n in (0, 1, 2, 3, 5, 1000)] == [0, 0, 0.5, 1, 4, 4]
    assert [backoff.delay_s(n, 1.0) for n in (0, 1, 2, 3, 5, 1000)] == [0, 0, 1, 2, 8, 8]


def test_back_off_of_the_caller_is_used() -> None:
    found = DialSchedule(random=lambda: 1.0, backoff=Backoff(first_s=3, most_s=3))
    found.want("bank.example", 9999, 0)
    found.on_failed(0)
    found.handle_timer(0)
    found.on_failed(0)
    assert found.next_deadline() == 3


def test_attempt_that_gets_no_answer_is_given_up() -> None:
    found = dialling()
    assert found.handle_timer(TCP_TIMEOUT_S - 0.1) == []
    hang_up, *others = found.handle_timer(TCP_TIMEOUT_S)
    assert isinstance(hang_up, HangUp)
    assert "no TCP connection within 10 s" in hang_up.reason
    assert others == []
    assert found.state is DialState.BACKOFF


def test_timer_without_a_deadline_does_nothing() -> None:
    assert dialler().handle_timer(99) == []
    assert in_service().handle_timer(99) == []


@pytest.mark.parametrize(("served_s", "failures"), [(32.0, 1), (31.9, 4)])
def test_delays_start_again_after_a_link_that_was_stable(served_s: float, failures: int) -> None:
    found = dialling()
    for _ in range(3):
        found.on_failed(0)
        found.handle_timer(found.next_deadline() or 0)
    now = 100.0
    found.on_tcp_up(now)
    found.on_accepted(now)
    found.on_failed(now + served_s)
    assert found.failures == failures


def test_link_that_was_never_accepted_is_not_stable() -> None:
    found = dialling()
    found.on_tcp_up(0)
    found.on_failed(100)
    found.handle_timer(100)
    found.on_failed(200)
    assert found.failures == 2


@pytest.mark.parametrize("state", [DialState.CONNECTING, DialState.ESTABLISHED, DialState.CONNECTED])
def test_new_target_drops_what_is_there(state: DialState) -> None:
    found = in_state(state)
    assert found.want("other.example", 1, 0) == [HangUp("another target"), Dial("other.example", 1)]


@pytest.mark.parametrize("state", [DialState.CONNECTING, DialState.ESTABLISHED, DialState.CONNECTED])
def test_unwanted_link_is_hung_up(state: DialState) -> None:
    found = in_state(state)
    assert found.unwant(0) == [HangUp("not wanted any more")]
    assert found.target is None
    assert found.next_deadline() is None


def test_new_target_during_the_delay_is_dialled_at_once_with_fresh_delays() -> None:
    found = in_state(DialState.BACKOFF)
    assert found.want("other.example", 1, 0) == [Dial("other.example", 1)]
    assert found.failures == 0


@pytest.mark.parametrize("state", [DialState.DISCONNECTED, DialState.BACKOFF])
def test_unwanted_while_idle_needs_no_hanging_up(state: DialState) -> None:
    found = in_state(state)
    assert found.unwant(0) == []
    assert found.state is DialState.DISCONNECTED


@pytest.mark.parametrize(
    ("served_s", "has_answered", "failures"),
    [(0.5, False, 1), (0.4, False, 4), (0.4, True, 1), (0.0, True, 1)],
)
def test_link_that_was_of_use_is_dialled_again_at_once_unless_it_lived_for_a_moment_only(
    served_s: float, has_answered: bool, failures: int
) -> None:
    found = dialling()
    for _ in range(3):
        found.on_failed(0)
        found.handle_timer(found.next_deadline() or 0)
    now = 100.0
    found.on_tcp_up(now)
    found.on_accepted(now)
    found.on_use(now + served_s, has_answered=has_answered)
    found.on_failed(now + served_s)
    assert found.failures == failures


@pytest.mark.parametrize("has_answered", [True, False])
def test_links_that_are_cut_again_and_again_are_dialled_at_once_as_long_as_they_bring_answers(
    has_answered: bool,
) -> None:
    found, now, delays = dialling(), 0.0, []
    for _ in range(100):
        found.on_tcp_up(now)
        found.on_accepted(now)
        now += 0.4
        found.on_use(now, has_answered=has_answered)
        found.on_failed(now)
        due = found.next_deadline()
        assert due is not None
        delays.append(due - now)
        now = due
        assert found.handle_timer(now) == [HERE]
    assert delays[:4] == pytest.approx([0.0] * 4 if has_answered else [0.0, 0.25, 0.5, 1.0])
    assert max(delays) == pytest.approx(0.0 if has_answered else 16.0)


def test_link_that_was_never_accepted_was_of_no_use() -> None:
    found = dialling()
    found.on_failed(0)
    found.on_use(100, has_answered=True)
    assert found.failures == 1

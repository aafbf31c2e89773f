# SPDX-License-Identifier: Apache-2.0
"""When to send PING, and when a peer counts as dead."""

import pytest

from remsim.wire.link.keep_alive import KeepAliveTimes, LivenessMonitor, PeerSilent, SendPing

TIMES = KeepAliveTimes(interval_s=30.0, timeout_s=10.0, first_after_s=5.0)


def waiting(now: float = 5.0) -> LivenessMonitor:
    """A monitor whose first PING went out at ``now``."""
    monitor = LivenessMonitor(TIMES, now - 5.0)
    assert monitor.next_deadline() == now
    assert monitor.handle_timer(now - 0.1) is None
    assert monitor.handle_timer(now) == SendPing()
    return monitor


def test_pong_puts_the_next_ping_off() -> None:
    monitor = waiting()
    assert monitor.next_deadline() == 15.0
    assert not monitor.on_pong(6.0)
    assert monitor.next_deadline() == 36.0
    assert monitor.handle_timer(36.0) == SendPing()


def test_round_trip_is_told_once_and_not_beside_a_probe() -> None:
    monitor = waiting()
    assert monitor.take_round_trip() is None
    monitor.on_pong(5.25)
    assert monitor.take_round_trip() == 0.25
    assert monitor.take_round_trip() is None
    # One that nobody waits for.
    monitor.on_pong(6.0)
    assert monitor.take_round_trip() is None
    monitor.handle_timer(35.25)
    monitor.probe(35.5, 1.0)
    assert monitor.on_pong(35.75)
    assert monitor.take_round_trip() is None


def test_peer_that_gives_no_pong_is_silent() -> None:
    monitor = waiting()
    assert monitor.handle_timer(14.9) is None
    assert monitor.handle_timer(15.0) == PeerSilent("no PONG within 10 s")


def test_busy_peer_may_be_silent_for_so_long() -> None:
    monitor = waiting()
    assert monitor.handle_timer(15.0, busy_until=60.0) is None
    assert monitor.next_deadline() == 60.0
    assert monitor.handle_timer(60.0, busy_until=60.0) == PeerSilent("no PONG within 10 s")


def test_answer_of_a_busy_peer_makes_the_pong_due_as_usual() -> None:
    monitor = waiting()
    monitor.handle_timer(15.0, busy_until=60.0)
    monitor.on_command_answered(20.0)
    assert monitor.next_deadline() == 30.0
    monitor.on_command_answered(25.0)
    assert monitor.next_deadline() == 30.0, "it is never put off"


def test_answer_without_a_ping_changes_nothing() -> None:
    monitor = LivenessMonitor(TIMES, 0.0)
    monitor.on_command_answered(1.0)
    assert monitor.next_deadline() == 5.0


def test_probe_has_a_limit_of_its_own_that_another_one_does_not_put_off() -> None:
    monitor = LivenessMonitor(TIMES, 0.0)
    monitor.probe(0.0, 2.0)
    monitor.probe(1.0, 2.0)
    assert monitor.next_deadline() == 2.0
    monitor.probe(1.0, 0.5)
    assert monitor.handle_timer(1.5) == PeerSilent("the peer did not answer a probe")


def test_pong_answers_a_probe_once() -> None:
    monitor = LivenessMonitor(TIMES, 0.0)
    monitor.probe(0.0, 2.0)
    assert monitor.on_pong(1.0)
    assert not monitor.on_pong(1.0)
    assert monitor.next_deadline() == 5.0


@pytest.mark.parametrize(("at", "is_asked", "due"), [(1.0, False, 3.0), (5.0, True, 8.0)])
def test_other_times_make_what_is_due_due_earlier(at: float, is_asked: bool, due: float) -> None:
    monitor = LivenessMonitor(TIMES, 0.0)
    assert monitor.dead_after_s == TIMES.interval_s + TIMES.timeout_s
    assert (monitor.handle_timer(at) is not None) is is_asked
    monitor.change(KeepAliveTimes(2.0, 3.0), at)
    assert monitor.next_deadline() == due
    assert monitor.dead_after_s == 5.0


def test_other_times_put_nothing_off() -> None:
    monitor = LivenessMonitor(KeepAliveTimes(2.0, 3.0, first_after_s=2.0), 0.0)
    monitor.change(KeepAliveTimes(30.0, 10.0), 1.0)
    assert monitor.next_deadline() == 2.0

# SPDX-License-Identifier: Apache-2.0
"""What links may give us to read, on a clock that the test moves."""

from collections.abc import Iterator

import pytest

from remsim.net.allowance import ACCEPTED_RATE, FIRST_RATE, Allowance, Rate
from remsim.net.link import FIRST_PIECE_BYTES
from remsim.wire import ccm

PING = len(ccm.PING)
PINGS_OF_A_PIECE = FIRST_PIECE_BYTES // PING


def times(rate: Rate, until: float) -> Iterator[float]:
    """When a link that always has more is read a piece of PINGs from."""
    allowance, now = Allowance(rate), 0.0
    while now < until:
        yield now
        now += allowance.spend(FIRST_PIECE_BYTES, PINGS_OF_A_PIECE, now)


def test_ten_flooding_links_that_nobody_knows_get_few_turns() -> None:
    turns = [sum(1 for _ in times(FIRST_RATE, 10.0)) for _ in range(10)]
    assert turns == [3] * 10  # one at once, and one in each eight seconds: without the limit there is no end
    cost = PINGS_OF_A_PIECE * (PING + FIRST_RATE.frame_cost)
    assert sum(turns) * cost <= 10 * (FIRST_RATE.burst + 10 * FIRST_RATE.per_second + cost)


def test_flood_of_small_pieces_is_no_cheaper() -> None:
    allowance, now, pings = Allowance(FIRST_RATE), 0.0, 0
    while now < 10.0:
        pings += 1
        now += allowance.spend(PING, 1, now)
    assert pings == pytest.approx(
        (FIRST_RATE.burst + 10 * FIRST_RATE.per_second) / (PING + FIRST_RATE.frame_cost), abs=2
    )


@pytest.mark.parametrize("rate", [FIRST_RATE, ACCEPTED_RATE])
def test_who_paused_as_told_has_paid(rate: Rate) -> None:
    allowance = Allowance(rate)
    assert allowance.spend(rate.burst, 0, 5.0) == 0.0
    pause_s = allowance.spend(0, 10, 5.0)
    assert pause_s == 10 * rate.frame_cost / rate.per_second
    assert allowance.spend(0, 0, 5.0 + pause_s) == 0.0
    assert allowance.spend(1, 0, 5.0 + pause_s) == pytest.approx(1 / rate.per_second)


def test_a_quiet_link_saves_one_burst_only() -> None:
    allowance = Allowance(FIRST_RATE)
    assert allowance.spend(FIRST_RATE.burst, 0, 1e6) == 0.0
    assert allowance.spend(1, 0, 1e6) > 0.0


def test_introductions_and_busy_cards_never_wait() -> None:
    peer = Allowance(FIRST_RATE)
    assert not any(peer.spend(200, 1, 0.01 * number) for number in range(100))
    accepted = Allowance(ACCEPTED_RATE)
    assert not any(accepted.spend(320, 1, number / 10_000) for number in range(100_000))  # ten seconds


def test_acceptance_forgives_what_is_owed() -> None:
    allowance = Allowance(FIRST_RATE)
    assert allowance.spend(2 * FIRST_RATE.burst, 0, 0.0) > 1.0
    allowance.widen(ACCEPTED_RATE)
    assert allowance.spend(ACCEPTED_RATE.burst, 0, 0.0) == 0.0

# SPDX-License-Identifier: Apache-2.0
"""Which time an authority signs with while clocks jump."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.pki.clock import (
    MAX_GAP_S,
    SETTLE_S,
    TOLERANCE_S,
    Dates,
    Record,
    SteadyTime,
    check_dates,
    is_from_future,
)
from remsim.pki.facts import CertificateFacts, RevocationFacts

DAY_S = 86400.0
NOW = 1_800_000_000.0


class Walk:
    """A process whose clocks go on; the system's can be set."""

    def __init__(self, record: Record | None = None, *, wall: float = NOW) -> None:
        self.time = SteadyTime(record)
        self.wall, self.steady = wall, 1000.0

    def read(self, after: float = 0.0, *, jump: float = 0.0) -> Dates:
        """Both clocks go on, and somebody sets one of them."""
        self.wall += after + jump
        self.steady += after
        return self.time.read(self.wall, self.steady)


def test_clock_that_goes_on_is_followed() -> None:
    walk = Walk()
    assert [walk.read(after) for after in (0, 5, 3600, 40 * DAY_S)] == [
        Dates(now, now) for now in (NOW, NOW + 5, NOW + 3605, NOW + 3605 + 40 * DAY_S)
    ]


def test_clock_that_is_set_a_little_is_followed() -> None:
    walk = Walk()
    walk.read()
    assert walk.read(5, jump=TOLERANCE_S) == Dates(NOW + 305, NOW + 305)
    assert walk.read(5, jump=-TOLERANCE_S) == Dates(NOW + 10, NOW + 10)


@pytest.mark.parametrize("jump", [70 * DAY_S, -70 * DAY_S, 3600.0, -NOW])
def test_jump_for_ten_seconds_dates_nothing(jump: float) -> None:
    walk = Walk()
    walk.read()
    assert walk.read(5, jump=jump) == Dates(NOW + 5, NOW + 5, is_doubtful=True)
    assert walk.read(5) == Dates(NOW + 10, NOW + 10, is_doubtful=True)
    assert walk.read(5, jump=-jump) == Dates(NOW + 15, NOW + 15)


@pytest.mark.parametrize("jump", [70 * DAY_S, -70 * DAY_S])
def test_clock_that_stays_where_it_was_set_is_believed_after_an_hour(jump: float) -> None:
    walk = Walk()
    walk.read()
    assert walk.read(jump=jump).is_doubtful
    assert walk.read(SETTLE_S - 1).is_doubtful
    assert walk.read(1) == Dates(walk.wall, walk.wall)
    assert not walk.read(5).is_doubtful


def test_clock_that_jumps_again_and_again_is_not_believed() -> None:
    walk = Walk()
    walk.read()
    assert all(walk.read(600, jump=DAY_S).is_doubtful for _ in range(20))
    assert walk.read() == Dates(NOW + 12000, NOW + 12000, is_doubtful=True)


class TestNextProcess:
    def test_host_that_was_off_for_a_while_is_believed(self) -> None:
        assert Walk(Record(NOW - MAX_GAP_S)).read() == Dates(NOW, NOW)

    def test_longer_gap_is_dated_from_the_last_good_time_and_lasts_from_now(self) -> None:
        walk = Walk(Record(NOW - 70 * DAY_S))
        assert walk.read() == Dates(NOW - 70 * DAY_S, NOW, is_doubtful=True)
        assert walk.read(SETTLE_S) == Dates(NOW + SETTLE_S, NOW + SETTLE_S)

    def test_clock_behind_the_last_good_time_is_not_believed(self) -> None:
        walk = Walk(Record(NOW), wall=1000.0)
        assert walk.read() == Dates(NOW, NOW, is_doubtful=True)
        assert walk.read(60) == Dates(NOW + 60, NOW + 60, is_doubtful=True)
        assert walk.read(jump=NOW + 60 - walk.wall) == Dates(NOW + 60, NOW + 60)

    def test_what_one_process_doubted_the_next_believes_after_an_hour(self) -> None:
        first = Walk(Record(NOW - 70 * DAY_S))
        assert first.read().is_doubtful
        assert first.time.record == Record(NOW - 70 * DAY_S, NOW)
        assert Walk(first.time.record, wall=NOW + SETTLE_S - 1).read().is_doubtful
        assert Walk(first.time.record, wall=NOW + SETTLE_S).read() == Dates(NOW + SETTLE_S, NOW + SETTLE_S)
        later = NOW + 30 * DAY_S
        assert Walk(first.time.record, wall=later).read() == Dates(NOW, later, is_doubtful=True)

    def test_nothing_is_kept_before_the_first_reading(self) -> None:
        assert SteadyTime().record is None
        assert SteadyTime(Record(NOW)).record == Record(NOW)


def _is_jump(by: float) -> bool:
    return abs(by) > 2 * TOLERANCE_S


@given(st.lists(st.tuples(st.floats(0, 1800), st.floats(-200 * DAY_S, 200 * DAY_S).filter(_is_jump)), max_size=20))
def test_no_date_is_ahead_of_a_clock_that_was_right_at_the_start(steps: list[tuple[float, float]]) -> None:
    """Each jump is taken back before an hour has passed."""
    walk = Walk()
    walk.read()
    truth = NOW
    for after, jump in steps:
        truth += after
        dates = walk.read(after, jump=jump)
        assert dates.begins <= truth + TOLERANCE_S
        assert walk.read(jump=-jump).begins == pytest.approx(truth)


def moment(seconds: float) -> datetime:
    """As certificates have it."""
    return datetime.fromtimestamp(seconds, UTC)


class TestFindings:
    LIST = RevocationFacts(1, moment(NOW), frozenset(), b"")
    CERTIFICATE = CertificateFacts(
        1,
        None,
        moment(NOW - DAY_S),
        moment(NOW + 400 * DAY_S),
        is_authority=False,
        public_key=b"",
        issuer=b"",
        subject=b"",
    )

    def test_dates_in_order_are_nothing_to_tell(self) -> None:
        found = check_dates(
            NOW, record=Record(NOW), revocations=self.LIST, certificate=self.CERTIFICATE, authority=self.CERTIFICATE
        )
        assert found == []
        assert check_dates(NOW) == []
        assert not is_from_future(moment(NOW + TOLERANCE_S), NOW)

    @pytest.mark.parametrize(
        ("now", "what", "said"),
        [
            (NOW - DAY_S, "record", "the clock says 2027-01-14 08:00 UTC, but 2027-01-15 08:00 UTC has been already"),
            (NOW - 70 * DAY_S, "revocations", "the revocation list is of 2027-01-15 08:00 UTC, which is to come"),
            (NOW - 70 * DAY_S, "certificate", "is not valid before 2027-01-14 08:00 UTC"),
            (NOW + 401 * DAY_S, "certificate", "expired on 2028-02-19 08:00 UTC"),
            (NOW - 70 * DAY_S, "authority", "the authority begins on 2027-01-14 08:00 UTC"),
            (NOW + 300 * DAY_S, "authority", "the authority ends on 2028-02-19 08:00 UTC"),
            (NOW + 401 * DAY_S, "authority", "the authority ended on 2028-02-19 08:00 UTC"),
        ],
    )
    def test_each_fault_is_told_with_a_hint(self, now: float, what: str, said: str) -> None:
        (finding,) = check_dates(
            now,
            record=Record(NOW) if what == "record" else None,
            revocations=self.LIST if what == "revocations" else None,
            certificate=replace(self.CERTIFICATE) if what == "certificate" else None,
            authority=self.CERTIFICATE if what == "authority" else None,
        )
        assert said in finding.text
        assert finding.hint

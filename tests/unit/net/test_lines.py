# SPDX-License-Identifier: Apache-2.0
"""How many lines strangers may cause."""

from remsim.limits import LimitCounts, LimitName
from remsim.net.lines import EVENT_LINES, STRANGER_INTERVAL_S, STRANGER_LINES, LineBudget
from tests.doubles.noted_log import NotedLog
from tests.doubles.reaching import reaches


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@reaches(LimitName.LOG_LINES)
async def test_flood_of_strangers_is_told_of_once_and_then_at_debug_level_only() -> None:
    log, counts, clock = NotedLog(), LimitCounts(), Clock()
    lines = LineBudget(log.logger, counts, strangers={"peer_refused"}, now=clock)
    assert {lines.level("peer_refused", "warning") for _ in range(STRANGER_LINES)} == {"warning"}
    assert {lines.level("peer_refused", "warning") for _ in range(50)} == {"debug"}
    assert lines.level("peer_lost", "info") == "info"
    assert counts[LimitName.LOG_LINES] == 50
    told = await log.next("limit_reached")
    assert (told["limit"], told["about"]) == ("log_lines", "peer_refused")
    assert log.is_empty()
    clock.now = STRANGER_INTERVAL_S
    assert lines.level("peer_refused", "warning") == "warning"
    assert lines.level("peer_refused", "warning") == "debug"
    assert log.is_empty()
    clock.now = STRANGER_LINES * STRANGER_INTERVAL_S
    for _ in range(STRANGER_LINES + 1):
        lines.level("peer_refused", "warning")
    await log.next("limit_reached")


def test_visitors_have_a_larger_budget_and_other_events_none() -> None:
    log, counts = NotedLog(), LimitCounts()
    lines = LineBudget(log.logger, counts, strangers=set(), now=Clock())
    assert {lines.level("peer_lost", "info") for _ in range(EVENT_LINES)} == {"info"}
    assert lines.level("peer_lost", "info") == "debug"
    assert lines.level("peer_lost", "debug") == "debug"
    assert counts[LimitName.LOG_LINES] == 1
    assert lines.level("mapping_created", "info") == "info"

# SPDX-License-Identifier: Apache-2.0
"""How many lines peers may cause."""

import asyncio

import pytest

from remsim.core.episode import RECURRENCES
from remsim.core.limits import LimitCounts, LimitName
from remsim.net.log_limiter import (
    EVENT_LINES,
    UNAUTHENTICATED_INTERVAL_S,
    UNAUTHENTICATED_LINES,
    LogRateLimiter,
    subject_of,
)
from tests.doubles.noted_log import NotedLog
from tests.doubles.reaching import reaches


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@reaches(LimitName.LOG_LINES)
async def test_flood_of_unauthenticated_peers_is_told_of_once_and_then_at_debug_level_only() -> None:
    log, counts, clock = NotedLog(), LimitCounts(), Clock()
    lines = LogRateLimiter(log.logger, counts, unauthenticated={"peer_refused"}, now=clock)
    assert {lines.level("peer_refused", "warning") for _ in range(UNAUTHENTICATED_LINES)} == {"warning"}
    assert {lines.level("peer_refused", "warning") for _ in range(50)} == {"debug"}
    assert lines.level("peer_lost", "info") == "info"
    assert counts[LimitName.LOG_LINES] == 50
    told = await log.next("limit_reached")
    assert (told["limit"], told["about"]) == ("log_lines", "peer_refused")
    assert log.is_empty()
    clock.now = UNAUTHENTICATED_INTERVAL_S
    assert lines.level("peer_refused", "warning") == "warning"
    assert lines.level("peer_refused", "warning") == "debug"
    assert log.is_empty()
    clock.now = UNAUTHENTICATED_LINES * UNAUTHENTICATED_INTERVAL_S
    for _ in range(UNAUTHENTICATED_LINES + 1):
        lines.level("peer_refused", "warning")
    await log.next("limit_reached")


def test_other_events_have_a_larger_budget_each() -> None:
    log, counts = NotedLog(), LimitCounts()
    lines = LogRateLimiter(log.logger, counts, now=Clock())
    assert {lines.level("peer_lost", "info") for _ in range(EVENT_LINES)} == {"info"}
    assert lines.level("peer_lost", "info") == "debug"
    assert lines.level("peer_lost", "debug") == "debug"
    assert counts[LimitName.LOG_LINES] == 1
    assert lines.level("mapping_created", "info") == "info"


@reaches(LimitName.RECURRING_LINES)
async def test_peer_that_comes_again_and_again_is_told_of_when_it_begins_and_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remsim.core.episode.QUIET_S", 0.05)
    log, counts = NotedLog(), LimitCounts()
    lines = LogRateLimiter(log.logger, counts, now=asyncio.get_running_loop().time)
    fields = {"client_slot": "C1:0", "peer": "192.0.2.1:1000"}
    said = [lines.level("client_gone", "info", fields) for _ in range(RECURRENCES + 100)]
    assert said == ["info"] * RECURRENCES + ["debug"] * 100
    assert lines.level("client_gone", "info", {"client_slot": "C2:0"}) == "info", "its neighbour is heard"
    assert lines.level("card_in_service", "info", fields) == "info", "so is another event of its own"
    assert lines.level("client_gone", "error", fields) == "error"
    begins = await log.next("lines_recur")
    assert (begins["about"], begins["event_name"]) == ("client_slot C1:0", "client_gone")
    ended = await log.next("lines_recurred")
    assert ended["about"] == "client_slot C1:0"
    assert ended["events"] == f"client_gone {RECURRENCES + 100}, card_in_service 1"
    assert ended["held_back"] == counts[LimitName.RECURRING_LINES] == 100
    assert lines.level("client_gone", "info", fields) == "info", "it may begin anew"
    assert log.is_empty()
    lines.close()


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        ({"client_slot": "C1:0", "peer": "192.0.2.1:5"}, ("client_slot", "C1:0")),
        ({"client_slot": None, "claims": "C1:0"}, ("claims", "C1:0")),
        ({"peer": "192.0.2.1:5", "reason": "x"}, ("peer", "192.0.2.1")),
        ({"peer": "[2001:db8::1]:5"}, ("peer", "[2001:db8::1]")),
        ({"peer": "192.0.2.1"}, ("peer", "192.0.2.1")),
        ({"peer": "server lab:9998"}, ("peer", "server lab")),
        ({"reason": "x"}, None),
    ],
)
def test_line_is_about_a_slot_or_bank_or_else_a_host(fields: dict[str, object], subject: object) -> None:
    assert subject_of(fields) == subject

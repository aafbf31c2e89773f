# SPDX-License-Identifier: Apache-2.0
"""The feed of events: what is kept, in which bounds, and from where a reader goes on."""

import json

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.logs import presentable
from remsim.server.core.event_feed import EventFeed


def created(nr: int) -> LogEvent:
    return LogEvent("info", "mapping_created", BankSlot(1, nr), ClientSlot(7, nr))


def test_events_have_numbers_from_which_a_reader_goes_on() -> None:
    feed = EventFeed(presentable)
    for nr in range(5):
        assert feed.on_event(created(nr), 1.5)
    assert [event.number for event in feed.after(2, 10)] == [3, 4, 5]
    assert [event.number for event in feed.after(0, 2)] == [1, 2]
    assert feed.after(5, 10) == []
    assert json.loads(feed.after(4, 1)[0].text) == {
        "at": "1970-01-01T00:00:01.500Z",
        "kind": "mapping_created",
        "level": "info",
        "bank_slot": "B1:4",
        "client_slot": "C7:4",
        "data": {},
    }


@pytest.mark.parametrize(("most", "most_bytes"), [(3, 1 << 20), (100, 420)])
def test_oldest_go_when_there_are_too_many_or_they_are_too_long(most: int, most_bytes: int) -> None:
    feed = EventFeed(presentable, most=most, most_bytes=most_bytes)
    for nr in range(10):
        feed.on_event(created(nr), 0)
    assert len(feed) == 3
    assert (feed.first, feed.last) == (8, 10)
    assert [event.number for event in feed.after(0, 99)] == [8, 9, 10]
    assert [feed.is_lost(number) for number in (0, 6, 7, 10, 11)] == [True, True, False, False, True]


def test_event_that_is_too_long_is_kept_without_its_data() -> None:
    feed = EventFeed(presentable)
    feed.on_event(LogEvent("warning", "peer_reports_error", BankSlot(1, 0), fields={"text": "x" * 5000}), 0)
    (event,) = feed.after(0, 9)
    assert json.loads(event.text)["data"] == {}
    assert event.banks == (1,)


def test_what_is_for_the_log_only_is_not_kept() -> None:
    feed = EventFeed(presentable)
    assert not feed.on_event(LogEvent("warning", "token_refused"), 0)
    assert not feed.on_event(LogEvent("debug", "peer_lost", fields={"peer": "192.0.2.1:5"}), 0)
    assert feed.on_event(LogEvent("info", "peer_lost", fields={"peer": "192.0.2.1:5", "bank": 0}), 0)


def test_all_that_an_event_is_about_is_known() -> None:
    feed = EventFeed(presentable)
    fields = {"bank": 3, "about_bank_slot": BankSlot(4, 0), "about_client_slot": ClientSlot(9, 0)}
    feed.on_event(LogEvent("warning", "peer_reports_error", client_slot=ClientSlot(8, 0), fields=fields), 0)
    (event,) = feed.after(0, 9)
    assert (sorted(event.banks), sorted(event.clients)) == ([3, 4], [8, 9])


def test_numbers_of_cards_are_shortened() -> None:
    feed = EventFeed(presentable)
    feed.on_event(LogEvent("info", "card_number", BankSlot(1, 0), fields={"iccid": "8900101234567890018"}), 0)
    assert "8900101234567890018" not in feed.after(0, 9)[0].text

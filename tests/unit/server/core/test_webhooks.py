# SPDX-License-Identifier: Apache-2.0
"""Webhooks without network: whom an event concerns, order, repetition, bounds, addresses and signatures."""

from ipaddress import ip_address, ip_network

import pytest

from remsim.core.limits import LimitCounts, LimitName
from remsim.server.core import webhooks as module
from remsim.server.core.actions import StoredDelivery, StoredWebhook
from remsim.server.core.event_feed import FeedEvent
from remsim.server.core.tokens import EVERYTHING, Scope
from remsim.server.core.webhooks import (
    FIRST_DELAY_S,
    LIFE_S,
    MOST_DELAY_S,
    WebhookError,
    Webhooks,
    check_url,
    delay_s,
    is_allowed,
    signature,
)

URL = "https://example.org/remsim"


def event(number: int, kind: str = "card_gone", banks: tuple[int, ...] = (1,)) -> FeedEvent:
    return FeedEvent(number, kind, "{}", banks, ())


def table(*, kinds: frozenset[str] | None = None, scope: Scope = EVERYTHING) -> tuple[Webhooks, module.WebhookQueue]:
    hooks = Webhooks([], [], LimitCounts())
    return hooks, hooks.add(hooks.plan(URL, "s" * 16, kinds, scope, "test", 0.0))


def test_an_event_waits_for_those_that_want_it_and_may_see_it() -> None:
    hooks, queue = table(kinds=frozenset({"card_gone"}), scope=Scope(frozenset({1}), None))
    for number, (kind, bank) in enumerate([("card_gone", 1), ("card_gone", 2), ("card_number", 1)], start=1):
        hooks.on_event(event(number, kind, (bank,)), f'{{"id":"{number}"}}', 10.0)
    hooks.on_event(event(4, banks=()), "{}", 10.0)
    assert [delivery.body for delivery in queue.pending] == ['{"id":"1"}']


def test_the_order_is_kept_while_the_head_is_tried_again() -> None:
    hooks, queue = table()
    for number in (1, 2):
        hooks.on_event(event(number), str(number), 100.0)
    wall, sent = 100.0, []
    for error in ("HTTP 503", "HTTP 503", "", ""):
        assert queue.due is not None
        wall = max(wall, queue.due)
        sent.append((queue.pending[0].body, round(wall - 100.0, 3)))
        hooks.on_result(queue, queue.pending[0], error, wall)
    assert sent == [("1", 0.0), ("1", FIRST_DELAY_S), ("1", 3 * FIRST_DELAY_S), ("2", 3 * FIRST_DELAY_S)]
    assert [(each.is_delivered, each.attempts, each.outcome) for each in queue.ended] == [
        (True, 3, "delivered"),
        (True, 1, "delivered"),
    ]
    assert queue.due is None


def test_clock_that_is_set_back_by_years_delays_nothing() -> None:
    """As on a host without a clock of its own, which is told the time after the first tries."""
    hooks, queue = table()
    assert queue.patience_s(0.0) is None
    ahead, true = 4_000_000_000.0, 1_800_000_000.0
    hooks.on_event(event(1), "1", ahead)
    assert queue.patience_s(ahead) == -ahead
    hooks.on_result(queue, queue.pending[0], "HTTP 503", ahead)
    assert queue.patience_s(ahead) == FIRST_DELAY_S
    assert queue.patience_s(true) == 0.0
    hooks.on_result(queue, queue.pending[0], "HTTP 503", true)
    assert queue.patience_s(true + 1.0) == 2 * FIRST_DELAY_S - 1.0


def test_delays_grow_and_it_is_given_up_after_a_day() -> None:
    assert [delay_s(number) for number in (1, 2, 3, 12, 13, 1000)] == [1, 2, 4, 2048, MOST_DELAY_S, MOST_DELAY_S]
    hooks, queue = table()
    hooks.on_event(event(1), "1", 0.0)
    tries = 0
    while queue.due is not None:
        tries += 1
        hooks.on_result(queue, queue.pending[0], "HTTP 500", queue.due)
        assert tries < 100
    (ended,) = queue.ended
    assert (ended.is_delivered, ended.outcome, ended.attempts) == (False, "given up: HTTP 500", tries)
    assert ended.ended_at is not None
    assert LIFE_S <= ended.ended_at < LIFE_S + 2 * MOST_DELAY_S
    assert 24 < tries < 50


def test_the_oldest_is_dropped_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 2)
    limits = LimitCounts()
    hooks = Webhooks([], [], limits)
    queue = hooks.add(hooks.plan(URL, "s" * 16, None, EVERYTHING, "test", 0.0))
    for number in range(1, 4):
        hooks.on_event(event(number), str(number), 0.0)
    assert [delivery.body for delivery in queue.pending] == ["2", "3"]
    assert [(delivery.body, delivery.outcome) for delivery in queue.ended] == [("1", "dropped: too many wait")]
    assert limits[LimitName.WEBHOOK_QUEUE] == 1
    # What was just on its way when it was dropped changes nothing.
    dropped = queue.ended[0]
    assert hooks.on_result(queue, dropped, "", 1.0) == module.Changed()


def test_only_some_of_what_ended_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENDED", 1)
    hooks, queue = table()
    forgotten: list[int] = []
    for number in range(1, 4):
        hooks.on_event(event(number), str(number), 0.0)
        forgotten += hooks.on_result(queue, queue.pending[0], "", 0.0).forgotten
    assert ([each.number for each in queue.ended], forgotten) == ([3], [1, 2])


def test_what_waits_is_there_after_a_restart() -> None:
    hook = StoredWebhook(4, URL, "s" * 16, None, None, None, "test", 0.0)
    stored = [
        StoredDelivery(7, 4, "card_gone", "7", 0.0, 1, 5.0, 5.0, is_delivered=True, outcome="delivered"),
        StoredDelivery(8, 4, "card_gone", "8", 1.0, 3, 9.0, outcome="HTTP 500"),
        StoredDelivery(9, 4, "card_gone", "9", 2.0),
    ]
    hooks = Webhooks([hook], stored, LimitCounts())
    queue = hooks.get(4)
    assert queue is not None
    assert ([each.body for each in queue.pending], [each.body for each in queue.ended]) == (["8", "9"], ["7"])
    assert queue.due == 9.0 + delay_s(3)
    hooks.on_event(event(1), "10", 3.0)
    assert queue.pending[-1].number == 10
    assert hooks.plan(URL, "s" * 16, None, EVERYTHING, "test", 0.0).number == 5


def test_there_are_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WEBHOOKS", 1)
    hooks, _ = table()
    with pytest.raises(WebhookError) as caught:
        hooks.plan(URL, "s" * 16, None, EVERYTHING, "test", 0.0)
    assert caught.value.limit is LimitName.WEBHOOKS


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://h/", "https://", "https://h:0/", "https://h:x/", "https://u:p@h/", "https://u@h/", "https://h/#x"),
        *("https://h/ x", "https://h/\n", "https://hä/", "//h", "h", f"https://h/{'x' * 3000}", "https://[::1/"),
    ],
)
def test_urls_to_which_nothing_is_sent(url: str) -> None:
    with pytest.raises(WebhookError):
        check_url(url)


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("192.0.2.1", None, True),
        ("127.0.0.1", None, True),
        ("169.254.169.254", None, False),
        ("::ffff:169.254.169.254", None, False),
        ("fe80::1", None, False),
        ("fd00:ec2::254", None, False),
        ("100.100.100.200", None, False),
        ("168.63.129.16", None, False),
        ("192.0.0.192", None, False),
        ("fd20:ce::254", None, False),
        ("64:ff9b::a9fe:a9fe", None, False),
        ("64:ff9b:1::a9fe:a9fe", None, False),
        ("64:ff9b::a01:203", None, True),
        ("2002:a9fe:a9fe::1", None, False),
        ("::169.254.169.254", None, False),
        ("::1", None, True),
        ("0.0.0.0", None, False),
        ("::", None, False),
        ("224.0.0.1", None, False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("127.0.0.1", "10.0.0.0/8", False),
        ("2001:db8::1", "10.0.0.0/8", False),
        ("169.254.1.1", "169.254.0.0/16", True),
    ],
)
def test_where_events_may_be_sent(address: str, networks: str | None, allowed: bool) -> None:
    assert is_allowed(ip_address(address), None if networks is None else [ip_network(networks)]) is allowed


def test_signature_is_that_of_the_manual() -> None:
    # Made with: printf '1764447600.{"id":"1-1"}' | openssl dgst -sha256 -hmac 0123456789abcdef
    expected = "t=1764447600,v1=cb308e758969913a7196e60c3f0e723e22ab39b73cc152b747cadf994ea202dc"
    found = signature("0123456789abcdef", b'{"id":"1-1"}', 1764447600)
    assert found == expected

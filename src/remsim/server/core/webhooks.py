# SPDX-License-Identifier: Apache-2.0
"""Webhooks: which events go to whom, in which order, when they are tried again, and how they are signed. Without I/O.

Each webhook has a queue of its own, which is sent from its head: what cannot be delivered holds up what is behind it,
so the order is kept. It is tried again after growing delays, for a day. Times are seconds since 1970-01-01 UTC.
"""

import hashlib
import hmac
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from remsim.core.errors import RemsimError
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.values import dataclass
from remsim.server.core.actions import StoredDelivery, StoredWebhook
from remsim.server.core.event_feed import EventDraft, FeedEvent, is_visible
from remsim.server.core.tokens import Scope

#: A few systems are told; each costs a task and a queue.
MAX_WEBHOOKS: Final = 32
#: Deliveries that wait for one webhook: then the oldest is dropped.
MAX_PENDING: Final = 2000
#: Deliveries that are kept to be looked at, of each webhook.
MAX_ENDED: Final = 100
#: For so long a delivery is tried.
LIFE_S: Final = 86400.0
#: After the first failure; doubled each time.
FIRST_DELAY_S: Final = 1.0
MOST_DELAY_S: Final = 3600.0
#: What ``POST …/test`` sends.
TEST_KIND: Final = "webhook_test"
SIGNATURE_HEADER: Final = "Remsim-Signature"

_MAX_URL: Final = 2048
_MAX_OUTCOME: Final = 200
#: Where clouds give away credentials to programs that can make a host ask; that of most is link-local anyhow.
_METADATA: Final = frozenset(
    map(
        ip_address,
        # Amazon, Google, Oracle, Scaleway; Alibaba, Azure, Oracle
        (
            *("fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"),
            *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
        ),
    )
)
#: IPv6 addresses that lead to the IPv4 address in their last 32 bits: by NAT64 (RFC 6052, 2.1; RFC 8215), or IPv4-
#: compatible ones (RFC 4291, 2.5.5.1).
_EMBEDDING: Final = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))


class WebhookError(RemsimError, ValueError):
    """A webhook that cannot be. ``limit`` is the limit that was reached, if it was one."""

    exit_status = 2

    def __init__(self, message: str, *, hint: str = "", limit: LimitName | None = None) -> None:
        super().__init__(message, hint=hint)
        self.limit = limit


def check_url(url: str) -> str:
    """Returns the URL. Raises WebhookError for one to which nothing is sent."""
    hint = "write for example https://example.org/remsim"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise WebhookError("that is no URL", hint=hint) from None
    if not is_good or len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise WebhookError("that is no URL to which events can be sent", hint=hint)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise WebhookError("the URL has a user, a password or a fragment", hint="leave it out: what is sent is signed")
    return url


def is_allowed(address: IPv4Address | IPv6Address, networks: Sequence[IPv4Network | IPv6Network] | None) -> bool:
    """Whether events may be sent to this address; ``networks`` None: anywhere but where clouds keep credentials."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if networks is not None:
        return any(address in network for network in networks if network.version == address.version)
    return not any(
        each.is_link_local or each.is_multicast or each.is_unspecified or each in _METADATA
        for each in (address, *_embedded(address))
    )


def _embedded(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses at which a packet to this address may arrive."""
    if isinstance(address, IPv6Address):
        if any(address in network for network in _EMBEDDING):
            yield IPv4Address(address.packed[-4:])
        if address.sixtofour is not None:
            yield address.sixtofour


def signature(secret: str, body: bytes, at: int) -> str:
    """The value of the header: ``t=SECONDS,v1=HEX``, an HMAC-SHA256 of ``SECONDS.BODY``."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def delay_s(attempts: int) -> float:
    """How long to wait after so many failures."""
    return min(MOST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempts - 1, 20))


@dataclass(slots=True)
class WebhookQueue:
    """One webhook with what waits for it, the oldest first, and what has ended of late."""

    hook: StoredWebhook
    pending: deque[StoredDelivery] = field(default_factory=deque)
    ended: deque[StoredDelivery] = field(default_factory=deque)

    @property
    def due(self) -> float | None:
        """When the head is to be sent; None if nothing waits, or it is paused."""
        if not self.pending or self.hook.paused_at is not None:
            return None
        head = self.pending[0]
        return 0.0 if head.tried_at is None else head.tried_at + delay_s(head.attempts)

    def patience_s(self, wall: float) -> float | None:
        """How long the head has to wait, at most 0 if not at all; None as for ``due``.

        One that was tried later than it is now is sent at once: the clock was set back, perhaps by years.
        """
        due = self.due
        if due is None:
            return None
        tried_at = self.pending[0].tried_at
        return 0.0 if tried_at is not None and tried_at > wall else due - wall

    def wants(self, event: FeedEvent | EventDraft) -> bool:
        """Whether it is to hear of such an event, and may."""
        hook = self.hook
        return (hook.kinds is None or event.kind in hook.kinds) and is_visible(event, Scope(hook.banks, hook.clients))


@dataclass(frozen=True, slots=True)
class Changed:
    """What is to be stored: deliveries as they are now, and the numbers of those that are forgotten."""

    deliveries: tuple[StoredDelivery, ...] = ()
    forgotten: tuple[int, ...] = ()


class Webhooks:
    """All webhooks of the server. ``limits`` counts deliveries that were dropped because too many wait."""

    def __init__(
        self, hooks: Iterable[StoredWebhook], deliveries: Iterable[StoredDelivery], limits: LimitCounts
    ) -> None:
        self._limits = limits
        self._queues = {hook.number: WebhookQueue(hook) for hook in hooks}
        self._last_hook = max(self._queues, default=0)
        self._last_delivery = 0
        for delivery in deliveries:
            self._last_delivery = max(self._last_delivery, delivery.number)
            queue = self._queues[delivery.webhook]
            (queue.pending if delivery.ended_at is None else queue.ended).append(delivery)

    def __iter__(self) -> Iterator[WebhookQueue]:
        """Iterate over them in the order in which they were made."""
        return iter(tuple(self._queues.values()))

    def get(self, number: int) -> WebhookQueue | None:
        """One of them."""
        return self._queues.get(number)

    def plan(
        self, url: str, secret: str, kinds: frozenset[str] | None, scope: Scope, who: str, wall: float
    ) -> StoredWebhook:
        """A new one, to be stored and then added. Raises WebhookError."""
        if len(self._queues) >= MAX_WEBHOOKS:
            raise WebhookError(
                f"there are {MAX_WEBHOOKS} webhooks already", hint="delete others", limit=LimitName.WEBHOOKS
            )
        self._last_hook += 1
        return StoredWebhook(self._last_hook, check_url(url), secret, kinds, scope.banks, scope.clients, who, wall)

    def add(self, hook: StoredWebhook) -> WebhookQueue:
        """It is stored."""
        queue = self._queues[hook.number] = WebhookQueue(hook)
        return queue

    def change(self, hook: StoredWebhook) -> None:
        """It is stored as it is now. Nothing if it was deleted meanwhile."""
        queue = self._queues.get(hook.number)
        if queue is not None:
            queue.hook = hook

    def remove(self, number: int) -> None:
        """It is deleted, with all that waits."""
        self._queues.pop(number, None)

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not self._queues

    def wants(self, draft: EventDraft) -> bool:
        """Whether any of them is to hear of such an event."""
        return any(queue.wants(draft) for queue in self._queues.values())

    def on_event(self, event: FeedEvent, text: str, wall: float) -> Changed:
        """Something happened; ``text`` is its JSON. It waits for those that want it and may see it."""
        changed = Changed()
        for queue in self._queues.values():
            if queue.wants(event):
                changed = _both(changed, self._push(queue, event.kind, text, wall))
        return changed

    def test(self, queue: WebhookQueue, text: str, wall: float) -> tuple[StoredDelivery, Changed]:
        """Something to be sent behind what waits, to see whether it arrives."""
        changed = self._push(queue, TEST_KIND, text, wall)
        return queue.pending[-1], changed

    def _push(self, queue: WebhookQueue, kind: str, text: str, wall: float) -> Changed:
        changed = Changed()
        if len(queue.pending) >= MAX_PENDING:
            self._limits.reached(LimitName.WEBHOOK_QUEUE)
            changed = self._end(queue, queue.pending[0], wall, "dropped: too many wait")
        self._last_delivery += 1
        delivery = StoredDelivery(self._last_delivery, queue.hook.number, kind, text, wall)
        queue.pending.append(delivery)
        return _both(changed, Changed((delivery,)))

    def on_result(self, queue: WebhookQueue, delivery: StoredDelivery, error: str, wall: float) -> Changed:
        """The head was tried; ``error`` is empty if it was delivered. Nothing if it was dropped meanwhile."""
        if not queue.pending or queue.pending[0].number != delivery.number:
            return Changed()
        tried = replace(delivery, attempts=delivery.attempts + 1, tried_at=wall, outcome=error[:_MAX_OUTCOME])
        queue.pending[0] = tried
        if not error:
            return self._end(queue, replace(tried, is_delivered=True), wall, "delivered")
        if wall - delivery.created_at >= LIFE_S:
            return self._end(queue, tried, wall, f"given up: {error}")
        return Changed((tried,))

    def _end(self, queue: WebhookQueue, delivery: StoredDelivery, wall: float, outcome: str) -> Changed:
        queue.pending.popleft()
        ended = replace(delivery, ended_at=wall, outcome=outcome[:_MAX_OUTCOME])
        queue.ended.append(ended)
        forgotten = [queue.ended.popleft().number for _ in range(len(queue.ended) - MAX_ENDED)]
        return Changed((ended,), tuple(forgotten))

    def find(self, queue: WebhookQueue, number: int) -> StoredDelivery | None:
        """A delivery of a webhook."""
        return next((each for each in (*queue.pending, *queue.ended) if each.number == number), None)


def _both(first: Changed, second: Changed) -> Changed:
    return Changed((*first.deliveries, *second.deliveries), (*first.forgotten, *second.forgotten))

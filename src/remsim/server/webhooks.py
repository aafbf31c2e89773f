# SPDX-License-Identifier: Apache-2.0
"""Sends what webhooks are to hear: resolves and checks the address, posts, and tells the queue what came of it.

A name is resolved here, the address is checked, and exactly that address is called: a name that gives another address a
moment later leads nowhere else. Redirects are not followed, and nothing of the answer is read but its status.
"""

import asyncio
import json
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from remsim import __version__
from remsim.core.text import rfc3339
from remsim.logs import Logger
from remsim.net.runtime.tasks import TaskOwner
from remsim.server.core.actions import (
    Actor,
    Entry,
    StoredAnnouncement,
    StoredDelivery,
    StoreDeliveries,
    StoredWebhook,
    StoreWebhook,
    StoreWebhookEnd,
)
from remsim.server.core.event_feed import EventDraft, FeedEvent
from remsim.server.core.tokens import Scope
from remsim.server.core.webhooks import (
    MAX_PENDING,
    MAX_WEBHOOKS,
    SIGNATURE_HEADER,
    Changed,
    WebhookQueue,
    Webhooks,
    is_allowed,
    signature,
)
from remsim.server.runtime import ServerRuntime

if TYPE_CHECKING:
    import httpx2

#: A receiver stores what it gets and says so; what takes longer is to be done by it later.
TIMEOUT_S: Final = 10.0
#: What changed is stored together, so long after the first of it.
GATHER_S: Final = 0.05
#: What the database did not take, it gets once more after so long.
RETRY_S: Final = 5.0
#: Deliveries that are to be forgotten: while the database takes nothing, no more are noted.
_MAX_FORGOTTEN: Final = MAX_WEBHOOKS * MAX_PENDING

Networks = Sequence[IPv4Network | IPv6Network] | None


class WebhookSender:
    """Sends what waits for each webhook, and notes what came of it."""

    def __init__(
        self, runtime: ServerRuntime, table: Webhooks, *, tasks: TaskOwner, networks: Networks, log: Logger
    ) -> None:
        self._runtime = runtime
        self.table = table
        self._tasks = tasks
        self._networks = networks
        self._log = log
        self._wake: dict[int, asyncio.Event] = {}
        self._is_stopped = False
        # What is to be stored, and ...
        self._deliveries: dict[int, StoredDelivery] = {}
        self._forgotten: deque[int] = deque(maxlen=_MAX_FORGOTTEN)
        self._told: list[int] = []
        # ... deliveries of which the database has not said yet whether it keeps them. They are not sent: after a kill
        # they would be made once more, with other numbers, by which no receiver knows them again.
        self._unsaid: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._client: httpx2.AsyncClient | None = None

    def start(self, announcements: Iterable[StoredAnnouncement]) -> None:
        """Send what waits, ``announcements`` of an earlier run, and what happens from now on."""
        for queue in self.table:
            self._begin(queue)
        self._runtime.audience = self
        self._runtime.on_webhook = self._on_stored
        self._runtime.tell_again(announcements)

    async def stop(self) -> None:
        """Hear no more, and hand over what is to be stored."""
        self._runtime.audience = None
        self._is_stopped = True
        self._flush()
        if self._client is not None:
            await self._client.aclose()

    # Orders

    async def create(
        self, url: str, secret: str, kinds: frozenset[str] | None, scope: Scope, by: Actor
    ) -> StoredWebhook:
        """Make a webhook; returns when that is committed. Raises WebhookError and StoreError."""
        hook = self.table.plan(url, secret, kinds, scope, by.who, time.time())
        await self._runtime.store_webhook(
            hook, Entry(by, "webhook.create", f"webhook {hook.number}", detail=_host(url))
        )
        return hook

    async def pause(self, queue: WebhookQueue, by: Actor, *, is_on: bool) -> None:
        """Send nothing to a webhook: what happens waits; or go on. Returns when it is committed. Raises StoreError."""
        hook, number = queue.hook, queue.hook.number
        if is_on is (hook.paused_at is not None):
            return
        changed = replace(hook, paused_at=time.time() if is_on else None)
        entry = Entry(by, "webhook.pause" if is_on else "webhook.resume", f"webhook {number}")
        await self._runtime.store_webhook(changed, entry)

    async def delete(self, number: int, by: Actor) -> None:
        """Delete a webhook with all that waits for it; returns when that is committed. Raises StoreError."""
        await self._runtime.delete_webhook(number, Entry(by, "webhook.delete", f"webhook {number}"))

    def _on_stored(self, decision: StoreWebhook | StoreWebhookEnd) -> None:
        """It is committed: at once, or found out later, when who ordered it was told that the commit is in doubt."""
        if self._is_stopped:
            return
        match decision:
            case StoreWebhook(hook) if self.table.get(hook.number) is None:
                self._begin(self.table.add(hook))
            case StoreWebhook(hook):
                self.table.change(hook)
                self._wake[hook.number].set()
            case StoreWebhookEnd(number) if (wake := self._wake.pop(number, None)) is not None:
                self.table.remove(number)
                wake.set()

    def test(self, queue: WebhookQueue) -> StoredDelivery:
        """Send something behind what waits."""
        wall = time.time()
        body = json.dumps({"at": rfc3339(wall), "kind": "webhook_test", "level": "info", "data": {}})
        delivery, changed = self.table.test(queue, body, wall)
        self._keep(changed)
        return delivery

    # Events

    @property
    def is_empty(self) -> bool:
        """See Audience."""
        return self.table.is_empty

    def wants(self, draft: EventDraft) -> bool:
        """See Audience."""
        return self.table.wants(draft)

    def on_told(self, announcement: int) -> None:
        """See Audience."""
        self._told.append(announcement)
        self._flush_within(GATHER_S)

    def on_event(self, event: FeedEvent) -> None:
        """See Audience."""
        text = f'{{"id":"{self._runtime.query.restart_counter}-{event.number}",{event.text[1:]}'
        self._keep(self.table.on_event(event, text, time.time()))

    def _keep(self, changed: Changed) -> None:
        if not changed.deliveries:
            return
        for each in changed.deliveries:
            if each.tried_at is None and each.ended_at is None:
                self._unsaid.add(each.number)
            self._deliveries[each.number] = each
        for number in changed.forgotten:
            self._deliveries.pop(number, None)
        self._forgotten += changed.forgotten
        self._flush_within(GATHER_S)

    def _flush_within(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._deliveries or self._forgotten or self._told:
            batch = StoreDeliveries(tuple(self._deliveries.values()), tuple(self._forgotten), tuple(self._told))
            self._deliveries, self._told = {}, []
            self._forgotten.clear()
            done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            done.add_done_callback(partial(self._on_flushed, batch))
            self._runtime.store.submit(batch, done)

    def _on_flushed(self, batch: StoreDeliveries, done: asyncio.Future[int]) -> None:
        """The database has said whether it keeps what it was given; if not, it gets it once more."""
        if done.exception() is not None and not self._is_stopped:
            ended = set(self._forgotten)
            again = {each.number: each for each in batch.deliveries if each.number not in ended}
            self._deliveries = again | self._deliveries
            self._forgotten.extendleft(reversed(batch.forgotten))
            self._told = [*batch.told, *self._told]
            self._flush_within(RETRY_S)
        # What tells of no change is sent all the same: it may be that the database fails.
        self._unsaid.difference_update(each.number for each in batch.deliveries)
        for each in batch.deliveries:
            if (wake := self._wake.get(each.webhook)) is not None:
                wake.set()

    # Sending

    def _begin(self, queue: WebhookQueue) -> None:
        number = queue.hook.number
        self._wake[number] = asyncio.Event()
        self._tasks.session(self._run(queue, self._wake[number]), name=f"webhook-{number}", log=self._log)

    async def _run(self, queue: WebhookQueue, wake: asyncio.Event) -> None:
        """Send what waits for one webhook, in its order, until it is deleted."""
        while self.table.get(queue.hook.number) is queue:
            patience_s = self._patience_s(queue)
            if patience_s is None or patience_s > 0:
                wake.clear()
                try:
                    # The clock may be set: the head is looked at once a minute at least.
                    async with asyncio.timeout(None if patience_s is None else min(60.0, patience_s)):
                        await wake.wait()
                except TimeoutError:
                    pass
                continue
            delivery = queue.pending[0]
            error = await self._send(queue.hook, delivery)
            if self._is_stopped:
                # What came of it is not stored any more, so it may be sent once more after the next start.
                return
            self._keep(self.table.on_result(queue, delivery, error, time.time()))
            if error:
                self._log.warning(
                    "webhook_failed", webhook=queue.hook.number, attempts=delivery.attempts + 1, error=error
                )
            self._runtime.changes.delivered()

    def _patience_s(self, queue: WebhookQueue) -> float | None:
        is_unsaid = bool(queue.pending) and queue.pending[0].number in self._unsaid
        return None if is_unsaid else queue.patience_s(time.time())

    async def _send(self, hook: StoredWebhook, delivery: StoredDelivery) -> str:
        """Post one delivery; returns why it did not arrive, empty if it did."""
        import httpx2

        host = urlsplit(hook.url).hostname or ""
        body = delivery.body.encode()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                address = await self._address(host, hook.url)
                if address is None:
                    return f"{host} has no address to which events may be sent"
                if self._is_stopped:
                    return "the server stops"
                url = httpx2.URL(hook.url)
                headers = {
                    "Host": url.netloc.decode("ascii"),
                    "Content-Type": "application/json",
                    "User-Agent": f"remsim/{__version__}",
                    "Remsim-Event": delivery.kind,
                    "Remsim-Delivery": str(delivery.number),
                    SIGNATURE_HEADER: signature(hook.secret, body, int(time.time())),
                }
                request = self._http().build_request("POST", url.copy_with(host=address), content=body, headers=headers)
                request.extensions["sni_hostname"] = host
                answer = await self._http().send(request, stream=True, follow_redirects=False)
                await answer.aclose()
        except TimeoutError:
            return f"no answer within {TIMEOUT_S:g} s"
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return "" if answer.is_success else f"HTTP {answer.status_code}"

    async def _address(self, host: str, url: str) -> str | None:
        """An address of the host to which events may be sent. Raises OSError."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        look_up = partial(asyncio.get_running_loop().getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = [str(place[4][0]).partition("%")[0] for place in await look_up()]
        return next((text for text in found if is_allowed(ip_address(text), self._networks)), None)

    def _http(self) -> "httpx2.AsyncClient":
        import httpx2

        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)
        return self._client


def _host(url: str) -> str:
    """What of a URL is no secret: paths and queries may hold one."""
    return urlsplit(url).hostname or ""

# SPDX-License-Identifier: Apache-2.0
"""Links that a program dials: a target, and attempts without end to have a link to it."""

import asyncio
import random
from dataclasses import replace
from typing import Protocol

from remsim.causes import CLOSED_WITHOUT_A_WORD, cause_of, hint_of
from remsim.config import HostPort, LogLevel
from remsim.net.link import Link, LinkOwner
from remsim.net.log_limiter import LogRateLimiter
from remsim.net.runtime.tasks import Alarm, TaskOwner
from remsim.net.tls.contexts import Expectation, HandshakeError, LinkTls
from remsim.net.tls.transport import Dialer
from remsim.wire.link.actions import Close, LinkAction, LinkId
from remsim.wire.link.dialing import Backoff, Dial, DialAction, DialSchedule, DialState
from remsim.wire.link.engine import EngineMaker


class DialHost(LinkOwner, Protocol):
    """What a dialled link needs from the connection manager."""

    def now(self) -> float:
        """The loop's time in seconds."""
        ...

    def execute(self, action: LinkAction) -> None:
        """Carry out an action on a link."""
        ...


class DialledEnd(Link):
    """A link that we dialled, and in which attempt."""

    def __init__(self, manager: DialHost, factory: EngineMaker, dialled: "DialledLink", attempt: int) -> None:
        super().__init__(manager, factory)
        self.dialled = dialled
        self.attempt = attempt

    def _why(self, error: Exception | None) -> str:
        if self.certificate is None and not self.has_heard:
            return CLOSED_WITHOUT_A_WORD.words
        return super()._why(error)


class DialledLink:
    """One dialled link: a target, and never-ending attempts to have a link to it."""

    def __init__(
        self,
        manager: DialHost,
        factory: EngineMaker,
        *,
        name: str,
        lines: LogRateLimiter,
        tasks: TaskOwner,
        backoff: Backoff | None,
        dialer: Dialer,
    ) -> None:
        self._manager = manager
        self._factory = factory
        self._name = name
        # A peer that accepts us and hangs up, for weeks, must not fill the log.
        self._lines = lines
        self._tasks = tasks
        self._schedule = DialSchedule(random=random.random, backoff=backoff)
        self._alarm = Alarm(self._on_alarm)
        self._attempt: asyncio.Task[None] | None = None
        self._dialer = dialer
        # Attempts so far. A connection of an earlier one may still come up after it was cancelled.
        self._attempts = 0
        #: The link while TCP is up.
        self.link: LinkId | None = None
        #: Why the last attempt, or the last link, came to its end; empty once a peer has accepted us.
        self.trouble = ""

    @property
    def state(self) -> DialState:
        """Where the dialling stands."""
        return self._schedule.state

    @property
    def target(self) -> tuple[str, int] | None:
        """Host and port that are dialled."""
        return self._schedule.target

    def want(self, host: str, port: int, *, expects: Expectation | None = None) -> None:
        """Dial this target from now on; a link to another one is closed.

        ``expects`` says, on a link over TLS, who must be there; without it, the one that was expected before.
        """
        tls = self._dialer.tls
        if expects is not None and tls is not None:
            self._dialer = replace(self._dialer, tls=LinkTls(tls.contexts, expects))
        self._run(self._schedule.want(host, port, self._manager.now()))

    def unwant(self) -> None:
        """Hang up and do not dial again."""
        self._run(self._schedule.unwant(self._manager.now()))

    def redial_at_once(self, *, has_answered: bool) -> None:
        """The link that is being lost carried a session: dial again at once, however many were lost before.

        Not if it was lost at once without the peer having answered the session (``has_answered``).
        """
        self._schedule.on_use(self._manager.now(), has_answered=has_answered)

    # Called by the connection manager

    def awaits(self, attempt: int) -> bool:
        """Whether this attempt is the one that counts."""
        return self._schedule.state is DialState.CONNECTING and attempt == self._attempts

    def on_tcp_up(self, link: LinkId) -> None:
        """TCP is connected, and TLS if there is any."""
        self.link = link
        # What is left of the attempt must not be cancelled: uvloop would drop the connection without a word to it.
        self._attempt = None
        self._run(self._schedule.on_tcp_up(self._manager.now()))

    def on_accepted(self) -> None:
        """The peer accepted us."""
        if self._schedule.state is DialState.ESTABLISHED:
            if self._schedule.failures:
                self._say("link_restored", "info")
            self.trouble = ""
            self._run(self._schedule.on_accepted(self._manager.now()))

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        """TCP is down."""
        if self.link == link:
            self.link = None
            self._fail(reason)

    # The rest

    def _run(self, actions: list[DialAction]) -> None:
        for action in actions:
            if isinstance(action, Dial):
                self._attempts += 1
                self._attempt = self._tasks.session(self._connect(action, self._attempts), name=f"dial-{self._name}")
            else:
                self._hang_up(action.reason)
        self._alarm.set(self._schedule.next_deadline())

    def _hang_up(self, reason: str) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None
        link, self.link = self.link, None
        if link is not None:
            self._manager.execute(Close(link, reason))

    async def _connect(self, target: Dial, attempt: int) -> None:
        def make_link() -> Link:
            return DialledEnd(self._manager, self._factory, self, attempt)

        try:
            await self._dialer.dial(target.host, target.port, make_link)
        except (OSError, UnicodeError, HandshakeError) as error:
            if self.awaits(attempt):
                self._attempt = None
                self._fail(cause_of(error).words)

    def _fail(self, reason: str) -> None:
        self.trouble = reason
        actions = self._schedule.on_failed(self._manager.now())
        # One line when it starts to fail; how often it tries after that is for debugging.
        hint = hint_of(reason)
        more = {"hint": hint} if hint else {}
        self._say("link_failed", "warning" if self._schedule.failures == 1 else "debug", reason=reason, **more)
        self._run(actions)

    def _say(self, event: str, level: LogLevel, **fields: object) -> None:
        fields = {"to": self._name, "target": self._target_text(), **fields}
        self._lines.write(event, level, fields, about={"peer": f"{self._name} {fields['target']}"})

    def _on_alarm(self) -> None:
        self._run(self._schedule.handle_timer(self._manager.now()))

    def _target_text(self) -> str:
        return str(HostPort(*self._schedule.target)) if self._schedule.target else ""

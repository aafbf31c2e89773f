# SPDX-License-Identifier: Apache-2.0
"""How a program makes the engines of its links: one identity, one set of timers, for those it dials and accepts."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

from remsim import __version__
from remsim.config.models import DaemonConfig, Timers
from remsim.wire.link.abilities import ABILITIES, AHEAD, RESUME
from remsim.wire.link.engine import EngineMaker, LinkEngine
from remsim.wire.link.keep_alive import KeepAliveTimes
from remsim.wire.link.tags import LinkTags, TagPolicy
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, clean_name


def own_identity(config: DaemonConfig, role: ComponentType) -> ComponentIdentity:
    """How a program names itself to its peers, without abilities."""
    name = clean_name(config.name or socket.gethostname())
    return ComponentIdentity(role, name, f"remsim-{config.program}", clean_name(__version__))


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFactory:
    """What all engines of a program have in common. ``dialling`` and ``accepting`` say what a link is for."""

    identity: ComponentIdentity
    keep_alive: KeepAliveTimes
    timers: Timers
    abilities: tuple[str, ...] = ABILITIES
    #: For links on which sessions can be resumed.
    resume_keep_alive: KeepAliveTimes | None = None

    @classmethod
    def of(cls, config: DaemonConfig, identity: ComponentIdentity) -> Self:
        """The factory of a program with these settings."""
        keep_alive = KeepAliveTimes(config.keepalive.interval_s, config.keepalive.timeout_s)
        own = KeepAliveTimes(config.keepalive.own_s, config.keepalive.own_timeout_s)
        return cls(identity=identity, keep_alive=keep_alive, timers=config.timers, resume_keep_alive=own)

    def dialling(
        self,
        peer: ComponentType,
        *,
        resumes: bool = False,
        is_ahead: Callable[[], bool] = _never,
        tags: Callable[[], TagPolicy] = LinkTags,
    ) -> EngineMaker:
        """For links that we dial to peers in this role. ``tags`` makes the tag policy of a new link.

        ``resumes``: name the ability ``resume.1``. ``is_ahead``: whether a link that is made now names ``ahead.1``.
        """
        make = partial(self._make, peer, self.keep_alive, self.timers.connect_s)
        return partial(make, is_accepted=False, more=partial(_more, resumes, is_ahead), tags=tags)

    def accepting(
        self,
        peer: ComponentType | None = None,
        *,
        pings_at_once: bool = True,
        resumes: bool = False,
        is_ahead: Callable[[], bool] = _never,
    ) -> EngineMaker:
        """For links that we accept. ``peer`` is the role of all peers there; None: each one's first message tells.

        With ``pings_at_once`` the first PING goes out when the link comes up, else after one interval. ``resumes``:
        name the ability ``resume.1``. ``is_ahead``: whether a link that is made now names ``ahead.1``.
        """
        times = self.keep_alive
        more = partial(_more, resumes, is_ahead)
        if not pings_at_once:
            times = KeepAliveTimes(times.interval_s, times.timeout_s, first_after_s=times.interval_s)
        return partial(self._make, peer, times, self.timers.identify_s, is_accepted=True, more=more)

    def _make(
        self,
        peer: ComponentType | None,
        keep_alive: KeepAliveTimes,
        connect_timeout_s: float,
        now: float,
        *,
        is_accepted: bool,
        more: Callable[[], tuple[str, ...]],
        tags: Callable[[], TagPolicy] = LinkTags,
    ) -> LinkEngine:
        return LinkEngine(
            identity=self.identity,
            peer=peer,
            now=now,
            keep_alive=keep_alive,
            resume_keep_alive=self.resume_keep_alive,
            tags=tags(),
            abilities=(*self.abilities, *more()),
            connect_timeout_s=connect_timeout_s,
            is_accepted=is_accepted,
        )


def _more(resumes: bool, is_ahead: Callable[[], bool], /) -> tuple[str, ...]:
    """The abilities that the settings of a program allow on a link."""
    return (RESUME,) * resumes + (AHEAD,) * is_ahead()

# SPDX-License-Identifier: Apache-2.0
"""Looking after the authority: trouble is reported when it begins, and what is known is passed on all the same."""

import asyncio
from contextlib import suppress

import pytest

from remsim.core.identity import Identity
from remsim.pki.errors import AuthorityError
from remsim.server.authority import monitor
from remsim.server.authority.monitor import AuthorityMonitor, watch_authority
from tests.doubles.noted_log import NotedLog


class TroubledAuthority(AuthorityMonitor):
    """An authority whose refreshing goes wrong at times."""

    def __init__(self, *outcomes: str) -> None:
        self._outcomes = list(outcomes)
        self._holders = frozenset({Identity.client(23)})

    def refresh(self) -> None:
        trouble = self._outcomes.pop(0)
        if trouble:
            raise AuthorityError(trouble, hint=f"mend: {trouble}")


async def test_trouble_is_reported_when_it_begins_and_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "CHECK_INTERVAL_S", 0.0)
    outcomes = ("no room", "no room", "", "no room", "locked", "")
    authority, log, looks = TroubledAuthority(*outcomes), NotedLog(), list[int]()

    def look() -> None:
        looks.append(len(authority.holders))
        if len(looks) == len(outcomes):
            raise asyncio.CancelledError

    with suppress(asyncio.CancelledError):
        await watch_authority(authority, log=log.logger, on_looked=look)
    assert looks == [1] * len(outcomes)
    told = [await log.next("authority_in_trouble") for _ in range(3)]
    assert [line["error"] for line in told] == ["no room", "no room", "locked"]
    assert [line["hint"] for line in told] == ["mend: no room", "mend: no room", "mend: locked"]
    assert log.is_empty()

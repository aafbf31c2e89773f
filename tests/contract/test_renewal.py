# SPDX-License-Identifier: Apache-2.0
"""A program's certificate is renewed in time, and what is wrong with it is said."""

import asyncio
from pathlib import Path

import pytest

from remsim.net.renewal import CHECK_S, FIRST_RETRY_S, MOST_RETRY_S, CertificateKeeper
from remsim.net.tls import TlsContexts
from remsim.pki.errors import EnrolmentError
from remsim.pki.facts import CertificateFacts
from tests.doubles.certificates import BANK, DAY_S, CertificateWorld
from tests.doubles.noted_log import NotedLog


class Stage:
    """A keeper with a clock and a source of certificates that the test commands."""

    def __init__(self, directory: Path) -> None:
        self.house = CertificateWorld(directory / "lab")
        self.contexts = TlsContexts(self.house.credentials(BANK))
        self.now = self.house.now
        self.log = NotedLog()
        self.asked = 0
        self.is_reachable = True
        self.pauses: list[float] = []
        self.keeper = CertificateKeeper(
            self.contexts, self.renew, log=self.log.logger, now=lambda: self.now, pause=self.pause
        )

    def renew(self) -> CertificateFacts:
        """Called in a thread."""
        self.asked += 1
        if not self.is_reachable:
            raise EnrolmentError("cannot ask the server", hint="is it running?")
        self.house.authority.publish_list(self.now)
        return self.house.credentials(BANK, now=self.now).certificate()

    async def pause(self, seconds: float) -> None:
        """Time passes."""
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A bank with a new certificate of 90 days."""
    return Stage(tmp_path)


async def test_nothing_is_asked_before_two_thirds_of_the_life(stage: Stage) -> None:
    stage.now += 59 * DAY_S
    stage.house.authority.publish_list(stage.now)
    stage.house.tell(stage.contexts.credentials)
    stage.contexts.reload()
    await stage.keeper.step()
    assert stage.asked == 0
    assert stage.log.is_empty()
    assert stage.keeper.pause_s() == CHECK_S


async def test_certificate_is_replaced_and_used_by_new_links(stage: Stage) -> None:
    before, context = stage.contexts.not_after, stage.contexts.server
    stage.now += 61 * DAY_S
    await stage.keeper.step()
    renewed = await stage.log.next("certificate_renewed")
    assert renewed["identity"] == "bank/1"
    assert stage.contexts.not_after > before
    assert stage.contexts.server is not context
    assert not stage.contexts.is_list_too_old(stage.now)
    await stage.keeper.step()
    assert stage.asked == 1


async def test_failure_is_told_and_tried_again_less_and_less_often(stage: Stage) -> None:
    stage.now += 61 * DAY_S
    stage.is_reachable = False
    pauses = []
    for _ in range(12):
        await stage.keeper.step()
        pauses.append(stage.keeper.pause_s())
    assert pauses[:3] == [FIRST_RETRY_S, 2 * FIRST_RETRY_S, 4 * FIRST_RETRY_S]
    assert pauses[-1] == MOST_RETRY_S
    told = await stage.log.next("certificate_not_renewed")
    assert told["reason"] == "cannot ask the server"
    assert told["hint"] == "is it running?"
    assert told["days_left"] in (28, 29)
    stage.is_reachable = True
    await stage.keeper.step()
    assert stage.keeper.pause_s() == CHECK_S


async def test_old_list_is_told_once_until_a_new_one_comes(stage: Stage) -> None:
    stage.now += 2 * DAY_S
    await stage.keeper.step()
    assert (await stage.log.next("revocation_list_too_old"))["issued_at"] != "never"
    await stage.keeper.step()
    assert stage.log.is_empty()
    stage.house.authority.publish_list(stage.now)
    stage.house.tell(stage.contexts.credentials)
    stage.contexts.reload()
    await stage.keeper.step()
    stage.now += 2 * DAY_S
    await stage.keeper.step()
    await stage.log.next("revocation_list_too_old")


async def test_missing_list_is_told(stage: Stage) -> None:
    stage.contexts.credentials.revocations_file.unlink()
    stage.contexts.reload()
    await stage.keeper.step()
    assert (await stage.log.next("revocation_list_too_old"))["issued_at"] == "never"


async def test_keeper_watches_until_it_is_cancelled(stage: Stage) -> None:
    async def until_renewed() -> None:
        await stage.log.next("certificate_renewed")

    running = asyncio.gather(stage.keeper.run(), return_exceptions=True)
    await until_renewed()
    running.cancel()
    await asyncio.wait([running])
    assert stage.now - stage.house.now >= 60 * DAY_S
    assert set(stage.pauses) == {CHECK_S}

# SPDX-License-Identifier: Apache-2.0
"""A program's certificate is renewed in time, what changed in its files comes into use, and what is wrong is said."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.core.identity import Identity
from remsim.net.connections import ConnectionManager
from remsim.net.runtime import certificates
from remsim.net.runtime.certificates import FIRST_RETRY_S, MOST_RETRY_S, REMINDER_S, CertificateManager, retry_delay_s
from remsim.net.tls.contexts import LinkTls, TlsContexts
from remsim.pki import files
from remsim.pki.errors import EnrolmentError, KeyFileError
from remsim.pki.facts import REVOCATION_LIST, decode_pem
from tests.doubles.certificates import ANYBODY, BANK, CLIENT, DAY_S, CertificateWorld
from tests.doubles.link_world import factory
from tests.doubles.noted_log import NotedLog
from tests.doubles.tls_world import LOOPBACK, dial, noted_world


class Stage:
    """A bank's certificate manager, with a source of certificates that the test commands."""

    def __init__(self, ca: CertificateWorld, contexts: TlsContexts, links: ConnectionManager) -> None:
        self.ca = ca
        self.contexts = contexts
        self.log = NotedLog()
        self.asked = 0
        self.loaded = 0
        self.is_reachable = True
        #: The time that a new certificate gets.
        self.now = ca.now
        self.manager = CertificateManager(
            contexts, links, log=self.log.logger, renewal=self.renew, on_loaded=self.note_loaded
        )

    def renew(self) -> None:
        """Called in a thread."""
        self.asked += 1
        if not self.is_reachable:
            raise EnrolmentError("cannot ask the server", hint="is it running?")
        self.ca.credentials(BANK, now=self.now)

    def note_loaded(self) -> None:
        """Files were loaded anew."""
        self.loaded += 1

    def list_of(self, now: float) -> bytes:
        """A list that the authority signs at ``now``, as it is pushed."""
        return decode_pem(self.ca.authority.publish_list(now), REVOCATION_LIST)[0]


@asynccontextmanager
async def bank_stage(ca: CertificateWorld, *, issued_at: float | None = None) -> AsyncIterator[Stage]:
    """A bank that got its certificate of 90 days at ``issued_at``, by default just now."""
    contexts = TlsContexts(ca.credentials(BANK, now=issued_at))
    async with noted_world() as (links, _, _):
        yield Stage(ca, contexts, links)


@pytest.fixture
async def stage(ca: CertificateWorld) -> AsyncIterator[Stage]:
    """A bank with a new certificate."""
    async with bank_stage(ca) as made:
        yield made


class TestAge:
    async def test_nothing_is_asked_before_two_thirds_of_the_life(self, stage: Stage) -> None:
        now = stage.ca.now + 59 * DAY_S
        await stage.manager.accept_list(stage.list_of(now))
        await stage.log.next("certificate_loaded")
        await stage.manager.check_age(now)
        assert stage.asked == 0
        assert stage.log.is_empty()

    async def test_certificate_is_replaced_and_used_by_new_links(self, stage: Stage) -> None:
        before, context = stage.contexts.not_after, stage.contexts.server
        stage.now += 61 * DAY_S
        await stage.manager.check_age(stage.now)
        renewed = await stage.log.next("certificate_renewed")
        assert renewed["identity"] == "bank/1"
        assert renewed["expires"] == stage.contexts.not_after.isoformat()
        assert stage.contexts.not_after > before
        assert stage.contexts.server is not context
        await stage.manager.check_age(stage.now + FIRST_RETRY_S)
        assert (stage.asked, stage.loaded) == (1, 1)

    async def test_failure_is_told_with_the_days_that_are_left(self, stage: Stage) -> None:
        stage.is_reachable = False
        await stage.manager.check_age(stage.ca.now + 61 * DAY_S)
        told = await stage.log.next("certificate_not_renewed")
        assert (told["identity"], told["error"], told["hint"]) == ("bank/1", "cannot ask the server", "is it running?")
        assert told["days_left"] == 28
        assert told["expires"] == stage.contexts.not_after.isoformat()

    async def test_failed_renewal_is_tried_again_when_its_time_has_come(self, stage: Stage) -> None:
        now = stage.ca.now + 61 * DAY_S
        stage.is_reachable = False
        for attempt in range(1, 4):
            await stage.manager.check_age(now)
            assert stage.asked == attempt
            now += retry_delay_s(attempt)
            await stage.manager.check_age(now - 1)
            assert stage.asked == attempt
        stage.is_reachable, stage.now = True, now
        await stage.manager.check_age(now)
        await stage.log.next("certificate_renewed")
        # The next trouble begins with short delays again.
        stage.is_reachable, now = False, now + 61 * DAY_S
        await stage.manager.check_age(now)
        await stage.manager.check_age(now + FIRST_RETRY_S)
        assert stage.asked == 6

    async def test_clock_that_is_set_back_by_years_does_not_end_the_tries(self, stage: Stage) -> None:
        """As on a host without a clock of its own, which is told the time late."""
        now = stage.ca.now + 61 * DAY_S
        stage.is_reachable = False
        await stage.manager.check_age(now + 4000 * DAY_S)
        assert stage.asked == 1
        stage.is_reachable, stage.now = True, now
        await stage.manager.check_age(now)
        await stage.log.next("certificate_renewed")

    def test_delay_grows_up_to_a_limit(self) -> None:
        assert [retry_delay_s(failures) for failures in (1, 2, 3)] == [60.0, 120.0, 240.0]
        assert retry_delay_s(12) == retry_delay_s(100_000) == MOST_RETRY_S

    async def test_answer_that_is_no_newer_is_not_asked_for_again_at_once(self, stage: Stage) -> None:
        now = stage.ca.now + 61 * DAY_S
        await stage.manager.check_age(now)
        await stage.manager.check_age(now + FIRST_RETRY_S - 1)
        assert stage.asked == 1
        await stage.manager.check_age(now + FIRST_RETRY_S)
        assert stage.asked == 2

    async def test_certificate_brought_by_hand_is_renewed_by_hand(self, ca: CertificateWorld) -> None:
        contexts, log = TlsContexts(ca.credentials(BANK)), NotedLog()
        async with noted_world() as (links, _, _):
            await CertificateManager(contexts, links, log=log.logger).check_age(ca.now + 61 * DAY_S)
        told = await log.next("certificate_not_renewed")
        assert "was not got by enrolment" in told["error"]
        assert "remsim pki renew" in told["hint"]

    async def test_manager_renews_by_itself_until_it_is_cancelled(
        self, ca: CertificateWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(certificates, "CHECK_INTERVAL_S", 0)
        async with bank_stage(ca, issued_at=ca.now - 61 * DAY_S) as stage:
            running = asyncio.gather(stage.manager.run(), return_exceptions=True)
            await stage.log.next("certificate_renewed")
            running.cancel()
            await asyncio.wait([running])
            assert stage.asked == 1
            assert stage.contexts.not_after.timestamp() > ca.now + 89 * DAY_S


class TestListAge:
    async def test_old_list_is_told_once_a_day_until_a_new_one_comes(self, stage: Stage) -> None:
        now = stage.ca.now + 2 * DAY_S
        await stage.manager.check_age(now)
        told = await stage.log.next("revocation_list_too_old")
        assert stage.contexts.revocations is not None
        assert told["issued_at"] == stage.contexts.revocations.issued_at.isoformat()
        await stage.manager.check_age(now + REMINDER_S - 1)
        assert stage.log.is_empty()
        await stage.manager.check_age(now + REMINDER_S)
        await stage.log.next("revocation_list_too_old")
        now += 2 * REMINDER_S
        await stage.manager.accept_list(stage.list_of(now))
        await stage.log.next("certificate_loaded")
        await stage.manager.check_age(now)
        assert stage.log.is_empty()
        # A new trouble is told at once.
        await stage.manager.check_age(now + DAY_S + 1)
        await stage.log.next("revocation_list_too_old")

    async def test_clock_that_is_set_back_by_years_does_not_end_the_reports(self, stage: Stage) -> None:
        await stage.manager.check_age(stage.ca.now + 4000 * DAY_S)
        await stage.log.next("revocation_list_too_old")
        await stage.manager.check_age(stage.ca.now + 2 * DAY_S)
        await stage.log.next("revocation_list_too_old")

    async def test_missing_list_is_told(self, stage: Stage) -> None:
        stage.contexts.credentials.revocations_file.unlink()
        stage.manager.check_files()
        await stage.manager.check_age(stage.ca.now)
        assert (await stage.log.next("revocation_list_too_old"))["issued_at"] == "never"


class TestFiles:
    async def test_unchanged_files_are_left_alone_unless_it_is_asked_for(self, stage: Stage) -> None:
        stage.manager.check_files()
        assert stage.log.is_empty()
        stage.manager.reload()
        assert (await stage.log.next("certificate_loaded"))["identity"] == "bank/1"
        stage.manager.check_files()
        assert stage.log.is_empty()
        assert stage.loaded == 1

    @pytest.mark.parametrize("name", ["identity.pem", "authority.pem", "revocations.pem"])
    async def test_file_that_was_replaced_comes_into_use(self, stage: Stage, name: str) -> None:
        path = stage.contexts.credentials.directory / name
        content, mode = path.read_bytes(), path.stat().st_mode
        path.unlink()
        path.write_bytes(content)
        path.chmod(mode)
        stage.manager.check_files()
        await stage.log.next("certificate_loaded")

    async def test_change_between_reading_and_watching_is_not_lost(self, ca: CertificateWorld) -> None:
        contexts, log = TlsContexts(ca.credentials(BANK)), NotedLog()
        stolen = ca.credentials(CLIENT)
        ca.revoke(stolen)
        ca.tell(contexts.credentials)
        async with noted_world() as (links, _, _):
            CertificateManager(contexts, links, log=log.logger).check_files()
        await log.next("certificate_loaded")
        assert contexts.is_revoked(stolen.certificate().serial)

    async def test_broken_file_is_told_once_and_what_works_stays(self, stage: Stage) -> None:
        context, path = stage.contexts.server, stage.contexts.credentials.pair_file
        content = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(content + b"\n")
        stage.manager.check_files()
        told = await stage.log.next("certificate_not_reloaded")
        assert "can be reached by others" in told["error"]
        assert told["hint"].startswith("run: chmod 600")
        stage.manager.check_files()
        assert stage.log.is_empty()
        assert (stage.contexts.server, stage.loaded) == (context, 0)
        path.chmod(0o600)
        path.write_bytes(content)
        stage.manager.check_files()
        await stage.log.next("certificate_loaded")


class TestPushedLists:
    async def test_list_is_stored_and_cuts_the_link_of_whom_it_names(
        self, ca: CertificateWorld, tmp_path: Path
    ) -> None:
        contexts, log = TlsContexts(ca.credentials(BANK)), NotedLog()
        stolen = ca.credentials(CLIENT)
        async with noted_world() as (links, at_links, _), noted_world() as (client, at_client, _):
            watcher = CertificateManager(contexts, links, log=log.logger)
            listener = await links.listen(LOOPBACK, factory(), tls=LinkTls(contexts, ANYBODY))
            dial(client, listener, LinkTls(TlsContexts(stolen), ANYBODY))
            link, _ = await at_links.ups.get()
            await at_client.ups.get()
            ca.revoke(stolen)
            der = decode_pem(ca.revocations(), REVOCATION_LIST)[0]
            await asyncio.gather(watcher.accept_list(der), watcher.accept_list(der))
            assert await at_links.ends.get() == (link, "the peer's certificate is revoked")
            assert (await log.next("revocation_list"))["revoked"] == 1
            assert (await log.next("certificate_loaded"))["cut"] == 1
            assert contexts.credentials.revocations_der() == der
            # The second of two equal pushes changes nothing.
            assert log.is_empty()

    async def test_list_that_comes_among_many_others_is_used(self, stage: Stage) -> None:
        gone = stage.ca.credentials(Identity.client(5))
        stage.ca.revoke(gone)
        lists = [b"nonsense", *(b"nonsense %d" % number for number in range(20)), stage.list_of(stage.ca.now)]
        await asyncio.gather(*(stage.manager.accept_list(der) for der in lists))
        assert stage.contexts.is_revoked(gone.certificate().serial)

    async def test_list_of_somebody_else_is_refused(self, stage: Stage, tmp_path: Path) -> None:
        foreign = CertificateWorld(tmp_path / "other", name="other")
        before = stage.contexts.credentials.revocations_der()
        await stage.manager.accept_list(decode_pem(foreign.revocations(), REVOCATION_LIST)[0])
        told = await stage.log.next("revocation_list_refused")
        assert told["error"] == "a revocation list that our authority did not sign"
        await stage.manager.accept_list(b"nonsense")
        await stage.log.next("revocation_list_refused")
        assert stage.contexts.credentials.revocations_der() == before

    async def test_list_that_could_not_be_stored_is_stored_when_that_is_possible(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = stage.ca.credentials(Identity.client(5))
        stage.ca.revoke(gone)
        pushed, tried = stage.list_of(stage.ca.now), 0

        def fail(path: Path, _content: bytes) -> None:
            nonlocal tried
            tried += 1
            raise KeyFileError(f"cannot write {path}: no space left")

        with monkeypatch.context() as patch:
            patch.setattr(files, "write_public", fail)
            await stage.manager.accept_list(pushed)
            moments: list[float] = []
            for second in range(0, 9000, 5):
                before = tried
                await stage.manager.check_age(stage.ca.now + second)
                if tried > before:
                    moments.append(second)
        assert moments[:5] == [0.0, 5.0, 15.0, 35.0, 75.0]
        assert [later - earlier for earlier, later in itertools.pairwise(moments)][-2:] == [2560.0, 3600.0]
        assert not stage.contexts.is_revoked(gone.certificate().serial)
        await stage.manager.check_age(stage.ca.now + 5 * 3600)
        assert stage.contexts.is_revoked(gone.certificate().serial)
        # That was it; and what is no list of our authority is never tried again.
        await stage.manager.accept_list(b"nonsense")
        monkeypatch.setattr(files, "write_public", fail)
        before = tried
        await stage.manager.check_age(stage.ca.now + 9 * 3600)
        assert tried == before

    async def test_older_list_takes_no_revocation_back(self, stage: Stage) -> None:
        older = stage.list_of(stage.ca.now)
        gone = stage.ca.credentials(Identity.client(5))
        stage.ca.revoke(gone)
        await stage.manager.accept_list(stage.list_of(stage.ca.now))
        await stage.log.next("certificate_loaded")
        await stage.manager.accept_list(older)
        assert stage.log.is_empty()
        assert stage.contexts.is_revoked(gone.certificate().serial)

# SPDX-License-Identifier: Apache-2.0
"""Sources that fail again and again at enrolment and with tokens: how long they wait, and what the log says of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp

from remsim.core.limits import LimitCounts, LimitName
from remsim.net.log_limiter import UNAUTHENTICATED_LINES, LogRateLimiter
from remsim.pki.codes import CODE_ID_BYTES, encode_bytes
from remsim.pki.enrolment_service import EnrolmentService
from remsim.server.api import enrolment, errors
from remsim.server.api.auth import AuthMiddleware
from remsim.server.api.resource import RestApplication
from remsim.server.authority.audit import CertificateAudit
from remsim.server.core.actions import Entry
from remsim.server.core.log_events import UNAUTHENTICATED_EVENTS
from remsim.server.core.tokens import FAILURE_FORGIVEN_S, FAILURES_ALLOWED
from remsim.server.service import ServerService
from tests.doubles.certificates import CertificateWorld
from tests.doubles.noted_log import NotedLog
from tests.doubles.reaching import reaches
from tests.doubles.server_rig import V1, running_server

WRONG = "remsim_0123456789ab_" + "a" * 52


class Clocks:
    """The host's clock, which may be set, and one that only goes on."""

    wall = 1_800_000_000.0
    steady = 0.0


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path, rest_open=False) as running:
        yield running


def served_enrolment(ca: CertificateWorld, log: NotedLog, clocks: Clocks, counts: LimitCounts) -> RestApplication:
    """The routes of enrolment, with these clocks."""
    served = RestApplication()
    errors.install(served, counts)
    entries: list[Entry] = []
    issuances = CertificateAudit((), entries.append, entries.append)
    enrolment.mount(
        served,
        EnrolmentService(ca.authority),
        log=log.logger,
        issuances=issuances,
        lines=LogRateLimiter(log.logger, counts, unauthenticated=UNAUTHENTICATED_EVENTS, now=lambda: clocks.steady),
        limits=counts,
        now=lambda: clocks.wall,
        clock=lambda: clocks.steady,
    )
    return served


async def ask_from(served: ASGIApp, source: str) -> int:
    """The status of a request for the authority with a code that does not exist."""
    code = {"code": encode_bytes(bytes(CODE_ID_BYTES))}
    transport = httpx2.ASGITransport(served, client=(source, 1))
    async with httpx2.AsyncClient(base_url="https://test", transport=transport) as rest:
        return (await rest.post("/enrolment/anchor", json=code)).status_code


@reaches(LimitName.ENROLMENT_FAILURES)
async def test_source_that_tries_codes_must_wait(ca: CertificateWorld) -> None:
    counts = LimitCounts()
    served = served_enrolment(ca, NotedLog(), Clocks(), counts)
    for _ in range(FAILURES_ALLOWED):
        assert await ask_from(served, "2001:db8::1") == 403
    assert await ask_from(served, "2001:db8::2") == 429, "the same host's network"
    assert await ask_from(served, "2001:db8:0:1::1") == 403
    assert counts[LimitName.ENROLMENT_FAILURES] == 1


async def test_refused_codes_of_many_sources_leave_few_lines(ca: CertificateWorld) -> None:
    log, counts = NotedLog(), LimitCounts()
    served = served_enrolment(ca, log, Clocks(), counts)
    for number in range(UNAUTHENTICATED_LINES + 5):
        assert await ask_from(served, f"2001:db8:0:{number:x}::1") == 403
    for _ in range(UNAUTHENTICATED_LINES):
        assert (await log.next("enrolment_refused"))["level"] == "warning"
    assert (await log.next("limit_reached"))["about"] == "enrolment_refused"
    assert (await log.next("enrolment_refused"))["level"] == "debug"
    assert counts[LimitName.LOG_LINES] == 5


async def test_source_that_tries_codes_waits_no_longer_when_the_clock_of_the_host_steps_back(
    ca: CertificateWorld,
) -> None:
    clocks = Clocks()
    served = served_enrolment(ca, NotedLog(), clocks, LimitCounts())
    for _ in range(FAILURES_ALLOWED):
        assert await ask_from(served, "192.0.2.1") == 403
    clocks.wall -= 3600.0
    clocks.steady += FAILURE_FORGIVEN_S
    assert await ask_from(served, "192.0.2.1") == 403
    assert await ask_from(served, "192.0.2.1") == 429


async def test_source_that_tries_tokens_waits_no_longer_when_the_clock_of_the_host_steps_back(
    service: ServerService,
) -> None:
    clocks = Clocks()
    assert service.runtime is not None
    gate = AuthMiddleware(
        FastAPI(),
        service.runtime,
        is_open=False,
        limits=LimitCounts(),
        now=lambda: clocks.wall,
        clock=lambda: clocks.steady,
    )
    headers = {"Authorization": f"Bearer {WRONG}"}
    async with httpx2.AsyncClient(base_url="http://t", transport=httpx2.ASGITransport(gate), headers=headers) as rest:
        for _ in range(FAILURES_ALLOWED):
            assert (await rest.get(f"{V1}/banks")).status_code == 401
        clocks.wall -= 3600.0
        clocks.steady += FAILURE_FORGIVEN_S
        assert (await rest.get(f"{V1}/banks")).status_code == 401
        assert (await rest.get(f"{V1}/banks")).status_code == 429

# SPDX-License-Identifier: Apache-2.0
"""Warnings over a whole server: lists, scopes, events, metric, ``remsim ctl``; and what only the host knows."""

import asyncio
import html
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
from prometheus_client import generate_latest

from remsim.cli.main import main
from remsim.cli.rest import open_rest
from remsim.config import CtlConfig, HostPort, ServerConfig, load_config
from remsim.core import host_codes
from remsim.core.identity import Identity
from remsim.core.ids import BankSlot
from remsim.core.limits import LimitName
from remsim.doctor.check import Situation
from remsim.doctor.warnings import check_warnings
from remsim.server import warning_watch
from remsim.server.core import warnings as registry
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.core.warning_rules import FLAPS
from remsim.server.runtime import ServerRuntime
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from remsim.server.warning_watch import CertificateEnd, Outside, WarningWatch
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import (
    CardErrorKind,
    HostCondition,
    HostConditionsInd,
    LastError,
    RecentErrors,
    SessionPhase,
    SlotCounters,
    SlotHealthInd,
)
from remsim.wire.messages.rspro import ReaderHealthInd, ReaderState
from tests.doubles.reaching import reaches
from tests.doubles.server_rig import connect_bank, connect_client, rest_client, running_server

V2 = "/api/v2"
DAY = 86400.0


def runtime_of(service: ServerService) -> ServerRuntime:
    assert service.runtime is not None
    return service.runtime


def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test sets as a warning is not taken back because it is not found."""

    async def look(_watch: WarningWatch) -> None:
        return

    monkeypatch.setattr(WarningWatch, "look", look)


async def test_they_appear_and_go_in_list_events_metric_and_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        runtime = runtime_of(service)
        watch = WarningWatch(runtime, Outside(tmp_path))
        async with await connect_bank(service, 1, is_own=True) as bank:
            bank.send(ReaderHealthInd(BankSlot(1, 3), ReaderState.SUSPENDED, 4, None))
            await bank.settle()
            await watch.look()
            (item,) = (await rest.get(f"{V2}/warnings")).json()["items"]
            assert (item["kind"], item["about"], item["severity"]) == ("reader", "B1:3", "warning")
            assert item["text"].startswith("the reader of B1:3 has failed 4 times")
            assert (await rest.get(f"{V2}/warnings?kind=disk")).json() == {"items": []}
            assert len((await rest.get(f"{V2}/warnings?about=B1:3")).json()["items"]) == 1
            assert (await rest.get(f"{V2}/warnings?kind=mood")).status_code == 400
            metrics = generate_latest(service._metrics.registry).decode()
            assert 'remsim_warnings{kind="reader"} 1.0' in metrics
            assert 'remsim_warnings{kind="disk"} 0.0' in metrics
            url = f"http://{service.rest_address}"
            capsys.readouterr()
            assert await asyncio.to_thread(main, ["ctl", "--rest", url, "--json", "warnings"]) == 0
            assert json.loads(capsys.readouterr().out) == [{**item, "age_s": pytest.approx(item["age_s"], abs=30)}]
            assert await asyncio.to_thread(main, ["ctl", "--rest", url, "warnings"]) == 0
            assert "see remsim doctor on that host" in capsys.readouterr().out
            bank.send(ReaderHealthInd(BankSlot(1, 3), ReaderState.WORKING, 0, None))
            await bank.settle()
            await watch.look()
        assert (await rest.get(f"{V2}/warnings")).json() == {"items": []}
        events = (await rest.get(f"{V2}/events")).json()["items"]
        told = [
            (event["kind"], event["bank_slot"], event["data"]["kind"]) for event in events if "warning" in event["kind"]
        ]
        assert told == [("warning", "B1:3", "reader"), ("warning_cleared", "B1:3", "reader")]


async def test_a_token_sees_only_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody_looks(monkeypatch)
    async with running_server(tmp_path, rest_open=False) as service:
        runtime = runtime_of(service)
        runtime.warn("pcscd", BankSlot(1, 3), "too old", "upgrade")
        runtime.warn("pcscd", BankSlot(2, 3), "too old", "upgrade")
        runtime.warn("pcscd", "server", "too old", "upgrade", severity="error")
        config = ServerConfig(state_dir=tmp_path)
        for scope, seen in ((Scope(), ["B1:3", "B2:3", "server"]), (Scope(frozenset({2}), None), ["B2:3"])):
            text, _ = await asyncio.to_thread(create_token, config, name="x", role=TokenRole.VIEWER, scope=scope)
            async with rest_client(service, over_socket=False, token=text) as rest:
                first = (await rest.get(f"{V2}/warnings?limit=1")).json()
                assert [item["about"] for item in first["items"]] == seen[:1]
                rest_of = (await rest.get(f"{V2}/warnings")).json()["items"]
                assert [item["about"] for item in rest_of] == seen
                told = [event["data"]["about"] for event in (await rest.get(f"{V2}/events")).json()["items"]]
                assert told == seen
        runtime.clear_warning("pcscd", "server")
        runtime.clear_warning("pcscd", "server")
        assert [alert.about for alert in runtime.warnings] == ["B1:3", "B2:3"]


@reaches(LimitName.WARNINGS)
async def test_there_are_no_more_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody_looks(monkeypatch)
    monkeypatch.setattr(registry, "MAX_WARNINGS", 1)
    async with running_server(tmp_path) as service:
        for number in range(3):
            runtime_of(service).warn("pcscd", BankSlot(1, number), "x", "y")
        assert len(runtime_of(service).warnings) == 1


class Usage(NamedTuple):
    total: int
    used: int
    free: int


async def texts(watch: WarningWatch, runtime: ServerRuntime) -> dict[str, tuple[str, str]]:
    await watch.look()
    return {f"{alert.kind} {alert.about}": (alert.severity, alert.text) for alert in runtime.warnings}


async def test_disk_database_and_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 1 << 40

    def usage(_path: Path) -> Usage:
        return Usage(1 << 40, 0, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    async with running_server(tmp_path) as service:
        runtime = runtime_of(service)
        is_doubtful = False
        watch = WarningWatch(runtime, Outside(tmp_path, is_clock_doubtful=lambda: is_doubtful))
        assert await texts(watch, runtime) == {}
        free = 100 << 20
        shown = f"100 MiB of 1048576 MiB are free at {tmp_path}"
        assert await texts(watch, runtime) == {"disk server": ("warning", shown)}
        free = 10 << 20
        assert (await texts(watch, runtime))["disk server"][0] == "error"
        # One of a bankd's host stands beside it, and neither takes the other's place.
        async with await connect_bank(service, 1, is_own=True) as bank:
            bank.send(HostConditionsInd((HostCondition("disk", is_error=False, detail="300 MiB are free"),)))
            await bank.settle()
            numbers = []
            for _ in range(2):
                assert {"disk server", "disk B1"} <= set(await texts(watch, runtime))
                numbers.append([alert.number for alert in runtime.warnings if alert.kind == "disk"])
            assert numbers[0] == numbers[1]
        assert await runtime.changes.until(lambda: runtime.query.bank(1) is None or None, 20)
        free = 1 << 40
        runtime.store.is_healthy = False
        assert list(await texts(watch, runtime)) == ["database server"]
        runtime.store.is_healthy = True
        is_doubtful = True
        assert list(await texts(watch, runtime)) == ["clock server"]
        is_doubtful = False
        assert await texts(watch, runtime) == {}
        real = time.time
        monkeypatch.setattr("remsim.server.warning_watch.time.time", lambda: real() + 4000)
        (text,) = (await texts(watch, runtime)).values()
        assert text[1] in ("the server's clock has jumped by +4000 s", "the server's clock has jumped by +4001 s")


@pytest.mark.parametrize(
    ("identity", "left_s", "expected"),
    [
        (Identity.bank(1), 15 * DAY, {}),
        (Identity.bank(1), 6.5 * DAY, {"certificate B1": ("warning", "the certificate of B1 ends in 6 days")}),
        (Identity.client(7), 1.5 * DAY, {"certificate C7": ("warning", "the certificate of C7 ends in 1 day")}),
        (Identity.client(7, 0), 60.0, {"certificate C7:0": ("error", "the certificate of C7:0 ends within a day")}),
        (Identity.server("lab"), -60.0, {"certificate server": ("error", "the server's certificate has ended")}),
        (Identity.bank(1), -2 * DAY, {}),
    ],
)
async def test_certificates_that_end(
    tmp_path: Path, identity: Identity, left_s: float, expected: dict[str, tuple[str, str]]
) -> None:
    async with running_server(tmp_path) as service:
        runtime = runtime_of(service)
        ends: Callable[[], list[CertificateEnd]] = lambda: [  # noqa: E731
            CertificateEnd(identity, time.time() - 5),
            CertificateEnd(identity, time.time() + left_s),
        ]
        if left_s < 0:
            ends = lambda: [CertificateEnd(identity, time.time() + left_s)]  # noqa: E731
        watch = WarningWatch(runtime, Outside(tmp_path, certificates=ends))
        assert await texts(watch, runtime) == expected


async def test_a_slot_that_its_bankd_finds_sick(tmp_path: Path) -> None:
    good = SlotHealthInd(
        bank_slot=BankSlot(1, 3),
        is_present=True,
        presence_age_ms=0,
        phase=SessionPhase.NONE,
        phase_age_ms=0,
        counters=SlotCounters(),
        recent=RecentErrors(),
        reader="R",
    )
    last = LastError(CardErrorKind.TRANSMISSION, 1000)
    async with running_server(tmp_path) as service, await connect_bank(service, 1, is_own=True) as bank:
        runtime = runtime_of(service)
        watch = WarningWatch(runtime, Outside(tmp_path))
        bank.send(replace(good, recent=RecentErrors(0, 14), last_error=last))
        await bank.settle()
        (found,) = (await texts(watch, runtime)).items()
        assert found[0] == "slot-health B1:3"
        assert found[1][1].startswith("contact trouble: 14 transmission errors in 1 h")
        bank.send(good)
        await bank.settle()
        assert await texts(watch, runtime) == {}


#: Every kind that an operator meets, and what it is about here.
WRONG = {
    ("reader", "B1:3"),
    ("certificate", "B1"),
    ("pcscd", "B1"),
    ("disk", "B1"),
    ("card-pulled", "B1:4"),
    ("identity", "C9:0"),
    ("clock", "server"),
    ("disk", "server"),
}


async def test_one_list_is_behind_page_command_metrics_webhooks_and_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warning_watch, "INTERVAL_S", 3600.0)
    free, left_s, is_doubtful = 1 << 40, 6.5 * DAY, True
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(1 << 40, 0, free))
    async with running_server(tmp_path, rest_open=False) as service, AsyncExitStack() as all_:
        runtime = runtime_of(service)
        config = ServerConfig(state_dir=tmp_path)
        token, _ = await asyncio.to_thread(create_token, config, name="x", role=TokenRole.ADMIN, scope=Scope())
        monkeypatch.setenv("REMSIM_TOKEN", token)
        rest = await all_.enter_async_context(rest_client(service, over_socket=True, token=token))
        # Nobody takes them; what is waiting is seen all the same.
        hook = {"url": "http://127.0.0.1:9/hook", "kinds": ["warning", "warning_cleared"]}
        assert (await rest.post(f"{V2}/webhooks", json=hook)).status_code == 201
        ends = lambda: [CertificateEnd(Identity.bank(1), time.time() + left_s)]  # noqa: E731
        watch = WarningWatch(runtime, Outside(tmp_path, ends, lambda: is_doubtful))
        bank = await all_.enter_async_context(await connect_bank(service, 1, is_own=True))
        assert (await rest.put(f"{V2}/mappings/C8:0", json={"card": "B1:4"})).status_code == 201
        bank.send(ReaderHealthInd(BankSlot(1, 3), ReaderState.SUSPENDED, 4, None))
        for iccid in ("8900101234567890018", None):
            bank.send(CardInd(BankSlot(1, 4), iccid))
        await bank.settle()
        for _ in range(FLAPS):
            async with await connect_client(service, 9):
                pass
        free = 100 << 20
        old = HostCondition(host_codes.PCSCD_TOO_OLD, is_error=False, detail="this pcscd lists 16 readers at most")
        bank.send(HostConditionsInd((old, HostCondition(host_codes.DISK, is_error=False, detail="300 MiB are free"))))
        await bank.settle()
        await watch.look()
        texts = await _check_everywhere(service, rest, WRONG, capsys)

        free, left_s, is_doubtful = 1 << 40, 80 * DAY, False
        bank.send(ReaderHealthInd(BankSlot(1, 3), ReaderState.WORKING, 0, None))
        bank.send(HostConditionsInd(()))
        bank.send(CardInd(BankSlot(1, 4), "8900101234567890018"))
        await bank.settle()
        monkeypatch.setattr("remsim.server.core.warning_rules.FLAP_S", 0.0)
        await watch.look()
        await _check_everywhere(service, rest, set(), capsys, over=texts)
        (deliveries,) = [(await rest.get(f"{V2}/webhooks/1/deliveries?limit=100")).json()["items"]]
        for kind in ("warning", "warning_cleared"):
            told = [json.loads(each["body"])["data"] for each in deliveries if each["kind"] == kind]
            assert {(each["kind"], each["about"]) for each in told} == WRONG, kind
            assert len(told) == len(WRONG)


async def _check_everywhere(
    service: ServerService,
    rest: httpx2.AsyncClient,
    wrong: set[tuple[str, str]],
    capsys: pytest.CaptureFixture[str],
    over: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """These warnings and no others are where people and programs look, and no words of those that are over.

    Returns the words of those that are there.
    """
    items = (await rest.get(f"{V2}/warnings")).json()["items"]
    assert {(each["kind"], each["about"]) for each in items} == wrong
    page = html.unescape((await rest.get("/", headers={"Accept": "text/html"})).text)
    problems = page[page.index('id="problems"') : page.index("</section>", page.index('id="problems"'))]
    url = f"http://{service.rest_address}"
    capsys.readouterr()
    assert await asyncio.to_thread(main, ["ctl", "--rest", url, "warnings"]) == 0
    command = " ".join(capsys.readouterr().out.split())
    shown = generate_latest(service._metrics.registry).decode()
    metrics = {
        line.split('"')[1] for line in shown.splitlines() if line.startswith("remsim_warnings{") and " 0.0" not in line
    }
    assert metrics == {kind for kind, _ in wrong}
    calls = open_rest(load_config(CtlConfig, options={"rest": url}, environ=os.environ), os.environ, program="doctor")
    situation = Situation(HostPort("127.0.0.1", 1), open_rest=lambda: calls)
    doctor = " ".join(f"{found.text} {found.mend}" for found in await check_warnings(situation))
    for each in items:
        for place in (problems, doctor):
            assert each["text"] in place
            assert each["hint"] in place
        assert each["text"].split()[0] in command
        assert each["hint"].split()[-1] in command
    assert not [text for text in over if text in problems]
    if not wrong:
        assert "the server has no warnings" in doctor
        assert "nothing is wrong" in command
    return tuple(each["text"] for each in items)

# SPDX-License-Identifier: Apache-2.0
"""Webhooks over a whole server, with a receiver on loopback that fails when it is told to."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx2
import pytest

from remsim.cli.main import main
from remsim.config import ServerConfig
from remsim.core.limits import LimitName
from remsim.rest import Rest, webhooks
from remsim.server.core import webhooks as core
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from remsim.server.webhooks import WebhookSender
from tests.doubles.reaching import reaches
from tests.doubles.server_rig import rest_client, running_server
from tests.reference import ROOT

V2 = "/api/v2"
PATIENCE_S = 20.0


@dataclass
class Got:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return str(json.loads(self.body)["kind"])


@dataclass
class Receiver:
    """Answers with the ``statuses`` one after another, then 204; ``got`` has what came."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    got: "asyncio.Queue[Got]" = field(default_factory=asyncio.Queue)

    async def next(self) -> Got:
        async with asyncio.timeout(PATIENCE_S):
            return await self.got.get()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:] if line)
                }
                body = await reader.readexactly(int(headers["content-length"]))
                status = self.statuses.pop(0) if self.statuses else 204
                where = "Location: /elsewhere\r\n" if status == 302 else ""
                writer.write(f"HTTP/1.1 {status} X\r\n{where}Content-Length: 0\r\n\r\n".encode())
                await writer.drain()
                self.got.put_nowait(Got(headers, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/hook?x=1"


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(statuses=list(statuses))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


async def admin_of(
    stack: AsyncExitStack,
    service: ServerService,
    state: Path,
    role: TokenRole = TokenRole.ADMIN,
    scope: Scope | None = None,
) -> httpx2.AsyncClient:
    config = ServerConfig(state_dir=state)
    text, _ = await asyncio.to_thread(create_token, config, name=role.text, role=role, scope=scope or Scope())
    return await stack.enter_async_context(rest_client(service, over_socket=False, token=text))


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path, rest_open=False) as running:
        yield running


@pytest.fixture
async def admin(service: ServerService, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with AsyncExitStack() as stack:
        yield await admin_of(stack, service, tmp_path)


async def label(rest: httpx2.AsyncClient, slot: str, *names: str) -> None:
    assert (await rest.put(f"{V2}/labels/{slot}", json={"labels": list(names)})).status_code == 200


async def test_events_arrive_in_order_signed_and_again_until_they_are_taken(
    service: ServerService, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "FIRST_DELAY_S", 0.01)
    async with receiving(500, 302) as receiver:
        order = {"url": receiver.url, "kinds": ["labels_changed"], "secret": "0123456789abcdef"}
        made = await admin.post(f"{V2}/webhooks", json=order)
        assert (made.status_code, made.json()["secret"]) == (201, "0123456789abcdef")
        for nr in range(3):
            await label(admin, f"B1:{nr}", "a")
        got = [await receiver.next() for _ in range(5)]
        # The first is tried three times: what fails, and a redirect, which is not followed.
        subjects = [json.loads(each.body)["data"]["subject"] for each in got]
        assert subjects == ["B1:0", "B1:0", "B1:0", "B1:1", "B1:2"]
        one = got[0]
        assert one.headers["host"] == f"localhost:{receiver.port}"
        assert one.headers["remsim-event"] == "labels_changed"
        assert json.loads(one.body)["id"] == "1-1"
        at = int(one.headers["remsim-signature"].split(",")[0].removeprefix("t="))
        assert one.headers["remsim-signature"] == core.signature("0123456789abcdef", one.body, at)
        _check_by_the_manual(one)
        runtime, sender = service.runtime, cast(WebhookSender, service.app.state.webhooks) if service.app else None
        assert runtime is not None
        assert sender is not None
        assert await runtime.changes.until(lambda: not any(queue.pending for queue in sender.table) or None, PATIENCE_S)
        log = (await admin.get(f"{V2}/webhooks/1/deliveries")).json()["items"]
        assert [(each["state"], each["attempts"]) for each in log] == [
            ("delivered", 3),
            ("delivered", 1),
            ("delivered", 1),
        ]
        first = (await admin.get(f"{V2}/webhooks/1/deliveries?limit=2")).json()
        assert len((await admin.get(f"{V2}/webhooks/1/deliveries?cursor={first['next']}")).json()["items"]) == 1
        shown = (await admin.get(f"{V2}/webhooks")).json()["items"]
        assert [(each["id"], each["kinds"], "secret" in each) for each in shown] == [(1, ["labels_changed"], False)]
        entries = (await admin.get(f"{V2}/audit")).json()["items"]
        assert [(e["action"], e["detail"]) for e in entries if "webhook" in e["action"]] == [
            ("webhook.create", "localhost")
        ]


def _check_by_the_manual(got: Got) -> None:
    """The example in the manual takes what came, and nothing else."""
    page = (ROOT / "docs" / "manual" / "rest.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?def is_genuine.*?)```", page, re.DOTALL)
    assert found is not None
    names: dict[str, object] = {}
    exec(found[1], names)  # noqa: S102  # our own manual
    is_genuine = names["is_genuine"]
    assert callable(is_genuine)
    header = got.headers["remsim-signature"]
    assert is_genuine("0123456789abcdef", header, got.body)
    assert not is_genuine("0123456789abcdeX", header, got.body)
    assert not is_genuine("0123456789abcdef", header, got.body + b" ")
    assert not is_genuine("0123456789abcdef", header.replace("t=1", "t=2"), got.body)
    old = core.signature("0123456789abcdef", got.body, 1_000_000_000)
    assert not is_genuine("0123456789abcdef", old, got.body)


async def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving(*[503] * 1000))
        async with running_server(tmp_path, rest_open=False) as service:
            async with AsyncExitStack() as inner:
                rest = await admin_of(inner, service, tmp_path)
                assert (await rest.post(f"{V2}/webhooks", json={"url": receiver.url})).status_code == 201
                for nr in range(3):
                    await label(rest, f"B1:{nr}", "a")
                await receiver.next()
        receiver.statuses.clear()
        while not receiver.got.empty():
            receiver.got.get_nowait()
        async with running_server(tmp_path, rest_open=False) as service:
            got = [await receiver.next() for _ in range(3)]
            assert [json.loads(each.body)["data"]["subject"] for each in got] == ["B1:0", "B1:1", "B1:2"]
            rest = await admin_of(stack, service, tmp_path)
            assert (await rest.delete(f"{V2}/webhooks/1")).status_code == 204
            assert (await rest.get(f"{V2}/webhooks/1/deliveries")).status_code == 404
        async with running_server(tmp_path, rest_open=False) as service:
            rest = await admin_of(stack, service, tmp_path)
            assert (await rest.get(f"{V2}/webhooks")).json() == {"items": []}


async def test_a_test_says_what_comes_of_it(admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "FIRST_DELAY_S", 60.0)
    async with receiving(204, 404) as receiver:
        made = (await admin.post(f"{V2}/webhooks", json={"url": receiver.url, "kinds": ["card_gone"]})).json()
        assert len(made["secret"]) >= 40
        good = (await admin.post(f"{V2}/webhooks/1/test")).json()
        assert (good["kind"], good["state"], good["outcome"]) == ("webhook_test", "delivered", "delivered")
        bad = (await admin.post(f"{V2}/webhooks/1/test")).json()
        assert (bad["state"], bad["attempts"], bad["outcome"]) == ("waiting", 1, "HTTP 404")
        assert "failing_since" in (await admin.get(f"{V2}/webhooks/1")).json()
    away = (await admin.post(f"{V2}/webhooks", json={"url": "http://127.0.0.1:1/"})).json()
    said = (await admin.post(f"{V2}/webhooks/{away['id']}/test")).json()
    assert said["outcome"].startswith("ConnectError")


async def test_one_that_is_paused_gets_nothing_until_it_goes_on_and_keeps_what_happens(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        async with running_server(tmp_path, rest_open=False) as service, AsyncExitStack() as inner:
            rest = await admin_of(inner, service, tmp_path)
            order = {"url": receiver.url, "kinds": ["labels_changed"]}
            assert (await rest.post(f"{V2}/webhooks", json=order)).status_code == 201
            paused = (await rest.post(f"{V2}/webhooks/1/pause")).json()
            assert paused["paused_since"].startswith("20")
            # Once more changes nothing.
            again = (await rest.post(f"{V2}/webhooks/1/pause")).json()
            assert again["paused_since"] == paused["paused_since"]
            for nr in range(2):
                await label(rest, f"B1:{nr}", "a")
            assert (await rest.get(f"{V2}/webhooks/1")).json()["waiting"] == 2
            tested = await rest.post(f"{V2}/webhooks/1/test")
            assert (tested.status_code, tested.json()["code"]) == (409, "paused")
        async with running_server(tmp_path, rest_open=False) as service:
            rest = await admin_of(stack, service, tmp_path)
            await label(rest, "B1:2", "a")
            shown = (await rest.get(f"{V2}/webhooks/1")).json()
            assert (shown["waiting"], shown["paused_since"]) == (3, paused["paused_since"])
            assert receiver.got.empty()
            assert "paused_since" not in (await rest.post(f"{V2}/webhooks/1/resume")).json()
            got = [await receiver.next() for _ in range(3)]
            assert [json.loads(each.body)["data"]["subject"] for each in got] == ["B1:0", "B1:1", "B1:2"]
            actions = [entry["action"] for entry in (await rest.get(f"{V2}/audit")).json()["items"]]
            assert [action for action in actions if action.startswith("webhook")] == [
                *("webhook.create", "webhook.pause", "webhook.resume")
            ]


async def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "FIRST_DELAY_S", 600.0)
    async with running_server(tmp_path, rest_open=False) as service, receiving(204, 404) as receiver:
        config = ServerConfig(state_dir=tmp_path)
        token, _ = await asyncio.to_thread(create_token, config, name="x", role=TokenRole.ADMIN)
        monkeypatch.setenv("REMSIM_TOKEN", token)

        async def ctl(*words: str, json_too: bool = False) -> tuple[int, str]:
            options = ["--rest", f"http://{service.rest_address}", *(["--json"] if json_too else [])]
            status = await asyncio.to_thread(main, ["ctl", *options, "webhooks", *words])
            out, err = capsys.readouterr()
            return status, out + "".join(line for line in err.splitlines() if line.startswith("remsim"))

        assert await ctl() == (0, "events are sent to nobody\n")
        secret = tmp_path / "secret"
        secret.write_text("0123456789abcdef\n")
        status, text = await ctl("add", receiver.url, "--kind", "labels_changed", "--secret", str(secret))
        assert (status, text) == (0, f"webhook 1: {receiver.url}\n")
        monkeypatch.setattr("sys.stdin", io.StringIO("fedcba9876543210\n"))
        status, text = await ctl("add", receiver.url, "--secret", "-", json_too=True)
        assert status == 0, text
        assert json.loads(text)["secret"] == "fedcba9876543210"
        status, text = await ctl("add", receiver.url)
        assert re.search(r"^its secret, which is not shown again: \S{40,}$", text, re.MULTILINE)
        for wrong in (("add", "x"), ("add", receiver.url, "--kind", "x"), ("add", receiver.url, "--secret", "/none")):
            assert (await ctl(*wrong))[0] in (1, 2)
        assert await ctl("test", "1") == (0, "delivery 1: delivered\n")
        got = await receiver.next()
        seconds = got.headers["remsim-signature"].partition(",")[0].removeprefix("t=")
        assert got.headers["remsim-signature"] == core.signature("0123456789abcdef", got.body, int(seconds))
        status, text = await ctl("test", "1")
        assert (status, "not delivered: HTTP 404" in text) == (1, True)
        status, text = await ctl("log", "1")
        assert [line.split()[:3] for line in text.splitlines()[1:]] == [
            *(["1", "webhook_test", "delivered"], ["2", "webhook_test", "waiting"])
        ]
        assert (await ctl("pause", "1"))[1].startswith("webhook 1 is paused; ")
        assert "paused since 20" in (await ctl("list"))[1]
        assert (await ctl("resume", "1"))[1].startswith("webhook 1 goes on; ")
        assert await ctl("delete", "3") == (0, "deleted webhook 3\n")
        assert [each["id"] for each in json.loads((await ctl(json_too=True))[1])] == [1, 2]
        assert (await ctl("log", "3"))[0] == 1


async def test_addresses_that_are_not_allowed_are_not_called(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        settings: dict[str, object] = {"webhook_networks": "10.0.0.0/8"}
        service = await stack.enter_async_context(running_server(tmp_path, rest_open=False, **settings))
        rest = await admin_of(stack, service, tmp_path)
        for url in (receiver.url, "http://169.254.169.254/latest"):
            made = (await rest.post(f"{V2}/webhooks", json={"url": url})).json()
            said = (await rest.post(f"{V2}/webhooks/{made['id']}/test")).json()
            assert said["outcome"].endswith("has no address to which events may be sent")
        assert receiver.got.empty()


async def test_only_admins_and_within_their_limits(
    service: ServerService, admin: httpx2.AsyncClient, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        operator = await admin_of(stack, service, tmp_path, TokenRole.OPERATOR)
        assert (await operator.get(f"{V2}/webhooks")).status_code == 403
        assert (await operator.post(f"{V2}/webhooks", json={"url": receiver.url})).status_code == 403
        limited = await admin_of(stack, service, tmp_path, TokenRole.ADMIN, Scope(frozenset({2}), None))
        assert (await limited.post(f"{V2}/webhooks", json={"url": receiver.url})).json()["banks"] == [2]
        await label(admin, "B1:0", "a")
        await label(admin, "B2:0", "a")
        assert json.loads((await receiver.next()).body)["data"]["subject"] == "B2:0"
        assert (await admin.post(f"{V2}/webhooks", json={"url": receiver.url})).json()["id"] == 2
        assert [each["id"] for each in (await limited.get(f"{V2}/webhooks")).json()["items"]] == [1]
        assert (await limited.delete(f"{V2}/webhooks/2")).status_code == 404


@pytest.mark.parametrize(
    "order",
    [
        {"url": "ftp://h/"},
        {"url": "https://u:p@h/"},
        {"url": "https://h/", "kinds": ["mood"]},
        {"url": "https://h/", "kinds": []},
        {"url": "https://h/", "secret": "short"},
        {"url": "https://h/", "more": 1},
        {},
    ],
)
async def test_what_can_be_no_webhook_is_said(admin: httpx2.AsyncClient, order: dict[str, object]) -> None:
    answer = await admin.post(f"{V2}/webhooks", json=order)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@reaches(LimitName.WEBHOOKS)
@reaches(LimitName.WEBHOOK_QUEUE)
async def test_there_are_no_more_than_the_limits(
    service: ServerService, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "MAX_WEBHOOKS", 1)
    monkeypatch.setattr(core, "MAX_PENDING", 1)
    monkeypatch.setattr(core, "FIRST_DELAY_S", 60.0)
    async with receiving(503, 503) as receiver:
        assert (await admin.post(f"{V2}/webhooks", json={"url": receiver.url})).status_code == 201
        more = await admin.post(f"{V2}/webhooks", json={"url": receiver.url})
        assert (more.status_code, more.json()["code"]) == (409, "too_many")
        await label(admin, "B1:0", "a")
        await receiver.next()
        await label(admin, "B1:1", "a")
        log = (await admin.get(f"{V2}/webhooks/1/deliveries")).json()["items"]
        assert [each["state"] for each in log] == ["dropped", "waiting"]


async def test_the_library_makes_the_calls(tmp_path: Path) -> None:
    async with running_server(tmp_path, rest_open=False) as service, receiving() as receiver:
        config = ServerConfig(state_dir=tmp_path)
        token, _ = await asyncio.to_thread(create_token, config, name="x", role=TokenRole.ADMIN)

        def use() -> str:
            with Rest(f"http://{service.rest_address}", token=token) as rest:
                made = rest.do(webhooks.create_webhook(receiver.url, kinds=["card_gone"]))
                said = rest.do(webhooks.test_webhook(made.id))
                assert [each.id for each in rest.items(webhooks.list_webhooks())] == [made.id]
                assert rest.do(webhooks.pause_webhook(made.id)).paused_since is not None
                assert rest.do(webhooks.resume_webhook(made.id)).paused_since is None
                assert [each.id for each in rest.items(webhooks.list_deliveries(made.id))] == [said.id]
                rest.do(webhooks.delete_webhook(made.id))
                return said.state

        assert await asyncio.to_thread(use) == "delivered"

# SPDX-License-Identifier: Apache-2.0
"""What a token with limits is told of others: nothing, by any route that is read, in whatever it is asked for.

Two installations share a server: each has a bank, a client, cards, labels, a mapping, a lease, a lock, a webhook and
a token of its own. Every GET route is asked with the token of the one, for what is its own and for what is the
other's, and the answers are searched for everything by which the other could be known.
"""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from fastapi.routing import iter_route_contexts
from starlette.types import Message

from remsim.config import ServerConfig
from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from remsim.server.warning_watch import Outside, WarningWatch
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import InventoryInd, SessionPhase
from remsim.wire.messages.rspro import SessionStateInd
from tests.contract.test_rest2_health import MODEM, REPORT
from tests.doubles.asgi_caller import scope_of
from tests.doubles.server_rig import connect_bank, connect_client, rest_client, running_server

V2 = "/api/v2"
#: So long a stream is listened to; what it tells of how things stand comes at once.
LISTEN_S = 0.5
STREAMS = re.compile(r"/page/stream(/.*)?|/api/v2/traces/.*")
#: Files of the package, and what is the same for everybody.
SAME_FOR_ALL = {"/openapi.json", "/health", "/ready", "/login", "/page/static/{name}"}


@dataclass(frozen=True)
class Side:
    """One of the two; ``word`` is in everything of it that has a name."""

    word: str
    bank: int
    client: int
    iccid: str
    imsi: str

    @property
    def scope(self) -> Scope:
        return Scope(frozenset({self.bank}), frozenset({self.client}))

    @property
    def marks(self) -> re.Pattern[str]:
        """Everything by which it could be known; not the fractions of seconds."""
        numbers = rf"(?<![\d.])({self.bank}|{self.client})(?!\d)"
        return re.compile(f"{numbers}|{self.word}|{self.iccid[:6]}|{self.iccid[-4:]}|{self.imsi}", re.IGNORECASE)


MINE = Side("heron", 631, 833, "8900188888888888831", "001018888888831")
OTHER = Side("magpie", 722, 942, "8900199999999999942", "001019999999942")


async def populate(service: ServerService, stack: AsyncExitStack, side: Side, admin: httpx2.AsyncClient) -> None:
    slot, second = BankSlot(side.bank, 3), BankSlot(side.bank, 4)
    client = ClientSlot(side.client, 0)
    for path, body in (
        (f"mappings/{client}", {"card": str(slot)}),
        (f"labels/{slot}", {"labels": [f"{side.word}-pool"]}),
        (f"labels/{second}", {"labels": [f"{side.word}-pool"]}),
        (f"labels/{client}", {"labels": [f"{side.word}-modem"]}),
        (f"labels/iccid:{side.iccid}", {"labels": [f"{side.word}-card"]}),
    ):
        assert (await admin.put(f"{V2}/{path}", json=body)).status_code in (200, 201), path
    bank = await stack.enter_async_context(await connect_bank(service, side.bank, 6, is_own=True))
    modem = await stack.enter_async_context(await connect_client(service, side.client, is_own=True))
    bank.send(CardInd(slot, side.iccid))
    bank.send(InventoryInd(slot, side.iccid, side.imsi, side.word.encode()))
    bank.send(SessionStateInd(slot, client, SessionPhase.RESUMABLE, 30_000, 2))
    bank.send(replace(REPORT, bank_slot=slot, client=client, reader=f"{side.word} reader"))
    modem.send(replace(MODEM, client_slot=client, bank_slot=slot, board=f"{side.word} board"))
    await bank.settle()
    await modem.settle()
    for order in ({"client": f"C{side.client}:1"}, {"client": f"C{side.client}:2", "wait": "1h"}):
        lease = {"pool": f"label:{side.word}-pool", "for": "1h", **order}
        assert (await admin.post(f"{V2}/leases?timeout=1ms", json=lease)).status_code in (201, 202)


@dataclass(frozen=True)
class World:
    """The server with both, and the text of a token for all of one, by role."""

    service: ServerService
    state: Path

    async def token(self, name: str, role: TokenRole, scope: Scope) -> str:
        config = ServerConfig(state_dir=self.state)
        text, _ = await asyncio.to_thread(create_token, config, name=name, role=role, scope=scope)
        return text


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running_server(tmp_path, rest_open=False, keep_imsi=True))
        found = World(service, tmp_path)
        boss = await found.token("boss", TokenRole.ADMIN, Scope())
        unlimited = await stack.enter_async_context(rest_client(service, over_socket=False, token=boss))
        for side in (MINE, OTHER):
            await populate(service, stack, side, unlimited)
            text = await found.token(f"{side.word} admin", TokenRole.ADMIN, side.scope)
            own = await stack.enter_async_context(rest_client(service, over_socket=False, token=text))
            made = await own.post(f"{V2}/webhooks", json={"url": f"http://127.0.0.1:9/{side.word}"})
            assert made.status_code == 201
            locked = await own.put(f"{V2}/banks/{side.bank}/slots/5/lock", json={"reason": f"{side.word} is worn"})
            assert locked.status_code in (200, 201), locked.text
        runtime = service.runtime
        assert runtime is not None
        await WarningWatch(runtime, Outside(tmp_path)).look()
        yield found


def targets(path: str, side: Side) -> Iterator[str]:
    """A route's path with what is of this side."""
    slots = (f"B{side.bank}:3", f"C{side.client}:0")
    values: dict[str, tuple[int | str, ...]] = {
        "bank_id": (side.bank,),
        "client_id": (side.client,),
        "slot_nr": (3, 0),
        "iccid": (side.iccid,),
        "client": (f"C{side.client}:0", f"C{side.client}:1"),
        "slot": slots,
        "name": (f"{side.client}:0",),
        "slotmap_id": (side.bank << 16 | 3,),
        "number": (1, 2, 3, 4),
        "subject": (*slots, f"iccid:{side.iccid}"),
    }
    names = re.findall(r"\{(\w+)\}", path)
    assert len(names) <= 2, path
    first = names[0] if names else None
    for value in values[first] if first else ("",):
        once = path if first is None else path.replace(f"{{{first}}}", str(value))
        for other in values[names[1]] if len(names) > 1 else ("",):
            yield once if len(names) < 2 else once.replace(f"{{{names[1]}}}", str(other))


async def ask(service: ServerService, target: str, token: str) -> tuple[int, str]:
    """Status, and the text of the answer; of a stream, what comes at first."""
    headers = {"Authorization": f"Bearer {token}"}
    parts: list[bytes] = []
    status, gone = 0, asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    assert service.app is not None
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(service.app(scope_of("GET", target, headers), receive, send))
        if STREAMS.fullmatch(target):
            await asyncio.wait([asking], timeout=LISTEN_S)
            gone.set()
        await asking
    body = b"".join(parts)
    if "/bundles/" in target and status == 200:
        body = gzip.decompress(body)
    return status, body.decode("utf-8", "replace")


def routes(service: ServerService) -> list[str]:
    assert service.app is not None
    return [
        str(route.path)
        for route in iter_route_contexts(service.app.routes)
        if "GET" in (route.methods or ()) and route.path not in SAME_FOR_ALL
    ]


#: Routes that answer a token with limits about its own, with the words that are to be found there.
TELLS = {
    "/api/v2/banks": str(MINE.bank),
    "/api/v2/cards": MINE.iccid[-4:],
    "/api/v2/labels": "heron-card",
    "/api/v2/mappings": f"C{MINE.client}:0",
    "/api/v2/leases": "heron-pool",
    "/api/v2/sessions": f"C{MINE.client}:0",
    "/api/v2/events": "heron-pool",
    "/api/v2/warnings": str(MINE.bank),
    "/api/v2/webhooks": "heron",
    "/": "heron",
    "/activity": str(MINE.bank),
    "/leases": "heron-pool",
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("role", [TokenRole.VIEWER, TokenRole.ADMIN])
async def test_a_token_with_limits_is_told_nothing_of_others_by_any_route(world: World, role: TokenRole) -> None:
    token = await world.token("limited", role, MINE.scope)
    told: dict[str, str] = {}
    leaks: dict[str, str] = {}
    for path in routes(world.service):
        for side in (MINE, OTHER):
            for target in dict.fromkeys(targets(path, side)):
                status, text = await ask(world.service, target, token)
                told[path] = told.get(path, "") + (text if status == 200 else "")
                if side is OTHER and path != "/page/stream/{slot}" and re.search(r"\{(?!number)", path):
                    assert status in (403, 404), target
                # A refusal says again what was asked for.
                found = [mark for mark in OTHER.marks.finditer(text) if side is MINE or mark[0] not in target]
                if found:
                    around = text[max(0, found[0].start() - 80) : found[0].end() + 80]
                    leaks[target] = f"{status} {found[0][0]} in {around}"
    assert not leaks
    if role is TokenRole.ADMIN:
        assert not {path for path, word in TELLS.items() if word not in told[path]}


async def test_a_token_without_limits_is_told_of_both(world: World) -> None:
    """So the other test searches for what is there."""
    token = await world.token("unlimited", TokenRole.ADMIN, Scope())
    for path, word in TELLS.items():
        status, text = await ask(world.service, path, token)
        assert status == 200, path
        assert word in text, path
        assert OTHER.marks.search(text), path


def attempts(method: str, path: str) -> Iterator[tuple[str, object]]:
    """What one side may try by a route that writes, to reach what is of the other: targets and bodies."""
    other_slot, mine, theirs = f"B{OTHER.bank}:3", f"C{MINE.client}:7", f"C{OTHER.client}:0"
    cards = (other_slot, f"iccid:{OTHER.iccid}", f"imsi:{OTHER.imsi}", f"label:{OTHER.word}-pool")
    pair = {"bank": {"bankId": OTHER.bank, "slotNr": 3}, "client": {"clientId": MINE.client, "slotNr": 7}}
    bodies: dict[str, tuple[object, ...]] = {
        "/api/v2/mappings/{client}": tuple({"card": card} for card in (*cards, f"B{MINE.bank}:2")),
        "/api/v2/labels/{subject}": ({"labels": ["taken"]},),
        "/api/v2/banks/{bank_id}/slots/{slot_nr}/lock": ({"reason": "taken"},),
        "/api/v2/leases": tuple(
            {"pool": card, "client": client, "for": "1h"} for card in cards for client in (mine, theirs)
        ),
        "/api/v2/leases/{number}/renew": ({"for": "9h"},),
        "/api/v2/apply": (
            *({"mappings": {client: card}} for card in cards for client in (mine, theirs)),
            {"labels": {other_slot: ["taken"]}},
            {"labels": {f"iccid:{OTHER.iccid}": ["taken"]}},
        ),
        "/api/backend/v1/slotmaps": (pair, pair | {"client": {"clientId": OTHER.client, "slotNr": 7}}),
    }
    numbers = (3, 4) if "/leases/" in path else (2,)
    values: dict[str, tuple[object, ...]] = {
        "bank_id": (OTHER.bank,),
        "slot_nr": (3,),
        # Its own client slots, too: what they are given must not be the other's.
        "client": (theirs, mine) if method == "PUT" else (theirs,),
        "slotmap_id": (OTHER.bank << 16 | 3,),
        "number": numbers,
        "subject": (other_slot, theirs, f"iccid:{OTHER.iccid}"),
    }
    found = [path]
    for name in re.findall(r"\{(\w+)\}", path):
        found = [each.replace(f"{{{name}}}", str(value)) for each in found for value in values[name]]
    for target in found:
        for body in bodies.get(path, (None,)):
            if target.endswith(mine) and body == {"card": f"B{MINE.bank}:2"}:
                continue
            yield target, body


async def test_a_token_with_limits_reaches_nothing_of_others_by_any_route_that_writes(world: World) -> None:
    app = world.service.app
    assert app is not None
    boss = await world.token("looks", TokenRole.ADMIN, Scope())
    limited = await world.token("limited", TokenRole.ADMIN, MINE.scope)
    # What orders change, of all that is shown.
    kinds = {
        "mappings": ("client", "bank", "created_at", "follow"),
        "labels": ("subject", "labels"),
        "leases": ("id", "client", "expires_at", "for_s"),
        "webhooks": ("id", "paused_since"),
        f"banks/{OTHER.bank}/slots": ("slot", "labels"),
    }

    async def seen(looks: httpx2.AsyncClient) -> list[list[object]]:
        found: list[list[object]] = []
        for kind, members in kinds.items():
            items = (await looks.get(f"{V2}/{kind}")).json()["items"]
            found.append([[*(item.get(member) for member in members), "lock" in item] for item in items])
        return found

    tried = set()
    async with (
        rest_client(world.service, over_socket=False, token=boss) as looks,
        rest_client(world.service, over_socket=False, token=limited) as rest,
    ):
        before = await seen(looks)
        for route in iter_route_contexts(app.routes):
            path = str(route.path)
            for method in set(route.methods or ()) - {"GET", "HEAD"} if path.startswith("/api/") else ():
                # What a webhook or a code is for is judged where these are made; no authority is here.
                if path in {f"{V2}/webhooks", f"{V2}/codes"} or "certificates" in path:
                    continue
                for target, body in attempts(method, path):
                    answer = await rest.request(method, target, json=body)
                    assert answer.status_code in (403, 404, 409), (method, target, body, answer.text)
                    asked = f"{target} {body}"
                    told = [mark[0] for mark in OTHER.marks.finditer(answer.text) if mark[0] not in asked]
                    assert not told, (method, target, body, answer.text)
                    tried.add((method, path))
        assert await seen(looks) == before
    assert len(tried) > 15, tried

# SPDX-License-Identifier: Apache-2.0
"""Diagnostics bundles: what the server knows of one slot, made anonymous, in an archive for a bug report."""

import json
import platform
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Final, cast

from fastapi import Request
from fastapi.responses import Response

from remsim import __version__
from remsim.core.ids import BankSlot, ClientSlot
from remsim.metrics.instruments import Counter, Gauge
from remsim.server.api.auth import TheGrant
from remsim.server.api.errors import V2
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheRuntime, sight_of
from remsim.server.api.v1.views import time_text
from remsim.server.api.v2.answers import problems
from remsim.server.api.v2.traces import SlotPath, TraceViews, known_slot, may_see
from remsim.server.api.v2.views import Views
from remsim.server.bundle import Anonymizer, as_json, as_lines, pack
from remsim.server.core.event_feed import is_visible
from remsim.server.core.tokens import Grant
from remsim.server.metrics import ServerMetrics
from remsim.server.runtime import ServerRuntime

router = Resource(prefix=V2, tags=["v2 bundles"])

TYPE: Final = "application/gzip"
#: Events that are looked through, the newest, and told.
_LOOKED_THROUGH: Final = 5000
_MAX_EVENTS: Final = 300
#: Records of a trace, where the slot is, or was a moment ago, traced.
_MAX_RECORDS: Final = 500
_README: Final = """\
Diagnostics of one slot, made by remsim. It may be shown to others:

- numbers of cards and subscribers, addresses (but loopback), names of hosts and programs, labels and sessions are
  aliases such as address#1; the same one stands for the same thing in all files;
- of commands there are header, lengths, status word and times, and no data;
- keys, PINs and access tokens never reach the server, or are not asked for here.

about.json     versions, and which files there are
slots.json     the slot, and the other end of its mapping, as REST v2 has them
warnings.json  what the server finds wrong
events.jsonl   what happened to the slot, oldest first
trace.jsonl    the last commands, if the slot was traced when the bundle was made; else it is empty
counters.json  the server's metrics; empty for a token with limits
settings.json  the server's settings that are switches or numbers; of all others, whether they are set
"""

_ANSWER: Final[dict[int | str, dict[str, object]]] = {
    200: {
        "description": "an archive, tar.gz",
        "content": {TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("/bundles/{slot}", response_class=Response, responses={**_ANSWER, **problems(400, 404)})
async def make_bundle(request: Request, runtime: TheRuntime, grant: TheGrant, slot: SlotPath) -> Response:
    """What the server knows of a slot, made anonymous: for a bug report that others may read.

    It holds the last commands only while somebody traces the slot, or did so within half a minute.
    """
    where = known_slot(runtime.query, grant, slot)
    now = time.time()
    metrics = cast(ServerMetrics, request.app.state.metrics)
    settings = cast(Mapping[str, object], request.app.state.settings)
    files = _files(runtime, grant, where, metrics, settings, now)
    name = f"remsim-{str(where).replace(':', '-')}"
    headers = {"Content-Disposition": f'attachment; filename="{name}.tar.gz"', "Cache-Control": "no-store"}
    return Response(pack(name, files, now), 200, headers, TYPE)


def _files(
    runtime: ServerRuntime,
    grant: Grant,
    slot: BankSlot | ClientSlot,
    metrics: ServerMetrics,
    settings: Mapping[str, object],
    now: float,
) -> dict[str, str]:
    anonymous = Anonymizer(_names(runtime)).value
    counters = [] if grant.scope.is_limited else list(_counters(metrics))
    about = {
        "made_at": time_text(now),
        "slot": str(slot),
        "remsim": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "missing": metrics.missing(),
    }
    alerts = [
        {"kind": alert.kind, "about": alert.about, "severity": alert.severity, "text": alert.text, "hint": alert.hint}
        for alert in runtime.warnings
        if alert.is_visible(grant.scope)
    ]
    return {
        "README.txt": _README,
        "about.json": as_json(anonymous(about)),
        "slots.json": as_json(anonymous(_slots(runtime, grant, slot))),
        "warnings.json": as_json(anonymous(alerts)),
        "events.jsonl": as_lines(anonymous(each) for each in _events(runtime, grant, slot)),
        "trace.jsonl": as_lines(anonymous(each) for each in _trace(runtime, grant, slot)),
        "counters.json": as_json(anonymous(counters)),
        "settings.json": as_json({} if grant.scope.is_limited else dict(settings)),
    }


def _names(runtime: ServerRuntime) -> dict[str, set[str]]:
    """What people and programs are called, which may say whose they are."""
    query = runtime.query
    seen = [query.seen_bank(bank_id) for bank_id in query.known_banks()]
    seen_clients = [query.seen_client(slot) for slot in query.known_clients()]
    hosts = {each.note.name for each in (*seen, *seen_clients) if each is not None}
    labels = {name for names in query.all_labels().values() for name in names}
    reasons = {lock.reason for lock in query.locks()}
    return {
        "reason": reasons,
        "label": labels,
        "host": hosts | {socket.gethostname(), socket.gethostname().partition(".")[0]},
    }


def _slots(runtime: ServerRuntime, grant: Grant, slot: BankSlot | ClientSlot) -> list[object]:
    """The slot and the other end of its mapping, as far as the token may see them."""
    query, views = runtime.query, Views(runtime.query, sight_of(grant))
    pair: list[BankSlot | ClientSlot] = [slot]
    mapping = query.mapping_of_client(slot) if isinstance(slot, ClientSlot) else query.mapping(slot)
    if mapping is not None:
        pair.append(mapping.bank if isinstance(slot, ClientSlot) else mapping.client)
    found: list[object] = []
    for each in pair:
        if not may_see(grant, each):
            continue
        if isinstance(each, ClientSlot):
            found.append(json.loads(views.client_slot(each).model_dump_json(exclude_none=True)))
            continue
        found += [
            json.loads(views.bank_slot(each.bank_id, info).model_dump_json(exclude_none=True))
            for info in query.slots_of_bank(each.bank_id)
            if info.slot_nr == each.slot_nr
        ]
        found.append(json.loads(views.bank(each.bank_id).model_dump_json(exclude_none=True)))
    return found


def _events(runtime: ServerRuntime, grant: Grant, slot: BankSlot | ClientSlot) -> list[object]:
    """The newest that name the slot, or the program that has it, oldest first."""
    feed = runtime.query.feed
    text = str(slot)
    found: list[object] = []
    for event in feed.after(max(feed.first - 1, feed.last - _LOOKED_THROUGH), _LOOKED_THROUGH):
        whose = event.banks if isinstance(slot, BankSlot) else event.clients
        number = slot.bank_id if isinstance(slot, BankSlot) else slot.client_id
        if number not in whose or not is_visible(event, grant.scope):
            continue
        shown = json.loads(event.text)
        if shown.get("bank_slot", text) == text or shown.get("client_slot") == text:
            found.append(shown)
    return found[-_MAX_EVENTS:]


def _trace(runtime: ServerRuntime, grant: Grant, slot: BankSlot | ClientSlot) -> Iterator[object]:
    """The last commands without their data."""
    feed = runtime.trace_of(slot)
    if feed is None:
        return
    views = TraceViews(runtime, grant)
    for entry in feed.after(max(feed.first - 1, feed.last - _MAX_RECORDS), _MAX_RECORDS):
        record = views.record(entry)
        if record is None:
            continue
        shown = record.model_dump(exclude_none=True, exclude={"id", "command", "response"})
        if record.kind == "atr":
            shown["atr"] = f"ATR {record.response}"
        elif record.command is not None:
            parts = [record.command[at : at + 2] for at in range(0, 10, 2)]
            shown["header"] = dict(zip(("cla", "ins", "p1", "p2", "p3"), parts, strict=True))
            shown["command_bytes"] = len(record.command) // 2
            shown["response_bytes"] = 0 if record.response is None else len(record.response) // 2
        yield shown


def _counters(metrics: ServerMetrics) -> Iterator[object]:
    for metric in metrics.shown():
        for values, member in metric.members():
            if isinstance(member, Counter | Gauge):
                labels = dict(zip(metric.label_names, values, strict=True))
                yield {"name": metric.name, **({"labels": labels} if labels else {}), "value": member.value}

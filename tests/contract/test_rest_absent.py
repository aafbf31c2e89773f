# SPDX-License-Identifier: Apache-2.0
"""What does not exist is not found, whichever route is asked for it; and HEAD is answered as GET is."""

import re

import pytest
from fastapi.routing import iter_route_contexts

from tests.doubles.rest_lab import V2, Lab, problem
from tests.doubles.server_rig import rest_client

#: For each path with a place for a name: names of what is not there. Bank 1 has eight slots, client 7 one.
ABSENT: dict[str, list[str]] = {
    "banks/{bank_id}": ["banks/2"],
    "banks/{bank_id}/slots": ["banks/2/slots"],
    "banks/{bank_id}/slots/{slot_nr}": ["banks/2/slots/0", "banks/1/slots/8"],
    "banks/{bank_id}/slots/{slot_nr}/lock": ["banks/2/slots/0/lock", "banks/1/slots/8/lock"],
    "banks/{bank_id}/reset": ["banks/2/reset"],
    "clients/{client_id}": ["clients/8"],
    "clients/{client_id}/slots": ["clients/8/slots"],
    "clients/{client_id}/slots/{slot_nr}": ["clients/8/slots/0", "clients/7/slots/1"],
    "cards/{iccid}": ["cards/8900101234567890018"],
    "mappings/{client}": ["mappings/C7:0", "mappings/C8:0"],
    "mappings/{client}/reinsert": ["mappings/C7:0/reinsert", "mappings/C8:0/reinsert"],
    "leases/{number}": ["leases/1"],
    "leases/{number}/renew": ["leases/1/renew"],
    "latency/{slot}": ["latency/B2:0", "latency/B1:8", "latency/C8:0", "latency/C7:1"],
    "traces/{slot}": ["traces/B2:0", "traces/B1:8", "traces/C8:0", "traces/C7:1"],
    "bundles/{slot}": ["bundles/B2:0", "bundles/B1:8", "bundles/C8:0", "bundles/C7:1"],
    "webhooks/{number}": ["webhooks/1"],
    "webhooks/{number}/deliveries": ["webhooks/1/deliveries"],
    "webhooks/{number}/pause": ["webhooks/1/pause"],
    "webhooks/{number}/resume": ["webhooks/1/resume"],
    "webhooks/{number}/test": ["webhooks/1/test"],
    # Slots are given labels before they are there, so one without has an empty list.
    "labels/{subject}": [],
}
BODIES: dict[str, object] = {
    "banks/{bank_id}/slots/{slot_nr}/lock": {"reason": "r"},
    "leases/{number}/renew": {"for": "1h"},
}


def named_paths(lab: Lab) -> dict[str, set[str]]:
    """Paths of v2 with places for names, and their methods."""
    found: dict[str, set[str]] = {}
    assert lab.service.app is not None
    for route in iter_route_contexts(lab.service.app.routes):
        path = str(route.path)
        if path.startswith(f"{V2}/") and "{" in path:
            found.setdefault(path.removeprefix(f"{V2}/"), set()).update(route.methods or ())
    return found


async def test_what_is_not_there_is_not_found_with_a_hint(lab: Lab) -> None:
    bank, client = await lab.bank(1), await lab.client(7)
    paths = named_paths(lab)
    assert paths.keys() == ABSENT.keys()
    asked = 0
    for path, methods in paths.items():
        for name in ABSENT[path]:
            # Of a mapping, PUT makes it.
            for method in methods - {"HEAD", "PUT" if path == "mappings/{client}" else ""}:
                answer = await lab.admin.request(method, f"{V2}/{name}", json=BODIES.get(path))
                said = problem(answer, 404, "not_found")
                assert answer.json()["hint"], (method, name)
                if path in ("latency/{slot}", "traces/{slot}", "bundles/{slot}"):
                    assert said == f"there is no slot {name.partition('/')[2]}"
                asked += 1
    assert asked > 35
    await bank.close()
    await client.close()


@pytest.mark.parametrize("slot", ["B1:0", "C7:0"])
async def test_what_was_there_and_what_is_mapped_has_latency_and_bundle(lab: Lab, slot: str) -> None:
    await (await lab.bank(1)).close()
    await lab.bank_is_gone(1)
    assert (await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:9"})).status_code == 201
    for path in ("latency", "bundles"):
        for name in (slot, "B1:9"):
            assert (await lab.admin.get(f"{V2}/{path}/{name}")).status_code == 200


async def test_head_is_answered_as_get_without_a_body(lab: Lab) -> None:
    bank = await lab.bank(1)
    assert (await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:0"})).status_code == 201
    text = lab.admin.headers["authorization"].partition(" ")[2]
    assert lab.service.app is not None
    gets = [
        path
        for route in iter_route_contexts(lab.service.app.routes)
        if "GET" in (route.methods or ()) and (path := str(route.path)).startswith(f"{V2}/") and "{" not in path
    ]
    one = [f"{V2}/{name}" for name in ("mappings/C7:0", "mappings/C8:0", "banks/1/slots/0", "banks/2", "banks/x", "no")]
    async with rest_client(lab.service, over_socket=True, token=text) as rest:
        for path in [*gets, *one]:
            got, head = await rest.get(path), await rest.head(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert head.headers.get("etag") == got.headers.get("etag")
            assert head.headers["content-type"] == got.headers["content-type"]
            # Ages grow, so some bodies do, too.
            assert re.fullmatch("[0-9]+", head.headers["content-length"])
        # A stream has no end, so it has no length; its head is there at once.
        for path, kind in (
            ("events", "text/event-stream"),
            ("traces/B1:0", "text/event-stream"),
            ("traces/B1:0?format=pcapng", "application/x-pcapng"),
        ):
            head = await rest.head(f"{V2}/{path}", headers={"Accept": "text/event-stream"})
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"].startswith(kind)
            assert "content-length" not in head.headers
        other = await rest.patch(f"{V2}/mappings/C7:0")
        problem(other, 405, "bad_method")
        assert other.headers["allow"] == "DELETE, GET, HEAD, PUT"
        assert (await rest.head("/api/backend/v1/banks")).status_code == 404
    assert lab.service.app.state.trace_readers.count == lab.service.app.state.event_readers.count == 0
    await bank.close()

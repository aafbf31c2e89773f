# SPDX-License-Identifier: Apache-2.0
"""How REST v2 says what is wrong with a request: by name, with how it is written, and never by doing something else."""

import json

from fastapi.routing import iter_route_contexts

from remsim.server.api import limits
from remsim.server.core.tokens import TokenRole
from tests.doubles.rest_lab import V2, Lab, problem
from tests.doubles.server_rig import rest_client


async def test_no_route_takes_a_parameter_that_it_does_not_have(lab: Lab) -> None:
    assert lab.service.app is not None
    asked = 0
    for route in iter_route_contexts(lab.service.app.routes):
        path = str(route.path)
        if not path.startswith(V2):
            continue
        for name, value in (("subject", "B1:0"), ("client", "C7:0"), ("slot", "B1:0"), ("name", "x")):
            path = path.replace(f"{{{name}}}", value)
        target = path.replace("{", "1").replace("}", "")
        for method in route.methods or ():
            answer = await lab.admin.request(method, f"{target}?dryrun=true")
            asked += 1
            if method == "HEAD":
                # It has no body.
                assert (answer.status_code, answer.content) == (400, b"")
                continue
            said = problem(answer, 400, "bad_request")
            assert said == "'dryrun' is no parameter of this request", (method, target)
    assert asked > 40


async def test_a_misspelt_trial_changes_nothing_and_the_right_name_is_said(lab: Lab) -> None:
    answer = await lab.admin.post(f"{V2}/apply?dryrun=true", json={"labels": {"B1:0": ["x"]}})
    problem(answer, 400, "bad_request")
    assert answer.json()["hint"] == "there are dry_run"
    assert (await lab.admin.get(f"{V2}/labels")).json()["items"] == []
    # v1 passes over what it does not know.
    assert (await lab.admin.get("/api/backend/v1/banks?x=1")).status_code == 200


async def test_what_is_wrong_is_named(lab: Lab) -> None:
    for path, said in (
        ("banks?state=foo", "state: input should be 'connected' or 'absent'"),
        ("cards?reveal=maybe", "reveal: input should be a valid boolean, unable to interpret input"),
        ("mappings?label=", "label: string should have at least 1 character"),
    ):
        assert problem(await lab.admin.get(f"{V2}/{path}"), 400, "bad_request") == said
    answer = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "hm"})
    assert problem(answer, 400, "bad_request") == "card: 'hm' is not written as it should be"
    assert answer.json()["hint"].startswith("write for example B1:3, iccid:")


async def test_every_refusal_has_a_hint(lab: Lab) -> None:
    mapping = f"{V2}/mappings/C7:0"
    assert (await lab.admin.put(mapping, json={"card": "B1:0"})).status_code == 201
    key = {"Idempotency-Key": "k"}
    assert (await lab.admin.post(f"{V2}/apply", json={}, headers=key)).status_code == 200
    viewer = await lab.caller(TokenRole.VIEWER)
    nobody = await lab.stack.enter_async_context(rest_client(lab.service, over_socket=False, token=None))
    wrong = await lab.stack.enter_async_context(rest_client(lab.service, over_socket=False, token="wrong"))
    large = json.dumps({"card": " " * limits.MAX_BODY_BYTES})
    for answer, status in (
        (await lab.admin.put(mapping, content="{", headers={"Content-Type": "application/json"}), 400),
        (await nobody.get(f"{V2}/banks"), 401),
        (await wrong.get(f"{V2}/banks"), 401),
        (await viewer.delete(mapping), 403),
        (await viewer.get(f"{V2}/audit"), 403),
        (await lab.admin.get(f"{V2}/nothing"), 404),
        (await lab.admin.get(f"{V2}/mappings/C8:0"), 404),
        (await lab.admin.patch(mapping), 405),
        (await lab.admin.put(f"{V2}/mappings/C8:0", json={"card": "B1:0"}), 409),
        (await lab.admin.delete(mapping, headers={"If-Match": '"x"'}), 412),
        (await lab.admin.put(mapping, content=large, headers={"Content-Type": "application/json"}), 413),
        (await lab.admin.put(mapping, content="{}"), 415),
        (await lab.admin.post(f"{V2}/apply", json={"labels": {}}, headers=key), 422),
    ):
        assert answer.status_code == status, answer.text
        body = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert body["detail"], body
        assert body["hint"], body

# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.json is what a server with all its parts answers, to good and bad requests of every kind of caller."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fuzz import rest
from tests.fuzz.rest import CALLERS, EVERY_PHASE, SHORT_SEED, RestWorld, rest_world
from tools.openapi_page import openapi_page

#: Drawn requests for each route, by the caller who may use most routes and by the others. ``make fuzz`` makes more.
_MOST_EXAMPLES = 2
_EXAMPLES = 1
_CHEAP = "examples,fuzzing"
#: What each caller must have come to at least, or it was not let in where it should be, or not kept out.
_SEEN = {
    "nobody": {"200", "401"},
    "viewer": {"200", "403"},
    "limited": {"200", "201", "403"},
    "admin": {"200", "201", "400", "404", "409"},
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RestWorld]:
    async with rest_world(tmp_path) as running:
        yield running


# Some five seconds each; under coverage, on a machine with other work, several times that.
@pytest.mark.timeout(240)
@pytest.mark.parametrize("caller", CALLERS)
async def test_every_answer_is_as_documented(world: RestWorld, caller: str) -> None:
    examples, phases = (_MOST_EXAMPLES, EVERY_PHASE) if caller == "admin" else (_EXAMPLES, _CHEAP)
    visit = await world.visit(caller, examples=examples, seed=SHORT_SEED, phases=phases)
    assert visit.is_good, visit.text
    assert visit.requests > 0
    answers = world.answers()
    assert answers.keys() >= _SEEN[caller], answers
    assert not [status for status in answers if status >= "500"]
    assert await world.faults() == []


@pytest.mark.timeout(120)
async def test_answer_that_is_not_documented_is_noticed(
    world: RestWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "openapi.json"
    wrong.write_text(openapi_page().replace('"const": "ok"', '"const": "well"'), encoding="utf-8")
    monkeypatch.setattr(rest, "SCHEMA", wrong)
    visit = await world.visit("nobody", examples=1, seed=SHORT_SEED, phases=_CHEAP, path="/health")
    assert not visit.is_good
    assert "/health" in visit.text

# SPDX-License-Identifier: Apache-2.0
"""What the doctor makes of a server's warnings."""

import pytest

from remsim.config import HostPort
from remsim.core.errors import RemsimError
from remsim.core.finding import Outcome
from remsim.core.identity import Role
from remsim.doctor.check import ROLE_CHECKS, Situation, examine
from remsim.doctor.warnings import check_warnings


class Rest:
    """A server's REST interface."""

    def __init__(self, *found: dict[str, object], error: RemsimError | None = None) -> None:
        self._found, self._error = list(found), error

    def get_warnings(self) -> list[dict[str, object]]:
        if self._error is not None:
            raise self._error
        return self._found

    def get_list(self, name: str) -> list[dict[str, object]]:
        raise AssertionError(name)


async def looked_at(rest: Rest | None) -> list[tuple[Outcome, str, str]]:
    situation = Situation(HostPort("127.0.0.1", 1), open_rest=None if rest is None else lambda: rest)
    return [(each.outcome, each.text, each.mend) for each in await check_warnings(situation)]


async def test_each_warning_is_a_finding() -> None:
    common = {"since": "2026-11-29T14:03:00.000Z", "hint": "put it back"}
    found = await looked_at(
        Rest(
            {"about": "B1:3", "severity": "warning", "text": "there is no card in B1:3", **common},
            {"about": "server", "severity": "error", "text": "the disk is full", **common},
        )
    )
    assert found == [
        (Outcome.NOTE, "B1:3, since 2026-11-29T14:03:00.000Z: there is no card in B1:3", "put it back"),
        (Outcome.PROBLEM, "server, since 2026-11-29T14:03:00.000Z: the disk is full", "put it back"),
    ]


async def test_nothing_wrong_nothing_known_and_nobody_to_ask() -> None:
    assert await looked_at(Rest()) == [(Outcome.OK, "the server has no warnings", "")]
    assert await looked_at(None) == []
    error = RemsimError("the server answers HTTP 404", hint="is it new?")
    text = "the server's warnings are not known: the server answers HTTP 404"
    assert await looked_at(Rest(error=error)) == [(Outcome.NOTE, text, "is it new?")]


@pytest.mark.parametrize("role", list(ROLE_CHECKS))
async def test_every_role_asks_for_them(role: Role) -> None:
    checks = {name: place for name, place in ROLE_CHECKS[role].items() if name == "warnings"}
    situation = Situation(HostPort("127.0.0.1", 1), open_rest=Rest)
    assert [finding.text async for finding in examine(situation, checks)] == ["the server has no warnings"]

# SPDX-License-Identifier: Apache-2.0
"""The policy file of a running server is read again on SIGHUP, and enforced; one with a mistake changes nothing."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx2
import pytest

from remsim.config import ServerConfig
from remsim.core.ids import BankSlot, ClientSlot
from remsim.policy.mapping import parse_mapping_policy
from remsim.server.core.tokens import TokenRole
from remsim.server.rules import reload_policy
from remsim.server.service import ServerService
from remsim.server.store.audit import SERVER
from remsim.server.store.tokens import create_token
from tests.doubles.noted_log import NotedLog
from tests.doubles.server_rig import V1, mapping, rest_client, running_server
from tests.doubles.tls_rig import LogLines, note_log

ALLOW = 'default = "allow"\n'
DENY_7 = 'default = "allow"\n[[client]]\nclient = "7"\nbanks = "2"\n[[client]]\nclient = "9"\nbanks = "9"\n'


class World:
    """A server with rules in a file, an admin, and the server's log."""

    def __init__(self, service: ServerService, rest: httpx2.AsyncClient, rules: Path, log: LogLines) -> None:
        self.service = service
        self.rest = rest
        self.rules = rules
        self.log = log

    async def map(self, bank: tuple[int, int], client: tuple[int, int]) -> int:
        """Ask for a mapping; the status."""
        return (await self.rest.post(f"{V1}/slotmaps", json=mapping(bank, client))).status_code

    async def mapped(self) -> list[tuple[int, int]]:
        """Bank and client of each mapping."""
        found = (await self.rest.get(f"{V1}/slotmaps")).json()["slotmaps"]
        return [(entry["bank"]["bankId"], entry["client"]["clientId"]) for entry in found]

    async def audit(self) -> list[tuple[str, str, str, str]]:
        """Who did what to whom, and why, but for what the test did itself."""
        found = (await self.rest.get(f"{V1}/audit")).json()["audit"]
        entries = [(entry["who"], entry["action"], entry["target"], entry["detail"]) for entry in found]
        return [entry for entry in entries if entry[0] == "server"]


@asynccontextmanager
async def world(tmp_path: Path, rules: str) -> AsyncIterator[World]:
    path, log = tmp_path / "policy.toml", note_log()
    path.write_text(rules)
    async with running_server(tmp_path / "server", rest_open=False, policy=path) as service:
        config = ServerConfig(state_dir=tmp_path / "server")
        token, _ = await asyncio.to_thread(create_token, config, name="a", role=TokenRole.ADMIN)
        async with rest_client(service, over_socket=False, token=token) as rest:
            yield World(service, rest, path, log)


async def test_new_rules_hold_and_delete_what_they_no_longer_allow(tmp_path: Path) -> None:
    async with world(tmp_path, ALLOW) as there:
        assert await there.map((1, 0), (7, 0)) == 201
        assert await there.map((1, 1), (8, 0)) == 201
        there.rules.write_text(DENY_7)
        there.service.on_hangup()
        await there.log.line_with("server policy_reloaded", "rules=2", "by_default=allow")
        assert await there.mapped() == [(1, 8)]
        assert await there.map((1, 0), (7, 0)) == 403
        reload, deletion = await there.audit()
        assert reload == ("server", "policy.reload", "", "2 rules")
        assert deletion[:3] == ("server", "mapping.delete", "B1:0 C7:0")
        assert "client rule 1" in deletion[3]


async def test_mapping_that_is_being_stored_meanwhile_does_not_slip_through(tmp_path: Path) -> None:
    async with world(tmp_path, ALLOW) as there:
        runtime = there.service.runtime
        assert runtime is not None
        making = asyncio.gather(runtime.create_mapping(BankSlot(1, 0), ClientSlot(7, 0), SERVER))
        # One step: it is granted and waits for its commit.
        await asyncio.sleep(0)
        assert not list(runtime.coordinator.slotmap)
        await runtime.change_policy(parse_mapping_policy(DENY_7, "policy.toml"))
        await making
        assert await there.mapped() == []


@pytest.mark.parametrize("rules", ['defautl = "deny"\n', "\xff", None])
async def test_file_that_cannot_be_used_is_told_and_changes_nothing(tmp_path: Path, rules: str | None) -> None:
    async with world(tmp_path, DENY_7) as there:
        if rules is None:
            there.rules.unlink()
        else:
            there.rules.write_bytes(rules.encode("latin-1"))
        there.service.on_hangup()
        line = await there.log.line_with("error   server policy_not_reloaded", "policy.toml")
        assert "hint=" in line
        assert await there.map((1, 0), (7, 0)) == 403
        assert await there.map((1, 0), (8, 0)) == 201
        assert await there.audit() == []
        there.rules.write_text(ALLOW)
        there.service.on_hangup()
        await there.log.line_with("server policy_reloaded")
        assert await there.map((2, 0), (7, 0)) == 201


async def test_database_that_does_not_take_it_leaves_the_rules_to_what_comes(tmp_path: Path) -> None:
    async with world(tmp_path, ALLOW) as there:
        with closing(sqlite3.connect(tmp_path / "server" / "server.sqlite")) as raw:
            raw.execute("ALTER TABLE audit RENAME TO gone")
        there.rules.write_text(DENY_7)
        there.service.on_hangup()
        await there.log.line_with("policy_not_enforced", "the database did not take the change")
        with closing(sqlite3.connect(tmp_path / "server" / "server.sqlite")) as raw:
            raw.execute("ALTER TABLE gone RENAME TO audit")
        assert await there.map((1, 0), (7, 0)) == 403


async def test_server_without_rules_reads_none(tmp_path: Path) -> None:
    log = NotedLog()
    async with running_server(tmp_path) as service:
        assert service.runtime is not None
        await reload_policy(ServerConfig(state_dir=tmp_path), service.runtime, log=log.logger)
    assert log.is_empty()

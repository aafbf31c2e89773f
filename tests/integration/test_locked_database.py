# SPDX-License-Identifier: Apache-2.0
"""Another program holds the server's database: changes are refused together and soon, and looking goes on."""

import asyncio
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from remsim.config import ServerConfig
from remsim.server.core.tokens import TokenRole
from remsim.server.store import database
from remsim.server.store.tokens import create_token
from remsim.server.store.writer import StoreError
from tests.doubles.programs import Program, remsim
from tests.doubles.server_rig import V1, mapping, rest_client, running_server


@contextmanager
def locked(state: Path, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Hold the lock."""
    with closing(sqlite3.connect(state / "server.sqlite", timeout=10)) as other:
        if kind == "EXCLUSIVE":
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute(f"BEGIN {kind}")
        yield
        other.rollback()


@pytest.mark.parametrize("count", [10, 150])
async def test_changes_that_wait_for_a_lock_are_refused_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_MS", 1000)
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        with locked(tmp_path):
            began = time.monotonic()
            answers = await asyncio.gather(
                *(rest.post(f"{V1}/slotmaps", json=mapping((1, slot), (7, slot))) for slot in range(count)),
                *(rest.get(f"{V1}/slotmaps") for _ in range(3)),
            )
            # One wait for the lock: not one for each of them.
            assert time.monotonic() - began < 1.0 * 4
        assert [answer.status_code for answer in answers] == [503] * count + [200] * 3
        for answer in answers[:count]:
            assert int(answer.headers["retry-after"]) > 0
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201


async def test_a_token_that_was_good_lets_look_while_nothing_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_READ_TIMEOUT_S", 0.05)
    async with running_server(tmp_path, rest_open=False) as service:
        config = ServerConfig(state_dir=tmp_path)
        used, unused = [
            (await asyncio.to_thread(create_token, config, name=name, role=TokenRole.OPERATOR))[0] for name in "ab"
        ]
        async with rest_client(service, over_socket=False, token=used) as rest:
            assert (await rest.get(f"{V1}/banks")).status_code == 200

            async def unreadable(_token_id: str) -> None:
                raise StoreError("the database cannot be read")

            assert service.runtime is not None
            monkeypatch.setattr(service.runtime.store, "find_token", unreadable)
            assert (await rest.get(f"{V1}/banks")).status_code == 200
            assert (await rest.post(f"{V1}/global-reset")).status_code == 503
            headers = {"Authorization": f"Bearer {unused}"}
            assert (await rest.get(f"{V1}/banks", headers=headers)).status_code == 503


def test_server_ends_soon_while_its_database_is_locked(tmp_path: Path) -> None:
    options = ["--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0"]
    with Program(remsim("server", "--state", str(tmp_path), *options)) as program:
        port = int(program.wait_for(r"listening rspro=\S+ rest=127\.0\.0\.1:(\d+)")[1])
        program.wait_for("server started")

        with locked(tmp_path), ExitStack() as stack:
            for slot in range(20):
                body = json.dumps(mapping((1, slot), (7, slot))).encode()
                head = f"POST {V1}/slotmaps HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
                sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert program.stop(timeout_s=5.0) == 0

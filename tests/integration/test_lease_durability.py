# SPDX-License-Identifier: Apache-2.0
"""Leases over REST while the server dies by SIGKILL: no card is lent twice, none is lost, the order is kept."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.doubles.databases import sqlite_at
from tests.doubles.programs import Program, remsim

CLIENTS = 24
CARDS = 4
V2 = "/api/v2"
JSON = {"Content-Type": "application/json"}


@contextmanager
def server(state: Path, database: str) -> Iterator[tuple[Program, int]]:
    """A server process, and its REST port."""
    argv = remsim(
        *("server", "--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0"),
        *("--state", str(state), "--database", database),
    )
    with Program(argv) as program:
        yield program, int(program.wait_for(r"listening .*rest=127\.0\.0\.1:(\d+)")[1])


def call(port: int, method: str, path: str, body: object = None) -> tuple[int, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, f"{V2}{path}", content, JSON)
        answer = connection.getresponse()
        raw = answer.read()
        return answer.status, json.loads(raw) if raw else None
    finally:
        connection.close()


def items(port: int, path: str) -> list[dict[str, object]]:
    status, found = call(port, "GET", path)
    assert status == 200
    assert isinstance(found, dict)
    return list(found["items"])


class Operators:
    """Ask for cards and give them back, each for one client slot, until the server dies or all have had one."""

    def __init__(self) -> None:
        self.todo = [f"C{nr}:0" for nr in range(CLIENTS)]
        self.acknowledged = threading.Semaphore(0)

    def run(self, port: int) -> None:
        try:
            for client in list(self.todo):
                body = {"pool": "label:roaming", "client": client, "for": "1h", "wait": "1h"}
                status, _ = call(port, "POST", "/leases?timeout=1ms", body)
                assert status in (202, 409)
                self.todo.remove(client)
                self.acknowledged.release()
                if len(self.todo) % 2:
                    granted = items(port, "/leases?state=granted&limit=1000")
                    if granted:
                        call(port, "DELETE", f"/leases/{granted[0]['id']}")
        except (OSError, http.client.HTTPException):
            return


def check(port: int) -> list[dict[str, object]]:
    """No card is with two, and each lease that has one has its mapping."""
    before: list[dict[str, object]] | None = None
    granted = items(port, "/leases?state=granted&limit=1000")
    mappings: dict[str, str] = {}
    while before is None or [lease["id"] for lease in before] != [lease["id"] for lease in granted]:
        # The queue is served meanwhile: between two lists that are the same, nothing was.
        before = granted
        mappings = {str(item["client"]): str(item["bank"]) for item in items(port, "/mappings?limit=1000")}
        granted = items(port, "/leases?state=granted&limit=1000")
    assert len(set(mappings.values())) == len(mappings)
    assert {str(lease["client"]) for lease in granted} == mappings.keys()
    return granted


def test_leases_survive_sigkill(tmp_path: Path) -> None:
    # Of PostgreSQL it would prove no more than test_server_durability.py does: it is the same commit.
    place = sqlite_at(tmp_path)
    operators = Operators()
    with server(tmp_path, place.url) as (_, port):
        for nr in range(CARDS):
            assert call(port, "PUT", f"/labels/B1:{nr}", {"labels": ["roaming"]})[0] == 200
    for calls in (3, 7, 9):
        with server(tmp_path, place.url) as (program, port):
            check(port)
            thread = threading.Thread(target=operators.run, args=(port,))
            thread.start()
            for _ in range(calls):
                assert operators.acknowledged.acquire(timeout=20)
            program.kill()
            thread.join(20)
    with server(tmp_path, place.url) as (_, port):
        operators.run(port)
        assert not operators.todo
        order = [int(str(lease["id"])) for lease in items(port, "/leases?limit=1000") if lease["client"]]
        served = [int(str(lease["id"])) for lease in check(port)]
        while granted := check(port):
            assert len(granted) <= CARDS
            gone = int(str(granted[0]["id"]))
            assert call(port, "DELETE", f"/leases/{gone}")[0] == 204
            served += [int(str(lease["id"])) for lease in check(port) if int(str(lease["id"])) not in served]
        # Everybody who was in the queue has had a card, each in its turn.
        assert served == sorted(order)

# SPDX-License-Identifier: Apache-2.0
"""A mapping that was acknowledged with 201 survives SIGKILL at any moment, and a deletion answered with 200 too."""

import http.client
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.doubles.databases import new_database
from tests.doubles.programs import Program, remsim
from tests.doubles.server_rig import V1, mapping

#: Calls are answered in a millisecond or two: the server dies somewhere in the middle of some of them.
KILL_AFTER_CALLS = (("sqlite", 1), ("sqlite", 40), ("sqlite", 90), ("postgresql", 40))
WORKERS = 4


@contextmanager
def server(state: Path, database: str | None = None) -> Iterator[tuple[Program, int]]:
    """A server process, and its REST port."""
    argv = remsim(
        "server", "--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--state", str(state)
    )
    with Program(argv if database is None else [*argv, "--database", database]) as program:
        yield program, int(program.wait_for(r"listening .*rest=127\.0\.0\.1:(\d+)")[1])


class Operator:
    """Creates and deletes mappings until the server dies; notes what was acknowledged and what was under way."""

    def __init__(self, port: int, bank_id: int, acknowledged: threading.Semaphore) -> None:
        self._port = port
        self._bank_id = bank_id
        self._acknowledged = acknowledged
        self._random = random.Random(bank_id)
        self.live: set[int] = set()
        self.unsure: set[int] = set()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            for slot_nr in range(1024):
                self._create(connection, slot_nr)
                if self._random.random() < 0.3:
                    self._delete(connection, self._random.choice(sorted(self.live)))
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _create(self, connection: http.client.HTTPConnection, slot_nr: int) -> None:
        self.unsure = {slot_nr}
        body = json.dumps(mapping((self._bank_id, slot_nr), (self._bank_id, slot_nr)))
        connection.request("POST", f"{V1}/slotmaps", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201
        self.live.add(slot_nr)
        self.unsure = set()
        self._acknowledged.release()

    def _delete(self, connection: http.client.HTTPConnection, slot_nr: int) -> None:
        self.unsure = {slot_nr}
        connection.request("DELETE", f"{V1}/slotmaps/{self._bank_id << 16 | slot_nr}")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        self.live.remove(slot_nr)
        self.unsure = set()


def mappings(port: int) -> set[tuple[int, int]]:
    """What the server says is mapped: bank id and slot number."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", f"{V1}/slotmaps")
        entries = json.loads(connection.getresponse().read())["slotmaps"]
        return {(entry["bank"]["bankId"], entry["bank"]["slotNr"]) for entry in entries}
    finally:
        connection.close()


@pytest.mark.parametrize(("kind", "calls"), KILL_AFTER_CALLS)
def test_what_was_acknowledged_survives_sigkill(tmp_path: Path, kind: str, calls: int) -> None:
    with new_database(kind, tmp_path) as place:
        _kill_after(calls, tmp_path, place.url)


def _kill_after(calls: int, folder: Path, url: str) -> None:
    acknowledged = threading.Semaphore(0)
    with server(folder, url) as (program, port):
        operators = [Operator(port, bank_id, acknowledged) for bank_id in range(WORKERS)]
        threads = [threading.Thread(target=operator.run) for operator in operators]
        for thread in threads:
            thread.start()
        for _ in range(calls):
            assert acknowledged.acquire(timeout=20)
        program.kill()
        for thread in threads:
            thread.join(20)
    with server(folder, url) as (_, port):
        found = mappings(port)
    for bank_id, operator in enumerate(operators):
        of_bank = {slot_nr for bank, slot_nr in found if bank == bank_id}
        assert of_bank - operator.unsure == operator.live - operator.unsure


def test_start_errors_are_one_line_with_a_hint(tmp_path: Path) -> None:
    with server(tmp_path) as (_, port):
        taken = remsim(
            "server",
            "--plaintext",
            "--rest-open",
            "--rspro",
            "127.0.0.1:0",
            "--rest",
            f"127.0.0.1:{port}",
            "--state",
            str(tmp_path / "b"),
        )
        same = remsim(
            "server",
            "--plaintext",
            "--rest-open",
            "--rspro",
            "127.0.0.1:0",
            "--rest",
            "127.0.0.1:0",
            "--state",
            str(tmp_path),
        )
        for argv, reason in ((taken, "is in use"), (same, "is in use by another program")):
            with Program(argv) as second:
                assert second.wait() == 1
                (line,) = [text for text in second.stderr.lines if text.startswith("remsim server:")]
                assert reason in line
                assert "hint:" in line
                assert not any("Traceback" in text for text in second.stderr.lines)

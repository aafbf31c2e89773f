# SPDX-License-Identifier: Apache-2.0
"""SIGTERM among callers that come, ask and leave: every one is answered or hung up on, and nothing else is said."""

import http.client
import json
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.doubles.databases import KINDS, new_database
from tests.doubles.programs import Program, remsim
from tests.doubles.server_rig import V1, mapping

CALLERS = 12
STOP_AFTER_CALLS = 60


class Caller:
    """Asks for mappings, each on a connection of its own, some by halves, until the server is gone."""

    def __init__(self, port: int, bank_id: int, answered: threading.Semaphore) -> None:
        self._port, self._bank_id, self._answered = port, bank_id, answered
        self.statuses: set[int] = set()

    def run(self) -> None:
        for slot_nr in range(1024):
            body = json.dumps(mapping((self._bank_id, slot_nr), (self._bank_id, slot_nr))).encode()
            head = f"POST {V1}/slotmaps HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            try:
                with socket.create_connection(("127.0.0.1", self._port), 20.0) as whole:
                    whole.sendall(request)
                    with socket.create_connection(("127.0.0.1", self._port), 20.0) as half:
                        half.sendall(request[:-9])
                        self._read(whole)
            except OSError:
                return

    def _read(self, whole: socket.socket) -> None:
        answer = http.client.HTTPResponse(whole)
        with suppress(http.client.BadStatusLine):
            answer.begin()
            self.statuses.add(answer.status)
            self._answered.release()


@pytest.mark.parametrize("kind", KINDS)
def test_server_that_is_stopped_among_callers_says_nothing_of_them(tmp_path: Path, kind: str) -> None:
    argv = ["--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--state", str(tmp_path)]
    with new_database(kind, tmp_path) as place, Program(remsim("server", *argv, "--database", place.url)) as server:
        port = int(server.wait_for(r"listening .*rest=127\.0\.0\.1:(\d+)")[1])
        answered = threading.Semaphore(0)
        callers = [Caller(port, bank_id, answered) for bank_id in range(CALLERS)]
        threads = [threading.Thread(target=caller.run) for caller in callers]
        for thread in threads:
            thread.start()
        for _ in range(STOP_AFTER_CALLS):
            assert answered.acquire(timeout=20)
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        for thread in threads:
            thread.join(20)
        told = "\n".join(server.stderr.lines)
    assert "Traceback" not in told
    assert "uvicorn" not in told
    assert {status for caller in callers for status in caller.statuses} <= {201, 503}

# SPDX-License-Identifier: Apache-2.0
"""Lines of known-limits.md that show only in a running program: descriptors, signals, sockets, addresses, sudden ends.

docs/compatibility.md names these tests.
"""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remsim.config import HostPort
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.bank_world import BankWorld
from tests.doubles.link_world import dialled_raw, factory, world
from tests.doubles.programs import Program, remsim

#: select(2) knows no descriptor from here on.
_FD_SETSIZE = 1024
_REST = r"listening rspro=\S+ rest=(\S+)"


@contextmanager
def _many_open_files() -> Iterator[None]:
    """While the block lasts, new descriptors have numbers that select() cannot take."""
    with Path(os.devnull).open("rb") as first:
        copies = [os.dup(first.fileno()) for _ in range(_FD_SETSIZE)]
        try:
            yield
        finally:
            for copy in copies:
                os.close(copy)


async def test_bank_serves_clients_whose_descriptors_are_above_1023(tmp_path: Path) -> None:
    """Line 14."""
    with _many_open_files():
        async with BankWorld(tmp_path) as bank:
            assert await bank.create_mapping("C1:0", "B1:0") is ResultCode.OK
            client = await bank.connect()
            await client.message()
            await client.message()
            assert (await client.transmit("00a40004023f00")).startswith("61")


async def test_accepted_links_do_not_wait_to_fill_segments() -> None:
    """Line 58."""
    async with world() as (manager, program):
        listener = await manager.listen(HostPort("127.0.0.1", 0), factory())
        async with dialled_raw("127.0.0.1", listener.port):
            link, _ = await program.ups.get()
            sock: socket.socket = manager._links[link]._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_system_gives_up_what_is_not_acknowledged_when_the_peer_is_given_up() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(HostPort("127.0.0.1", 0), factory())
        async with dialled_raw("127.0.0.1", listener.port):
            link, _ = await program.ups.get()
            sock: socket.socket = manager._links[link]._transport.get_extra_info("socket")
            expected_ms = manager._links[link].connection.dead_after_s * 1000
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == expected_ms


def _server(state: Path, *options: str) -> Program:
    return Program(
        remsim(
            "server",
            "--plaintext",
            "--rest-open",
            "--rspro",
            "127.0.0.1:0",
            "--rest",
            "127.0.0.1:0",
            "--state",
            str(state),
            *options,
        )
    )


def _ctl(rest: str, *words: str) -> Program:
    return Program(remsim("ctl", "--rest", rest, *words))


def test_server_listens_where_it_is_told_and_nowhere_else(tmp_path: Path) -> None:
    """Lines 18 and 62."""
    with _server(tmp_path) as server:
        found = server.wait_for(r"listening rspro=127\.0\.0\.1:(\d+) rest=127\.0\.0\.1:(\d+)")
        for port in map(int, found.groups()):
            socket.create_connection(("127.0.0.1", port), 10).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port), 10)


def test_mapping_that_was_acknowledged_survives_a_sudden_end(tmp_path: Path) -> None:
    """Line 23."""
    with _server(tmp_path) as server, _ctl(server.wait_for(_REST)[1], "map", "B1:0", "C7:0") as order:
        assert order.wait() == 0, order.describe()
        server.kill()
    with _server(tmp_path) as server, _ctl(server.wait_for(_REST)[1], "mappings") as list_:
        list_.wait_for_stdout(r"B1:0 +C7:0 +NEW")


def test_signal_that_means_memory_statistics_to_classic_programs_is_harmless(tmp_path: Path) -> None:
    """Line 52."""
    with _server(tmp_path, "--log-level", "debug") as server:
        server.wait_for("server started")
        server.send_signal(signal.SIGUSR1)
        server.wait_for("signal_ignored")
        assert server.stop() == 0

# SPDX-License-Identifier: Apache-2.0
"""The generator of a PING flood: connections that send PING as fast as the other end takes it.

A process of its own (``python -m bench.ping_source``). Says ``ready`` when all connections are up; the order ``begin``
lets it loose, ``end`` has it tell what it did since, per second. What is closed is opened anew while the port answers.
"""

import argparse
import errno
import json
import selectors
import socket
import sys
import time
from collections import Counter
from typing import Final

from remsim.wire import ccm

#: So many PINGs in one call.
_PIECE: Final = ccm.PING * 16_384
_READ: Final = 1 << 16
_TICK_S: Final = 0.5
_RETRY_S: Final = 0.1
_ORDERS: Final = "orders"


class Source:
    """All connections, ``connections`` to each of ``ports``.

    With ``fresh`` each one is closed after so many bytes and another one takes its place, so that it always has what a
    new link may send at once.
    """

    def __init__(self, ports: list[int], connections: int, fresh: int | None) -> None:
        self._fresh = fresh
        self._sent: Counter[socket.socket] = Counter()
        self._selector = selectors.EpollSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ, _ORDERS)
        self._counts: Counter[str] = Counter()
        self._is_loose = False
        self._is_ended = False
        self._began = time.perf_counter()
        # When each port is dialled again.
        self._again: list[tuple[float, int]] = []
        for port in ports:
            for _ in range(connections):
                self._connect(port)

    def run(self) -> None:
        """Until the input ends."""
        print("ready", flush=True)
        while not self._is_ended:
            for key, events in self._selector.select(_RETRY_S if self._again else _TICK_S):
                if key.data is _ORDERS:
                    self._on_order()
                elif isinstance(key.fileobj, socket.socket):
                    self._on_ready(key.fileobj, key.data, events)
            self._connect_again()

    def _connect(self, port: int) -> None:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.settimeout(0)
        self._selector.register(sock, self._events, port)
        self._counts["connects"] += 1

    @property
    def _events(self) -> int:
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._is_loose else 0)

    def _connect_again(self) -> None:
        now = time.perf_counter()
        due = [port for at, port in self._again if at <= now]
        self._again = [(at, port) for at, port in self._again if at > now]
        for port in due:
            try:
                self._connect(port)
            except ConnectionError:
                self._again.append((now + _RETRY_S, port))

    def _on_ready(self, sock: socket.socket, port: int, events: int) -> None:
        try:
            if events & selectors.EVENT_READ and not sock.recv(_READ):
                raise ConnectionResetError(errno.ECONNRESET, "closed")
            if events & selectors.EVENT_WRITE:
                self._send(sock)
        except BlockingIOError:
            return
        except ConnectionError:
            self._drop(sock)
            self._counts["closed"] += 1
            self._again.append((time.perf_counter() + _RETRY_S, port))
            return
        if self._fresh is not None and self._sent[sock] >= self._fresh:
            self._drop(sock)
            self._again.append((0.0, port))

    def _send(self, sock: socket.socket) -> None:
        most = len(_PIECE) if self._fresh is None else self._fresh - self._sent[sock]
        sent = sock.send(_PIECE[:most])
        self._sent[sock] += sent
        self._counts["bytes"] += sent

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        self._sent.pop(sock, None)
        sock.close()

    def _on_order(self) -> None:
        line = sys.stdin.readline()
        self._is_ended = not line
        if line.strip() == "begin":
            self._counts.clear()
            self._began = time.perf_counter()
            self._let_loose()
        elif line:
            took_s = time.perf_counter() - self._began
            print(json.dumps({name: number / took_s for name, number in self._counts.items()}), flush=True)

    def _let_loose(self) -> None:
        self._is_loose = True
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                self._selector.modify(key.fileobj, self._events, key.data)


def main(arguments: list[str]) -> int:
    """Run until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.ping_source", description=__doc__)
    parser.add_argument("--port", type=int, nargs="+", required=True, help="of 127.0.0.1")
    parser.add_argument("--connections", type=int, required=True, metavar="N", help="to each port")
    parser.add_argument("--fresh", type=int, metavar="BYTES", help="a new connection after so many")
    given = parser.parse_args(arguments)
    Source(given.port, given.connections, given.fresh).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

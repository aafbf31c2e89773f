# SPDX-License-Identifier: Apache-2.0
"""The generator of garbage: keeps a number of connections up, and sends garbage over them at a bounded rate.

A process of its own (``python -m bench.garbage_source``), behind everything else in priority, as an attacker has a
machine of his own. What is closed is opened anew at once. In a second, so many connections are opened, so many begin to
speak, in turn, and all together send so many bytes; not more. Says ``ready`` at the start; the order ``begin`` lets it
loose, and ``end`` has it tell what it did since, per second.
"""

import argparse
import errno
import heapq
import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from itertools import count
from random import Random
from typing import Final

from bench.garbage_kinds import KINDS, Plan, choose
from bench.priority import BEHIND, step_aside
from remsim.net.runtime.process import raise_open_file_limit

#: What was not used of the allowance is there for so long.
_BURST_S: Final = 0.05
_TICK_S: Final = 0.005
#: So many of the connections are nearly all: some are always being opened anew.
_NEARLY: Final = 0.98
_READ: Final = 1 << 16
_ORDERS: Final = "orders"


class Bucket:
    """An allowance that grows at ``rate`` a second, up to ``_BURST_S`` seconds' worth."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._level = 0.0
        self._at = time.perf_counter()

    def refill(self, now: float) -> None:
        """Let it grow until now."""
        self._level = min(self._level + (now - self._at) * self._rate, self._rate * _BURST_S)
        self._at = now

    @property
    def is_open(self) -> bool:
        """Whether there is anything left."""
        return self._level > 0

    def take(self, amount: float) -> None:
        """Use it, below zero if need be."""
        self._level -= amount


class Level:
    """How many connections are open: their mean over time from when nearly all of them were for the first time."""

    def __init__(self, wanted: int) -> None:
        self._enough = wanted * _NEARLY
        self._open = 0
        self._at = time.perf_counter()
        self._full_at: float | None = None
        self._sum = 0.0

    def add(self, change: int) -> None:
        """From now on there are so many more."""
        now = time.perf_counter()
        self._sum += self._open * (now - self._at)
        self._at = now
        self._open += change
        if self._full_at is None and self._open >= self._enough:
            self._full_at, self._sum = now, 0.0

    def figures(self, began: float) -> dict[str, float]:
        """For JSON; ``began`` is when they began to be opened."""
        self.add(0)
        if self._full_at is None or self._at == self._full_at:
            return {"open": self._open}
        return {"open": self._sum / (self._at - self._full_at), "full_s": self._full_at - began}


class Knock:
    """One connection."""

    def __init__(self, sock: socket.socket, plan: Plan) -> None:
        self.sock = sock
        self.kind = plan.kind
        self.interval_s = plan.interval_s
        self.pieces = deque(plan.pieces)
        self.is_up = False
        self.is_gone = False


class Source:
    """All connections, to all ``ports`` alike, from ``sources`` addresses of loopback."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._random = Random(given.seed)
        self._selector = selectors.EpollSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ, _ORDERS)
        self._connects, self._knocks, self._bytes = Bucket(given.connects), Bucket(given.knocks), Bucket(given.bytes)
        # Who is to begin, in turn; and who is to go on, by time. The number makes equal times different.
        self._turn: deque[Knock] = deque()
        self._later: list[tuple[float, int, Knock]] = []
        self._numbers = count()
        self._made = 0
        self._missing = 0
        self._level = Level(given.connections)
        self._counts: Counter[str] = Counter()
        self._began = time.perf_counter()
        self._is_ended = False

    def run(self) -> None:
        """Until the input ends."""
        print("ready", flush=True)
        while not self._is_ended:
            self._open_missing()
            for key, _ in self._selector.select(_TICK_S):
                if key.data is _ORDERS:
                    self._on_order()
                elif isinstance(key.data, Knock):
                    self._on_ready(key.data)
            self._send()

    def _open_missing(self) -> None:
        self._connects.refill(time.perf_counter())
        while self._missing and self._connects.is_open:
            self._connects.take(1)
            self._missing -= 1
            self._connect()

    def _connect(self) -> None:
        plan = choose(self._random, self._given.kind)
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(0)
        ports = self._given.port
        source = self._made // len(ports) % self._given.sources
        sock.bind((f"127.0.1.{source + 1}", 0))
        port = ports[self._made % len(ports)]
        self._made += 1
        status = sock.connect_ex(("127.0.0.1", port))
        if status not in (0, errno.EINPROGRESS):
            sock.close()
            self._counts["failed"] += 1
            self._missing += 1
            return
        self._selector.register(sock, selectors.EVENT_WRITE, Knock(sock, plan))

    def _on_ready(self, knock: Knock) -> None:
        if not knock.is_up:
            self._on_connected(knock)
            return
        try:
            is_over = not knock.sock.recv(_READ)
        except BlockingIOError:
            is_over = False
        except OSError:
            is_over = True
        if is_over:
            self._drop(knock)

    def _on_connected(self, knock: Knock) -> None:
        if knock.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._counts["failed"] += 1
            self._drop(knock)
            return
        knock.is_up = True
        self._level.add(1)
        self._counts["connects"] += 1
        self._selector.modify(knock.sock, selectors.EVENT_READ, knock)
        self._turn.append(knock)

    def _drop(self, knock: Knock) -> None:
        if knock.is_up:
            self._level.add(-1)
            self._counts["closed"] += 1
        knock.is_gone = True
        self._selector.unregister(knock.sock)
        knock.sock.close()
        self._missing += 1

    def _send(self) -> None:
        now = time.perf_counter()
        self._knocks.refill(now)
        self._bytes.refill(now)
        while self._turn and self._knocks.is_open and self._bytes.is_open:
            knock = self._turn.popleft()
            if not knock.is_gone:
                self._knocks.take(1)
                self._counts[knock.kind] += 1
                self._send_piece(knock, now)
        while self._later and self._later[0][0] <= now and self._bytes.is_open:
            _, _, knock = heapq.heappop(self._later)
            if not knock.is_gone:
                self._send_piece(knock, now)

    def _send_piece(self, knock: Knock, now: float) -> None:
        piece = knock.pieces.popleft()
        try:
            sent = knock.sock.send(piece)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(knock)
            return
        self._bytes.take(sent)
        self._counts["bytes"] += sent
        if knock.pieces:
            heapq.heappush(self._later, (now + knock.interval_s, next(self._numbers), knock))

    def _on_order(self) -> None:
        line = sys.stdin.readline()
        self._is_ended = not line
        if line.strip() == "begin":
            self._missing = self._given.connections
            self._began = time.perf_counter()
        elif line:
            took_s = time.perf_counter() - self._began
            told = {name: number / took_s for name, number in self._counts.items()}
            print(json.dumps(told | self._level.figures(self._began)), flush=True)


def main(arguments: list[str]) -> int:
    """Run until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.garbage_source", description=__doc__)
    parser.add_argument("--port", type=int, nargs="+", required=True, help="of 127.0.0.1; all get as many connections")
    parser.add_argument("--connections", type=int, required=True, metavar="N", help="in all")
    parser.add_argument(
        "--connects", type=float, required=True, metavar="N", help="new connections per second, at most"
    )
    parser.add_argument("--knocks", type=float, required=True, metavar="N", help="that begin to speak per second")
    parser.add_argument("--bytes", type=float, required=True, metavar="N", help="per second, at most")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS), help="of garbage (default: all)")
    parser.add_argument("--sources", type=int, default=4, metavar="N", help="addresses to come from (default: 4)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--behind", choices=BEHIND, default=BEHIND[0], help="all others (default: %(default)s)")
    given = parser.parse_args(arguments)
    raise_open_file_limit()
    step_aside(given.behind)
    Source(given).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

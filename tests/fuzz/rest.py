# SPDX-License-Identifier: Apache-2.0
"""The whole REST interface under schemathesis: ``python -m tests.fuzz.rest [N]``.

A server with an authority serves it over HTTPS, with a bankd and a client connected; schemathesis, as a program of its
own, makes requests from docs/openapi.json, good and bad ones, and holds each answer against it: status, headers, body.
Every caller sees another part: somebody without a token, a viewer, an operator for one bank, an admin.
"""

import argparse
import asyncio
import os
import re
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import httpx2
import pytest

from remsim.client.metrics import ClientMetrics
from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import ClientConfig, ServerConfig
from remsim.core.ids import ClientSlot
from remsim.emulators.driven import DrivenEmulator
from remsim.server.api import judging
from remsim.server.api.v2 import events, traces
from remsim.server.changes import Changes
from remsim.server.core.tokens import EVERYTHING, Grant, Scope, TokenRole, failure_limiter
from remsim.server.metrics import ServerMetrics
from remsim.server.runtime import ServerRuntime
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from tests.doubles.certificates import BANK, CLIENT, SERVER, CertificateWorld
from tests.doubles.tls_rig import LOOPBACK, LogLines, bankd_service, note_log, running
from tests.reference import ROOT

T = TypeVar("T")

#: The same requests come with the same seed; the tests always have this one.
SHORT_SEED: Final = 20261123
#: Examples of the schema, values at its borders and beyond, drawn ones, and requests that follow from each other.
EVERY_PHASE: Final = "examples,coverage,fuzzing,stateful"
_LONG_EXAMPLES: Final = 200
#: More than there are requests in the longest run.
_FAILURES_ALLOWED: Final = 1_000_000
_CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
#: What the answers are held against.
SCHEMA: Final = ROOT / "docs" / "openapi.json"
_SUMMARY: Final = re.compile(r"(\d+) generated")
#: Our own mistakes, as logs show them.
_FAULT: Final = re.compile(r"Traceback|internal_error|task_crashed|Exception in callback|\berror  ")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls; ``role`` None: without a token."""

    role: TokenRole | None
    scope: Scope = EVERYTHING


CALLERS: Final[Mapping[str, Caller]] = {
    "nobody": Caller(None),
    "viewer": Caller(TokenRole.VIEWER),
    "limited": Caller(TokenRole.OPERATOR, Scope(frozenset({1}), frozenset({23}))),
    "admin": Caller(TokenRole.ADMIN),
}


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of one caller's requests."""

    caller: str
    requests: int
    #: What schemathesis says; in full if an answer was wrong.
    text: str
    is_good: bool


class RestWorld:
    """A server that can be called, with its log."""

    def __init__(
        self, folder: Path, world: CertificateWorld, service: ServerService, metrics: ServerMetrics, log: LogLines
    ) -> None:
        self._folder = folder
        self._world = world
        self._service = service
        self._metrics = metrics
        self._log = log
        self._anchor = folder / "authority.pem"
        self._anchor.write_bytes(world.authority.certificate)

    @property
    def url(self) -> str:
        """Where it serves REST."""
        return f"https://{self._service.rest_address}"

    def client(self, token: str | None = None) -> httpx2.AsyncClient:
        """Somebody who calls it."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx2.AsyncClient(base_url=self.url, verify=_context(self._anchor), headers=headers)

    async def token(self, caller: Caller) -> str | None:
        """A token for the caller."""
        if caller.role is None:
            return None
        config = ServerConfig(state_dir=self._world.directory)
        text, _ = await asyncio.to_thread(
            create_token, config, name=f"{caller.role.text} of a test", role=caller.role, scope=caller.scope
        )
        return text

    async def visit(
        self, name: str, *, examples: int, seed: int, phases: str = EVERY_PHASE, path: str | None = None
    ) -> Visit:
        """Let schemathesis call as this caller, ``path`` alone or all there are.

        ``examples``: at most so many drawn requests for each route.
        """
        token = await self.token(CALLERS[name])
        header = () if token is None else ("--header", f"Authorization: Bearer {token}")
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(_CONFIG), "--no-color", "run"),
            *(str(SCHEMA), "--url", self.url, "--tls-verify", str(self._anchor), *header),
            *("--max-examples", str(examples), "--seed", str(seed), "--phases", phases),
            *("--generation-database", "none"),
            *(() if path is None else ("--include-path", path)),
            # It keeps notes where it is started.
            cwd=self._folder,
            env=_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await program.communicate()
        text = said.decode(errors="replace")
        count = _SUMMARY.search(text)
        return Visit(name, int(count[1]) if count else 0, text, is_good=program.returncode == 0 and count is not None)

    def answers(self) -> dict[str, int]:
        """How many answers there were so far, by status."""
        found: dict[str, int] = {}
        for metric in self._metrics.registry.collect():
            for sample in metric.samples:
                if sample.name == "remsim_server_rest_requests_total":
                    status = sample.labels["status"]
                    found[status] = found.get(status, 0) + int(sample.value)
        return found

    async def faults(self) -> list[str]:
        """What is wrong with it now, or was logged since the start."""
        found = [line for line in self._log.getvalue().splitlines() if _FAULT.search(line)]
        async with self.client() as rest:
            for path in ("/health", "/ready"):
                answer = await rest.get(path)
                if answer.status_code != 200:
                    found.append(f"{path}: {answer.status_code} {answer.text}")
        return found


async def _at_once(_changes: Changes, look: Callable[[], T | None], _timeout_s: float) -> T | None:
    return look()


async def _may_not_go_on(_runtime: ServerRuntime, _grant: Grant) -> bool:
    return False


def _context(anchor: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=anchor)


def _environment() -> dict[str, str]:
    # Nothing of ours runs in it, so there is nothing to be measured.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS_")}
    # Which characters can be encoded is a quarter of a short visit: hypothesis finds here what it has worked out.
    return kept | {"HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis")}


@asynccontextmanager
async def rest_world(folder: Path) -> AsyncIterator[RestWorld]:
    """Server, bankd and client, for the time of the block."""
    log = note_log()
    world = CertificateWorld(folder / "lab")
    async with AsyncExitStack() as stack:
        # Checks of schemathesis call without a token and want 401. After ten failures of one source it is 429, and how
        # soon that comes depends on how fast the machine is; tests/contract/test_rest_access.py is about that.
        patient = partial(failure_limiter, allowed=_FAILURES_ALLOWED)
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(judging, "failure_limiter", patient)
        # Nor is anything waited for: the answer is that of a wait in vain.
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(Changes, "until", _at_once)
        # So a stream would say again and again that nothing happens: it ends at its first silence instead, as when its
        # token has ended. Then its whole answer is held against its description, too.
        for streaming in (events, traces):
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(streaming, "KEEP_ALIVE_S", 0.0)
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(streaming, "may_go_on", _may_not_go_on)
        metrics = ServerMetrics()
        server = ServerService(
            ServerConfig(
                rspro=LOOPBACK,
                rest=LOOPBACK,
                state_dir=world.directory,
                tls_dir=world.credentials(SERVER).directory,
            ),
            metrics=metrics,
        )
        await stack.enter_async_context(running(server))
        bankd = bankd_service(folder / "bank-1", world.credentials(BANK), server.rspro_address)
        await stack.enter_async_context(running(bankd))
        config = ClientConfig(
            server=server.rspro_address, client=ClientSlot(23, 0), tls_dir=world.credentials(CLIENT).directory
        )
        client = ClientService([SlotSpec(config, DrivenEmulator(), ClientObserver())], metrics=ClientMetrics())
        await stack.enter_async_context(running(client))
        await log.line_with("bankd_connected")
        await log.line_with("client_connected")
        yield RestWorld(folder, world, server, metrics, log)


async def _visit_all(folder: Path, examples: int, seed: int) -> bool:
    is_good = True
    async with rest_world(folder) as rest:
        for name in CALLERS:
            visit = await rest.visit(name, examples=examples, seed=seed)
            is_good = is_good and visit.is_good
            sys.stdout.write(f"{name}: {visit.requests} requests\n" if visit.is_good else visit.text)
            sys.stdout.flush()
        faults = await rest.faults()
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    return is_good and not faults


def main() -> int:
    """Call; exit status 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.rest", description="Requests from docs/openapi.json.")
    parser.add_argument(
        "examples", type=int, nargs="?", default=_LONG_EXAMPLES, metavar="N", help="for each route (default: 200)"
    )
    parser.add_argument("--seed", type=int, help="begin with this number (default: drawn anew)")
    given = parser.parse_args()
    seed = time.time_ns() % 1_000_000_000 if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(prefix="remsim-rest-") as folder:
        is_good = asyncio.run(_visit_all(Path(folder), given.examples, seed))
    sys.stdout.write(f"seed {seed}\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())

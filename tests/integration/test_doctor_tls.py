# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor`` in an installation over TLS: the programs on real sockets, healthy and each thing wrong in turn."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from remsim.bankd.service import BankdService
from remsim.config import ClientSlotConfig, HostPort, ServerConfig
from remsim.core.errors import RemsimError
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Identity, Role
from remsim.core.ids import ClientSlot
from remsim.doctor import check, links
from remsim.doctor.check import CHECKS, RestCalls, Situation, examine
from remsim.doctor.links import OwnPort, check_bankd, check_own_ports, check_server
from remsim.pki import files
from remsim.pki.credentials import Credentials
from remsim.server.core.tokens import TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from tests.doubles.certificates import BANK, CLIENT, DAY_S, SERVER, CertificateWorld
from tests.doubles.programs import PATIENCE_S, remsim
from tests.doubles.tls_rig import bankd_service, client_service, note_log, running, server_service

C23 = ClientSlot(23, 0)


@pytest.fixture
def lab(tmp_path: Path) -> CertificateWorld:
    """An authority of our own."""
    return CertificateWorld(tmp_path / "lab")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Ends what a test has started."""
    async with AsyncExitStack() as made:
        yield made


async def start_server(stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path) -> ServerService:
    server = server_service(tmp_path / "server", lab.credentials(SERVER))
    await stack.enter_async_context(running(server))
    return server


async def start_bankd(stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path, server: HostPort) -> BankdService:
    bankd = bankd_service(tmp_path / "bank", lab.credentials(BANK), server)
    await stack.enter_async_context(running(bankd))
    return bankd


def client_host(server: HostPort, credentials: Credentials) -> Situation:
    slot = ClientSlotConfig(client=C23, emulator="vpcd")
    return Situation(server, (slot,), tls_dir=credentials.directory)


def only(findings: Sequence[Finding]) -> Finding:
    (finding,) = findings
    assert finding.mend or finding.outcome is Outcome.OK
    return finding


class Rows:
    """REST of a server whose clients are these."""

    def __init__(self, *rows: dict[str, object], error: RemsimError | None = None) -> None:
        self._rows, self._error = list(rows), error

    def get_list(self, name: str) -> list[dict[str, object]]:
        """As RestClient does."""
        assert name in ("clients", "warnings")
        if self._error is not None:
            raise self._error
        return self._rows

    def get_warnings(self) -> list[dict[str, object]]:
        """As RestClient does."""
        return self.get_list("warnings")

    def open(self) -> RestCalls:
        """The way to it."""
        return self


def row(address: HostPort, *, peer: str = "C23:0") -> dict[str, object]:
    return {"peer": peer, "address": "127.0.0.1:1", "told": {"ip": address.host, "port": address.port}}


# The whole program


async def run(*words: str, env: dict[str, str] | None = None) -> tuple[int, list[dict[str, str]]]:
    """Status and findings of ``remsim doctor``."""
    process = await asyncio.create_subprocess_exec(
        *remsim("doctor", "--json", *words), stdout=asyncio.subprocess.PIPE, env={**os.environ, **(env or {})}
    )
    async with asyncio.timeout(3 * PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(said)["findings"]


def of(check: str, rows: list[dict[str, str]]) -> dict[str, str]:
    (found,) = [found for found in rows if found["check"] == check]
    return found


async def make_token(state: Path) -> str:
    """A token of the server that has its database there."""
    config = ServerConfig(state_dir=state)
    text, _ = await asyncio.to_thread(create_token, config, name="doctor", role=TokenRole.OPERATOR)
    return text


async def map_slot(server: ServerService, authority: Path, token: str) -> None:
    target = ["--rest", f"https://{server.rest_address}", "--authority", str(authority)]
    process = await asyncio.create_subprocess_exec(
        *remsim("ctl", *target, "map", "B1:0", "C23:0"),
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "REMSIM_TOKEN": token},
    )
    assert await process.wait() == 0


async def test_healthy_installation_is_called_healthy_and_its_client_goes_on(
    stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path
) -> None:
    """Certificate, server, the bankd that the server names; the client that runs with the same certificate stays."""
    log = note_log()
    server = server_service(tmp_path / "server", lab.credentials(SERVER), rest_open=False)
    await stack.enter_async_context(running(server))
    await start_bankd(stack, lab, tmp_path, server.rspro_address)
    credentials = lab.credentials(CLIENT)
    await log.line_with("bankd server_connected")
    token = await make_token(tmp_path / "server")
    await map_slot(server, credentials.authority_file, token)
    await stack.enter_async_context(running(client_service(credentials, server.rspro_address.port)))
    await log.line_with("client bankd_connected")
    status, rows = await run(
        *("client", "--tls", str(credentials.directory), "--server", str(server.rspro_address)),
        *("--rest", f"https://{server.rest_address}"),
        env={"REMSIM_TOKEN": token},
    )
    assert [found for found in rows if found["outcome"] == "problem"] == []
    assert status == 0
    assert "is server/lab and answers over TLS in" in of("server", rows)["text"]
    assert "is bank/1 and answers over TLS in" in of("bankd", rows)["text"]
    assert of("bankd", rows)["text"].startswith("C23:0: 127.0.0.1:")
    assert of("certificate", rows)["text"].startswith("client/23, until ")
    events = [line.split()[3] for line in log.getvalue().splitlines() if " client " in line]
    assert events.count("bankd_connected") == events.count("server_connected") == 1
    assert not [line for line in log.getvalue().splitlines() if "contested" in line or "replaced" in line]


async def test_hosts_of_bank_and_server_are_called_healthy(
    stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path
) -> None:
    """Beside the programs themselves, whose ports are theirs."""
    server = await start_server(stack, lab, tmp_path)
    bankd = await start_bankd(stack, lab, tmp_path, server.rspro_address)
    assert bankd.listener is not None
    config = tmp_path / "bankd.toml"
    config.write_text(
        f'server = "{server.rspro_address}"\nlisten = "{bankd.listener.addresses[0]}"\nreader = "sim"\n'
        f'state_dir = "{tmp_path / "bank"}"\ntls_dir = "{lab.credentials(BANK).directory}"\n'
    )
    status, rows = await run("--config", str(config))
    assert (status, of("role", rows)["text"]) == (0, f"bankd ({config})")
    assert of("port", rows)["text"].endswith("(clients) is held by remsim")
    config = tmp_path / "server.toml"
    config.write_text(
        f'rspro = "{server.rspro_address}"\nrest = "{server.rest_address}"\nrest_open = true\n'
        f'state_dir = "{tmp_path / "server"}"\ntls_dir = "{lab.credentials(SERVER).directory}"\n'
    )
    status, rows = await run("--config", str(config))
    assert of("role", rows)["text"] == f"server ({config})"
    ports = [found["text"].partition(" (")[2] for found in rows if found["check"] == "port"]
    assert ports == ["RSPRO) is held by remsim", "REST) is held by remsim"]
    # It was never told of a token, because its REST is open.
    assert [found["check"] for found in rows if found["outcome"] == "problem"] == ["token"]
    assert status == 1


# The server, as a client's host sees it


async def test_server_with_an_expired_certificate(stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path) -> None:
    server = server_service(tmp_path / "server", lab.credentials(SERVER, now=lab.now - 91 * DAY_S))
    await stack.enter_async_context(running(server))
    found = only(await check_server(client_host(server.rspro_address, lab.credentials(CLIENT))))
    assert found.outcome is Outcome.PROBLEM
    assert found.text.endswith(": the peer's certificate is refused: it has expired")
    assert "clock" in found.mend


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("expired", "the peer refuses our certificate: it has expired"),
        ("revoked", "the peer refuses our certificate: it is revoked"),
        ("other authority", "the peer refuses our certificate: it does not trust our authority"),
    ],
)
async def test_client_whom_the_server_refuses(
    stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path, case: str, text: str
) -> None:
    if case == "other authority":
        credentials = CertificateWorld(tmp_path / "other", name="other").credentials(CLIENT)
        files.write_public(credentials.authority_file, lab.authority.certificate)
        files.write_public(credentials.revocations_file, lab.revocations())
    else:
        credentials = lab.credentials(CLIENT, now=lab.now - (91 * DAY_S if case == "expired" else 0.0))
    if case == "revoked":
        lab.revoke(credentials)
    server = await start_server(stack, lab, tmp_path)
    found = only(await check_server(client_host(server.rspro_address, credentials)))
    assert (found.outcome, found.text) == (Outcome.PROBLEM, f"{server.rspro_address}: {text}")


async def test_server_of_another_installation(stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path) -> None:
    server = await start_server(stack, lab, tmp_path)
    other = CertificateWorld(tmp_path / "other", name="other").credentials(CLIENT)
    found = only(await check_server(client_host(server.rspro_address, other)))
    assert found.text.endswith("the peer's certificate is refused: it is of an authority that we do not trust")
    assert "certificates of the same authority" in found.mend


async def test_port_of_a_bankd_is_no_server(stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path) -> None:
    bankd = await start_bankd(stack, lab, tmp_path, HostPort("127.0.0.1", 1))
    assert bankd.listener is not None
    found = only(await check_server(client_host(bankd.listener.addresses[0], lab.credentials(CLIENT))))
    assert found.outcome is Outcome.PROBLEM
    assert found.text.endswith(": the peer is bank/1, no server")


@pytest.mark.parametrize("is_open", [True, False])
async def test_rest_port_is_told_apart(
    stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path, is_open: bool
) -> None:
    """In clear and over TLS."""
    server = server_service(tmp_path / "server", lab.credentials(SERVER), rest_open=is_open)
    await stack.enter_async_context(running(server))
    found = only(await check_server(client_host(server.rest_address, lab.credentials(CLIENT))))
    assert (found.outcome, found.text) == (Outcome.PROBLEM, f"{server.rest_address} speaks HTTP, not RSPRO")
    assert found.mend.startswith("is that the REST port?")


async def test_server_that_is_not_there(lab: CertificateWorld) -> None:
    found = only(await check_server(client_host(HostPort("127.0.0.1", 1), lab.credentials(CLIENT))))
    assert (found.outcome, found.text) == (Outcome.PROBLEM, "nothing listens at 127.0.0.1:1")


async def test_server_without_tls(stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path) -> None:
    server = server_service(tmp_path / "server", None, plaintext=True)
    await stack.enter_async_context(running(server))
    found = only(await check_server(client_host(server.rspro_address, lab.credentials(CLIENT))))
    assert (found.outcome, found.text) == (Outcome.PROBLEM, f"{server.rspro_address} speaks RSPRO without TLS")


async def test_host_without_certificate_before_a_server_with_tls(
    stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path
) -> None:
    server = await start_server(stack, lab, tmp_path)
    found = only(await check_server(Situation(server.rspro_address, tls_dir=tmp_path / "none")))
    assert found.outcome is Outcome.PROBLEM
    assert found.text == f"{server.rspro_address} speaks TLS only, and this host has no certificate"
    assert "remsim enroll" in found.mend


async def test_certificate_that_cannot_be_used_is_not_shown(lab: CertificateWorld) -> None:
    credentials = lab.credentials(CLIENT)
    credentials.pair_file.chmod(0o644)
    found = only(await check_server(client_host(HostPort("127.0.0.1", 1), credentials)))
    assert (found.outcome, found.mend) == (Outcome.NOTE, "replace the certificate first")


@asynccontextmanager
async def silent_peer() -> AsyncIterator[HostPort]:
    """Takes connections and says nothing."""
    done = asyncio.Event()

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield HostPort("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        done.set()
        server.close()


async def test_silence_has_a_deadline(lab: CertificateWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "DEADLINE_S", 0.2)
    async with silent_peer() as address:
        found = only(await check_server(client_host(address, lab.credentials(CLIENT))))
    assert found.text == f"{address} does not answer"
    assert "firewall" in found.mend


async def test_bankds_that_are_silent_do_not_add_up(lab: CertificateWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has its deadline, and all of them together have not more than one check may take."""
    monkeypatch.setattr(links, "DEADLINE_S", 1.0)
    monkeypatch.setattr(check, "DEADLINE_S", 4.0)
    async with AsyncExitStack() as stack:
        places = [await stack.enter_async_context(silent_peer()) for _ in range(8)]
        host = client_host(places[0], lab.credentials(CLIENT))
        rest = Rows(*(row(place) for place in places))
        situation = Situation(host.server, host.slots, tls_dir=host.tls_dir, open_rest=rest.open)
        found = [one async for one in examine(situation, {"bankd": CHECKS["bankd"]})]
    assert [one.text for one in found] == [f"C23:0: {place} does not answer" for place in places]


# The bankd that the server names


async def examine_bankd(lab: CertificateWorld, rest: Rows | None) -> Finding:
    host = client_host(HostPort("127.0.0.1", 1), lab.credentials(CLIENT))
    opener = None if rest is None else rest.open
    return only(await check_bankd(Situation(host.server, host.slots, tls_dir=host.tls_dir, open_rest=opener)))


async def test_bankd_that_is_a_server(stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path) -> None:
    server = await start_server(stack, lab, tmp_path)
    found = await examine_bankd(lab, Rows(row(server.rspro_address)))
    assert found.outcome is Outcome.PROBLEM
    assert found.text.endswith("the peer is server/lab, no bank")


async def test_bankd_that_cannot_be_reached(lab: CertificateWorld) -> None:
    found = await examine_bankd(lab, Rows(row(HostPort("127.0.0.1", 1))))
    assert (found.outcome, found.text) == (Outcome.PROBLEM, "C23:0: nothing listens at 127.0.0.1:1")
    assert "remsim bankd" in found.mend


@pytest.mark.parametrize(
    ("rest", "part"),
    [
        (None, "without a token"),
        (Rows(error=RemsimError("the server wants a token (HTTP 401)", hint="h")), "the server wants a token"),
        (Rows(row(HostPort("h", 1), peer="C24:0")), "has none of this host's clients"),
        (Rows({"peer": "C23:0", "state": "CONNECTED_CLIENT"}), "this server does not tell"),
        (Rows({"peer": "C23:0", "address": "h:1"}), "the server has named no bankd to C23:0"),
        (
            Rows({"peer": "C23:0", "address": "h:1", "mapping": {"problem": "its bank is not connected"}}),
            "C23:0: its bank is not connected",
        ),
    ],
)
async def test_what_cannot_be_checked_is_told_with_the_reason(
    lab: CertificateWorld, rest: Rows | None, part: str
) -> None:
    found = await examine_bankd(lab, rest)
    assert found.outcome is Outcome.NOTE
    assert part in found.text


# Ports of this host


async def test_port_that_another_program_holds_is_told(
    stack: AsyncExitStack, lab: CertificateWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "DEADLINE_S", 0.5)
    bankd = await start_bankd(stack, lab, tmp_path, HostPort("127.0.0.1", 1))
    assert bankd.listener is not None
    other = await stack.enter_async_context(silent_peer())
    config = ServerConfig(rspro=bankd.listener.addresses[0], rest=other, state_dir=tmp_path)
    tls = lab.credentials(Identity.server("lab")).directory
    situation = Situation(config.rspro, role=Role.SERVER, tls_dir=tls, server_config=config)
    held, foreign = await check_own_ports(situation)
    assert held.text == f"port {config.rspro.port} (RSPRO) is held by bank/1, another program"
    assert foreign.text == f"port {other.port} (REST) is held by a program that is not remsim"
    assert {held.outcome, foreign.outcome} == {Outcome.PROBLEM}


def test_free_port_and_port_zero() -> None:
    refused = links.ProbeResult(HostPort("127.0.0.1", 1), is_tls=False, error=ConnectionRefusedError())
    found = links.judge_port(OwnPort(HostPort("", 9998), "RSPRO"), refused, None)
    assert (found.outcome, found.text) == (Outcome.OK, "port 9998 (RSPRO) is free")
    config = ServerConfig(rspro=HostPort("", 0), rest=HostPort("", 0), state_dir=Path("/nonexistent"))
    situation = Situation(config.rspro, role=Role.SERVER, server_config=config)
    assert links.own_ports(situation) == []

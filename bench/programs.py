# SPDX-License-Identifier: Apache-2.0
"""A real server and a real bankd with cards that answer at once, each a process of its own, with real mappings."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench import null_reader
from bench.certificates import BANK, SERVER, Lab
from remsim.core.ids import BankSlot, ClientSlot
from tests.doubles.programs import Program, remsim
from tests.doubles.rest_calls import RestCalls

BANK_ID: Final = BANK.number or 1
_START_S: Final = 60.0
_SERVER_LISTENS: Final = r"\blistening\b.* rspro=127\.0\.0\.1:(\d+) rest=127\.0\.0\.1:(\d+)"
_BANKD_LISTENS: Final = r"\blistening\b.* address=127\.0\.0\.1:(\d+)"


@dataclass(frozen=True, slots=True)
class Programs:
    """Both programs, up and connected, and where they listen."""

    server: Program
    bankd: Program
    rspro_port: int
    rest_port: int
    bankd_port: int

    async def map(self, pairs: Iterable[tuple[ClientSlot, BankSlot]]) -> None:
        """Create mappings, and wait until the bankd has them."""
        bank = client = None
        async with RestCalls(self.rest_port) as rest:
            for client, bank in pairs:
                document = {
                    "bank": {"bankId": bank.bank_id, "slotNr": bank.slot_nr},
                    "client": {"clientId": client.client_id, "slotNr": client.slot_nr},
                }
                status, body = await rest.post("/slotmaps", document)
                if status != 201:
                    raise SystemExit(f"POST of a mapping: {status} {body.decode(errors='replace')}")
        # They reach the bankd in their order.
        await asyncio.to_thread(self.bankd.wait_for, rf"mapping_created \[{bank} {client}\]", timeout_s=_START_S)

    def plain_port(self, program: Program) -> int:
        """The second port of a program, for plain TCP, which its log does not tell."""
        known = (self.bankd_port, self.rspro_port, self.rest_port)
        listening = [
            connection.laddr.port
            for connection in psutil.Process(program.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port not in known
        ]
        (port,) = listening
        return port


async def map_clients(programs: Programs, *, sessions: int, client_id: int = 1, first_slot: int = 0) -> None:
    """Map client ``client_id``:i to slot ``first_slot`` + i of the bank, for all i below ``sessions``."""
    await programs.map(
        (ClientSlot(client_id, index), BankSlot(BANK_ID, first_slot + index)) for index in range(sessions)
    )


@asynccontextmanager
async def open_server(
    folder: Path, lab: Lab | None, options: Iterable[str] = ()
) -> AsyncIterator[tuple[Program, int, int]]:
    """A server with its state in ``folder``, and its two ports. Over TLS with a certificate of ``lab``, else plain."""
    arguments = ["--rest-open", "--state", str(folder), "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0"]
    arguments += ["--plaintext"] if lab is None else ["--tls", str(lab.credentials(SERVER).directory)]
    with Program(remsim("server", *arguments, *options)) as program:
        said = await asyncio.to_thread(program.wait_for, _SERVER_LISTENS, timeout_s=_START_S)
        yield program, int(said[1]), int(said[2])


@asynccontextmanager
async def open_programs(
    folder: Path,
    lab: Lab | None,
    *,
    slots: int,
    bankd_options: Iterable[str] = (),
    server_options: Iterable[str] = (),
) -> AsyncIterator[Programs]:
    """Both programs, in ``folder``; over TLS with certificates of ``lab``, else over plain TCP."""
    env = null_reader.plug_in(folder, slots)
    config = folder / "bankd.toml"
    tables = "".join(f'[[slot]]\nslot = {n}\nreader = "{null_reader.reader_name(n)}"\n' for n in range(slots))
    config.write_text(f'reader = "{null_reader.SOURCE}"\n{tables}', encoding="utf-8")
    async with open_server(folder / "server", lab, server_options) as (server, rspro_port, rest_port):
        words = ["--server", f"127.0.0.1:{rspro_port}", "--bank-id", str(BANK_ID), "--slots", str(slots)]
        words += ["--listen", "127.0.0.1:0", "--config", str(config), "--state", str(folder / "bankd")]
        words += ["--plaintext"] if lab is None else ["--tls", str(lab.credentials(BANK).directory)]
        with Program(remsim("bankd", *words, *bankd_options), env=env) as bankd:
            said = await asyncio.to_thread(bankd.wait_for, _BANKD_LISTENS, timeout_s=_START_S)
            await asyncio.to_thread(bankd.wait_for, r"\bserver_connected\b", timeout_s=_START_S)
            yield Programs(server, bankd, rspro_port, rest_port, int(said[1]))

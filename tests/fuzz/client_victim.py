# SPDX-License-Identifier: Apache-2.0
"""Mutated conversations towards a client: its server and its bankd are hostile, to all its slots but one.

One ``remsim client run`` has many slots. One of them is served soundly and a program uses its card all the time; it
must notice nothing of what the server and the bankd do to the other slots.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.vpcd import Control, encode_message
from remsim.wire import ccm, ipa
from remsim.wire.errors import RemoteProtocolError
from remsim.wire.messages import rspro
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.extensions import RevocationListInd
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, IpPort, Message, ResultCode, RsproPdu
from tests.doubles.programs import Program, remsim
from tests.doubles.rspro_peers import ATR, FakeBankd
from tests.doubles.vpcd_reader import VpcdReader
from tests.fuzz.mutation import ending, mutate
from tests.fuzz.programs import FAULT
from tests.fuzz.script import End, Step

LIVE: Final = ClientSlot(100, 0)
_VICTIMS: Final = tuple(ClientSlot(200 + number, 0) for number in range(24))
_BANK_SLOT: Final = BankSlot(1, 0)
_READ: Final = bytes.fromhex("00b0000001")
ANSWER: Final = b"\x07\x90\x00"
#: How long a hostile peer waits for the client where a script says so.
_LISTEN_S: Final = 0.02
#: A hostile peer that has said everything keeps the link for so long, so that the client can act on it.
_LINGER_S: Final = 0.1
#: Nobody is to wait longer than this for an answer of the live card, on a machine with other work.
_PATIENCE_S: Final = 15.0
#: Rounds of the loop from accepting a connection to the call of its handler, with some to spare.
_ROUNDS_TO_OPEN: Final = 5
_SPARE_DESCRIPTORS: Final = 2 * len(_VICTIMS) + 6

SERVER: Final = ComponentIdentity(ComponentType.REMSIM_SERVER, "hostile", "hostile", "1")
BANKD: Final = ComponentIdentity(ComponentType.REMSIM_BANKD, "hostile", "hostile", "1")


def live_card(_tpdu: bytes) -> bytes:
    """The card of the slot that is served soundly."""
    return ANSWER


_Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


class VictimError(AssertionError):
    """The client, or the session that had nothing to do with it, gave way."""


@dataclass(frozen=True, slots=True)
class VictimReport:
    """How a run went that found nothing."""

    as_server: int
    as_bankd: int
    live_commands: int
    live_slowest_s: float


def _frame(message: Message, tag: int) -> bytes:
    return ipa.encode_rspro(encode_pdu(RsproPdu(tag, message)))


def server_steps(tag: int, bankd_port: int, rng: Random) -> list[Step]:
    """What a server may say to a client, in an order that makes sense, before any damage."""
    given = rspro.ConfigClientBankReq(_BANK_SLOT, IpPort(ip_address("127.0.0.1"), bankd_port))
    further: list[Message] = [
        rspro.ConfigClientIdReq(ClientSlot(rng.randrange(300, 400), 0)),
        rspro.ConfigClientBankReq(_BANK_SLOT, IpPort(ip_address("0.0.0.0"), 0)),
        rspro.ResetStateReq(),
        RevocationListInd(40, 0, rng.randbytes(40)),
        given,
    ]
    steps: list[Step] = [_frame(rspro.ConnectClientRes(SERVER, ResultCode.OK), tag), _frame(given, 1), None]
    for number, message in enumerate(rng.sample(further, rng.randrange(len(further)))):
        steps += [_frame(message, number + 2), None]
    return [*steps, ccm.PING, None]


def bankd_steps(tag: int, client: ClientSlot, rng: Random) -> list[Step]:
    """What a bankd may say to a client, in an order that makes sense, before any damage."""
    status = rspro.SlotPhysStatus(
        reset_active=False, vcc_present=True, clk_active=True, card_present=rng.random() < 0.5
    )
    answer = rspro.TpduCardToModem(_BANK_SLOT, client, rspro.NO_FLAGS, rng.randbytes(rng.choice((2, 3, 258))))
    further: list[Message] = [
        answer,
        rspro.BankSlotStatusInd(_BANK_SLOT, client, status),
        rspro.SetAtrReq(client, rng.randbytes(rng.randrange(1, 40))),
        answer,
    ]
    steps: list[Step] = [_frame(rspro.ConnectClientRes(BANKD, ResultCode.OK), tag)]
    steps += [_frame(rspro.SetAtrReq(client, ATR), 1), None]
    for number, message in enumerate(rng.sample(further, rng.randrange(len(further)))):
        # The client counts its requests from 1; an answer with a tag that fits is taken for one.
        steps += [None, _frame(message, rng.choice((number + 2, tag + 1)))]
    return [*steps, ccm.PING, None]


class HostilePeers:
    """The server and the bankd of one client. ``seed`` decides what each conversation does."""

    def __init__(self, seed: int, live_bankd: FakeBankd) -> None:
        self._seed = seed
        self._live_bankd = live_bankd
        self.as_server = self.as_bankd = 0
        self.server_port = self._bankd_port = 0
        self.reader_ports: list[int] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """For the time of the block."""
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            held: list[tuple[asyncio.Task[None], asyncio.StreamWriter]] = []
            is_over = False

            async def end() -> None:
                nonlocal is_over
                is_over = True
                for task, writer in held:
                    task.cancel()
                    # A task that is cancelled before its first step closes nothing.
                    writer.transport.abort()
                for _ in range(_ROUNDS_TO_OPEN):
                    await asyncio.sleep(0)

            stack.push_async_callback(end)

            async def listen(be: _Handler) -> int:
                def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    if is_over:
                        # It was accepted before the listener closed.
                        writer.transport.abort()
                        return
                    # Tasks of our own: those of asyncio's servers cannot be cancelled without a complaint.
                    held.append((group.create_task(_hold(be, reader, writer)), writer))

                listener = await stack.enter_async_context(await asyncio.start_server(hold, "127.0.0.1", 0))
                return int(listener.sockets[0].getsockname()[1])

            self.server_port, self._bankd_port = await listen(self._be_server), await listen(self._be_bankd)
            self.reader_ports = [await listen(self._be_reader) for _ in _VICTIMS]
            yield

    def _random(self, part: str, number: int) -> Random:
        return Random(f"{self._seed}:{part}:{number}")

    async def _be_server(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, RemoteProtocolError):
            tag, request = await _connect_request(reader)
            if request.client_slot == LIVE:
                await self._be_sound_server(tag, reader, writer)
                raise EOFError
            rng = self._random("server", self.as_server)
            self.as_server += 1
            steps = server_steps(tag, self._bankd_port, rng)
            # The bankd of a client is only met if its server makes sense.
            is_sound = rng.random() < 0.5
            if not is_sound:
                steps = mutate(steps, lambda: bankd_steps(tag, LIVE, rng), rng)
            await _play(steps, ending(rng), reader, writer, linger_s=10 * _LINGER_S if is_sound else _LINGER_S)

    async def _be_sound_server(self, tag: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = IpPort(ip_address("127.0.0.1"), self._live_bankd.port)
        writer.write(_frame(rspro.ConnectClientRes(SERVER, ResultCode.OK), tag))
        writer.write(_frame(rspro.ConfigClientBankReq(_BANK_SLOT, address), 1))
        frames = ipa.FrameReader()
        while data := await reader.read(65536):
            frames.receive_data(data)
            while (found := frames.next_frame()) is not None:
                is_rspro, payload = found
                if not is_rspro and payload == ccm.PING[-1:]:
                    writer.write(ccm.PONG)

    async def _be_bankd(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, RemoteProtocolError):
            tag, request = await _connect_request(reader)
            rng = self._random("bankd", self.as_bankd)
            self.as_bankd += 1
            client = request.client_slot or LIVE
            steps = mutate(bankd_steps(tag, client, rng), lambda: server_steps(tag, self._bankd_port, rng), rng)
            await _play(steps, ending(rng), reader, writer, linger_s=_LINGER_S)

    async def _be_reader(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The modem of every victim: powers its card, and sends a command whenever it may."""
        with contextlib.suppress(OSError, EOFError):
            writer.write(encode_message(bytes((Control.POWER_ON,))))
            while True:
                writer.write(encode_message(_READ))
                size = int.from_bytes(await reader.readexactly(2))
                await reader.readexactly(size)
                await asyncio.sleep(_LISTEN_S)


async def _hold(be: _Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One conversation; its connection is gone afterwards, whatever ended it."""
    try:
        await be(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _connect_request(reader: asyncio.StreamReader) -> tuple[int, rspro.ConnectClientReq]:
    """The client's first message. Raises EOFError if there is none."""
    frames = ipa.FrameReader()
    while data := await reader.read(65536):
        frames.receive_data(data)
        while (found := frames.next_frame()) is not None:
            is_rspro, payload = found
            if is_rspro and isinstance((pdu := decode_pdu(payload)).msg, rspro.ConnectClientReq):
                return pdu.tag, pdu.msg
    raise EOFError


async def _play(
    steps: list[Step], end: End, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, linger_s: float
) -> None:
    for step in steps:
        if step is not None:
            writer.write(step)
            await writer.drain()
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(65536), _LISTEN_S)
    await asyncio.sleep(linger_s)
    if end is End.RESET:
        writer.transport.abort()
    elif end is End.HALF:
        writer.write_eof()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(65536), _LINGER_S)


def _configuration(peers: HostilePeers, live: VpcdReader) -> str:
    lines = [f'server = "127.0.0.1:{peers.server_port}"', "[timers]", "connect_s = 2.0"]
    addresses = [str(live.address), *(f"127.0.0.1:{port}" for port in peers.reader_ports)]
    for slot, address in zip((LIVE, *_VICTIMS), addresses, strict=True):
        number = f"{slot.client_id}:{slot.slot_nr}"
        lines += ["[[slot]]", f'client = "{number}"', 'emulator = "vpcd"', f'settings = {{ vpcd = "{address}" }}']
    return "\n".join(lines) + "\n"


async def attack_client(folder: Path, *, seed: int, conversations: int) -> VictimReport:
    """Hold so many conversations with each of a client's peers. Raises VictimError."""
    try:
        return await _attack(folder, seed, conversations)
    except* VictimError as errors:
        raise VictimError(str(leaf_of(errors))) from None


def leaf_of(error: BaseException) -> BaseException:
    """The first error in groups of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _attack(folder: Path, seed: int, conversations: int) -> VictimReport:
    async with FakeBankd(live_card) as live_bankd, VpcdReader() as live:
        peers = HostilePeers(seed, live_bankd)
        async with peers.listening():
            config = folder / "slots.toml"
            config.write_text(_configuration(peers, live), encoding="utf-8")  # a moment
            try:
                with Program(remsim("client", "run", "--plaintext", "--config", str(config))) as client:
                    return await _watch(peers, live, client, conversations, seed)
            finally:
                # The client has ended. What it dialled last is opened before the listeners close: asyncio's servers
                # lose, and leave open, a connection that is accepted while they close.
                for _ in range(_ROUNDS_TO_OPEN):
                    await asyncio.sleep(0)


async def _watch(peers: HostilePeers, live: VpcdReader, client: Program, conversations: int, seed: int) -> VictimReport:
    commands, slowest_s = 0, 0.0
    await live.card()
    live.power_on()
    before = _descriptors(client)
    as_server, as_bankd = peers.as_server, peers.as_bankd
    while min(peers.as_server - as_server, peers.as_bankd - as_bankd) < conversations:
        began = time.perf_counter()
        answer = await live.ask(_READ)
        slowest_s = max(slowest_s, time.perf_counter() - began)
        if answer != ANSWER or live.has_other_card or slowest_s > _PATIENCE_S:
            raise VictimError(_story(f"the live card answered {answer!r} after {slowest_s:.1f} s", peers, client, seed))
        commands += 1
        await asyncio.sleep(0.005)
    if (now := _descriptors(client)) > before + _SPARE_DESCRIPTORS:
        raise VictimError(_story(f"{now} descriptors, {before} before", peers, client, seed))
    if (status := await asyncio.to_thread(client.stop)) != 0:
        raise VictimError(_story(f"it ended with {status}", peers, client, seed))
    if fault := FAULT.search("\n".join(client.stderr.lines).encode()):
        raise VictimError(_story(f"it logged {fault[0].decode()!r}", peers, client, seed))
    return VictimReport(peers.as_server, peers.as_bankd, commands, slowest_s)


def _descriptors(client: Program) -> int:
    return len(list(Path(f"/proc/{client.pid}/fd").iterdir()))


def _story(what: str, peers: HostilePeers, client: Program, seed: int) -> str:
    held = f"seed {seed}, after {peers.as_server} conversations as server and {peers.as_bankd} as bankd"
    return f"{what}; {held}\n{client.describe()}"

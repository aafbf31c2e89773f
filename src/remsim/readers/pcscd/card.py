# SPDX-License-Identifier: Apache-2.0
"""The card in one reader of pcscd, on a socket of its own, from the event loop.

A command of an exclusive card at a reader of TPDU level, which is nearly every one, is one ``send`` and one call-back.
All else goes through steps: a generator of requests, driven by the replies. No command has a task.

A card that is shared is used in transactions, so that no other program gets between a command and its GET RESPONSE: a
transaction begins with a command, and ends when its response announces no more data, or nothing more was fetched for
``HOLD_S``. A transaction of another program is waited for, up to the deadline.
"""

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Final, assert_never

from remsim.card.t0_over_apdu import shows_apdu_level
from remsim.readers.base import CardReader, Done, Outcome
from remsim.readers.errors import CardMuteError, ReaderError
from remsim.readers.pcsc_common import codes
from remsim.readers.pcsc_common.card import (
    CardCall,
    CardProcedures,
    Connect,
    Establish,
    LetGo,
    LookAtAtr,
    PcscResult,
    Procedure,
    ReadAtr,
    Reconnect,
)
from remsim.readers.pcsc_common.level import ReaderLevel
from remsim.readers.pcsc_common.values import ATTR_ATR, LEAVE_CARD, PROTOCOL_T0
from remsim.readers.pcscd.channel import Answer, PcscdChannel
from remsim.readers.pcscd.client import CardReply, CodeReply, ContextReply, DataReply, TableReply

_SW_LENGTH: Final = 2
#: A modem fetches at once what was announced. One that does not must not keep other programs from the card.
HOLD_S: Final = 1.0
#: Announced data, or a length to repeat the command with.
_MORE_COMES: Final = frozenset({0x61, 0x6C, 0x9F})
#: A reset behind another program's transaction is tried again so soon, as the library does it.
_TRY_AGAIN_S: Final = 0.1

#: Yields requests, takes the answers; returns the response TPDU.
_Steps = Generator[bytes, Answer, bytes]


class PcscdReader(CardReader):
    """One reader of the pcscd at ``path``, which calls it ``pcsc_name``.

    ``stuck`` holds the abandoned sockets of readers whose driver has not returned; one of this reader may be among
    them, and is put there by it.
    """

    def __init__(
        self,
        name: str,
        *,
        path: Path,
        pcsc_name: str,
        is_shared: bool,
        deadline_s: float,
        stuck: dict[str, PcscdChannel],
    ) -> None:
        self.name = name
        self._path = path
        self._pcsc_name = pcsc_name
        self._is_shared = is_shared
        self._deadline_s = deadline_s
        self._stuck = stuck
        self._procedures = CardProcedures(name, is_shared=is_shared)
        self._level = ReaderLevel(name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: PcscdChannel | None = None
        self._context: int | None = None
        # A command may be sent as soon as this is there, straight away if ``_is_direct``.
        self._card: int | None = None
        self._is_direct = False
        # The command in progress.
        self._tpdu = b""
        self._done: Done | None = None
        self._steps: _Steps | None = None
        self._due = 0.0
        self._watchdog: asyncio.TimerHandle | None = None
        self._has_transaction = False
        # The command waits for the end of another program's transaction.
        self._is_held_off = False
        self._hold: asyncio.TimerHandle | None = None

    @property
    def is_stuck(self) -> bool:
        """A socket is kept because pcscd has not returned from a call that was given up."""
        stuck = self._stuck.get(self.name)
        return stuck is not None and stuck.is_open

    async def open(self) -> bytes:
        """Connect and power the card up."""
        stuck = self._stuck.get(self.name)
        if stuck is not None:
            if stuck.is_open:
                raise self._procedures.hangs()
            del self._stuck[self.name]
        self._loop = asyncio.get_running_loop()
        self._level.forget()
        try:
            return await self._run(self._procedures.open())
        except ReaderError:
            await self.close()
            raise

    async def cold_reset(self) -> bytes:
        """Reconnect with unpower."""
        return await self._reset(self._procedures.cold_reset())

    async def warm_reset(self) -> bytes:
        """Reconnect with reset."""
        return await self._reset(self._procedures.warm_reset())

    async def _reset(self, procedure: Procedure) -> bytes:
        if self._channel is None:
            raise self._procedures.not_open()
        self._end_transaction()
        try:
            return await self._run(procedure)
        finally:
            self._level.reset()
            self._set_direct()

    async def close(self) -> None:
        """Disconnect with unpower; what hangs is abandoned."""
        await self._run(self._procedures.close())

    async def transmit(self, tpdu: bytes) -> bytes:
        """Exchange one TPDU."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self.submit(tpdu, done)
        outcome = await future
        if isinstance(outcome, ReaderError):
            raise outcome
        return outcome

    def submit(self, tpdu: bytes, done: Done) -> None:
        """Send one TPDU; ``done`` is called by its reply, or at the deadline."""
        channel, card, loop = self._channel, self._card, self._loop
        if channel is None or card is None or loop is None:
            raise self._procedures.not_open()
        self._done = done
        self._due = loop.time() + self._deadline_s
        if self._watchdog is None:
            # One timer serves many commands: it looks how long the present one has been running.
            self._watchdog = loop.call_at(self._due, self._watch)
        if self._is_direct:
            self._tpdu = tpdu
            channel.send(channel.client.transmit(card, PROTOCOL_T0, tpdu), self._on_response)
            return
        self._steps = self._exchange(channel, card, tpdu)
        self._advance(None)

    def _on_response(self, answer: Answer) -> None:
        """The one reply of a command that was sent straight away."""
        done, self._done = self._done, None
        if done is None:
            return
        if not isinstance(answer, bytes):
            done(self._failure(answer))
        elif len(answer) > _SW_LENGTH and shows_apdu_level(self._tpdu, answer):
            done(self._judged(answer))
        else:
            done(answer)

    def _judged(self, response: bytes) -> Outcome:
        """What is to be said of a response that shows the reader to be at APDU level."""
        try:
            return self._level.judge(self._tpdu, response)
        except ReaderError as error:
            return error
        finally:
            self._set_direct()

    def _failure(self, answer: Answer) -> ReaderError:
        if isinstance(answer, ReaderError):
            return answer
        assert isinstance(answer, CodeReply)
        return self._procedures.transmission_error(answer.code)

    def _advance(self, answer: Answer | None) -> None:
        """Do the next step of the command in progress."""
        steps, channel = self._steps, self._channel
        if steps is None or channel is None:
            return
        outcome: Outcome
        try:
            request = next(steps) if answer is None else steps.send(answer)
        except StopIteration as end:
            outcome = end.value
        except ReaderError as error:
            outcome = error
        else:
            channel.send(request, self._advance)
            return
        self._steps = None
        done, self._done = self._done, None
        if done is not None:
            done(outcome)

    def _exchange(self, channel: PcscdChannel, card: int, tpdu: bytes) -> _Steps:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        if self._is_shared and not self._has_transaction:
            yield from self._begin(channel, card)
        response = yield from self._through(channel, card, tpdu)
        self._set_direct()
        # A driver may give no status word at all.
        more_comes = len(response) > 1 and response[-2] in _MORE_COMES
        if self._has_transaction and more_comes and self._loop is not None:
            self._hold = self._loop.call_later(HOLD_S, self._end_transaction)
        else:
            self._end_transaction()
        return response

    def _through(self, channel: PcscdChannel, card: int, tpdu: bytes) -> _Steps:
        exchange = self._level.exchange(tpdu)
        try:
            command = next(exchange)
            while True:
                answer = yield channel.client.transmit(card, PROTOCOL_T0, command)
                if not isinstance(answer, bytes):
                    self._end_transaction()
                    raise self._failure(answer)
                command = exchange.send(answer)
        except StopIteration as end:
            response: bytes = end.value
            return response

    def _begin(self, channel: PcscdChannel, card: int) -> Generator[bytes, Answer, None]:
        while True:
            answer = yield channel.client.begin(card)
            if not isinstance(answer, CodeReply) or answer.code not in (codes.SUCCESS, codes.E_SHARING_VIOLATION):
                raise self._failure(answer)
            self._is_held_off = answer.code != codes.SUCCESS
            if not self._is_held_off:
                self._has_transaction = True
                return
            # pcscd itself has waited for 100 ms before it said so.

    def _end_transaction(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        has_transaction, self._has_transaction = self._has_transaction, False
        if has_transaction and self._channel is not None and self._card is not None:
            # Nobody waits for the reply: whatever is sent next comes after it.
            self._channel.send(self._channel.client.end(self._card, LEAVE_CARD), None)

    def _set_direct(self) -> None:
        self._is_direct = not self._is_shared and not self._level.is_apdu

    def _watch(self) -> None:
        self._watchdog = None
        if self._done is None or self._loop is None:
            return
        if self._loop.time() < self._due:
            self._watchdog = self._loop.call_at(self._due, self._watch)
            return
        done, self._done, self._steps = self._done, None, None
        is_held_off = self._is_held_off
        self._abandon()
        if is_held_off:
            done(self._procedures.transmission_error(codes.E_SHARING_VIOLATION))
        else:
            done(CardMuteError(f"no answer within {self._deadline_s:g} s"))

    def _forget(self) -> tuple[PcscdChannel | None, int | None, int | None]:
        """Nothing is open any more; return what was: channel, context, card."""
        there = self._channel, self._context, self._card
        self._channel = self._context = self._card = None
        self._done = self._steps = None
        self._has_transaction = self._is_held_off = False
        for timer in (self._watchdog, self._hold):
            if timer is not None:
                timer.cancel()
        self._watchdog = self._hold = None
        return there

    def _abandon(self, channel: PcscdChannel | None = None) -> None:
        if channel is None:
            channel = self._forget()[0]
        if channel is not None:
            channel.abandon()
            if channel.is_open:
                self._stuck[self.name] = channel

    # Calls of PC/SC

    async def _run(self, procedure: Procedure) -> bytes:
        try:
            call = next(procedure)
            while True:
                try:
                    result = await self._perform(call)
                except ReaderError as error:
                    call = procedure.throw(error)
                else:
                    call = procedure.send(result)
        except StopIteration as end:
            result_bytes: bytes = end.value
            return result_bytes

    async def _perform(self, call: CardCall) -> PcscResult:
        match call:
            case Establish():
                return await self._establish()
            case Connect():
                channel = self._open_channel()
                assert self._context is not None
                try:
                    request = channel.client.connect(self._context, self._pcsc_name, call.share, call.protocols)
                except ValueError:
                    return PcscResult(codes.E_UNKNOWN_READER)
                reply = await channel.ask(request, CardReply)
                if reply.code == codes.SUCCESS:
                    self._card = reply.card
                    self._set_direct()
                return PcscResult(reply.code, reply.protocol)
            case Reconnect():
                return await self._reconnect(call)
            case ReadAtr():
                return await self._read_atr()
            case LookAtAtr():
                channel = self._open_channel()
                row = (await channel.ask(channel.client.table(), TableReply)).table.row_of(self._pcsc_name)
                return PcscResult(codes.SUCCESS, atr=b"" if row is None else row.atr)
            case LetGo():
                return await self._let_go(call.disposition)
        assert_never(call)

    async def _establish(self) -> PcscResult:
        self._channel = channel = PcscdChannel(self._path, deadline_s=self._deadline_s)
        await channel.open()
        reply = await channel.ask(channel.client.establish(), ContextReply)
        if reply.code == codes.SUCCESS:
            self._context = reply.context
        return PcscResult(reply.code)

    def _open_channel(self) -> PcscdChannel:
        if self._channel is None:
            raise self._procedures.not_open()
        return self._channel

    def _handle(self) -> int:
        if self._card is None:
            raise self._procedures.not_open()
        return self._card

    async def _reconnect(self, call: Reconnect) -> PcscResult:
        channel, card = self._open_channel(), self._handle()
        until = channel.now() + self._deadline_s
        while True:
            request = channel.client.reconnect(card, call.share, call.protocols, call.how)
            reply = await channel.ask(request, CardReply)
            if not await _is_to_be_repeated(reply.code, channel, until):
                return PcscResult(reply.code, reply.protocol)

    async def _read_atr(self) -> PcscResult:
        channel, card = self._open_channel(), self._handle()
        until = channel.now() + self._deadline_s
        while True:
            status, shown = await channel.ask_all(channel.client.status(card) + channel.client.table(), 2)
            assert isinstance(status, CodeReply)
            assert isinstance(shown, TableReply)
            if not await _is_to_be_repeated(status.code, channel, until):
                break
        row = shown.table.row_of(self._pcsc_name)
        if status.code != codes.SUCCESS or row is not None:
            return PcscResult(status.code, atr=b"" if row is None else row.atr)
        # A reader beyond those that this version lists.
        reply = await channel.ask(channel.client.attribute(card, ATTR_ATR), DataReply)
        return PcscResult(reply.code, atr=reply.data)

    async def _let_go(self, disposition: int) -> PcscResult:
        self._end_transaction()
        is_answering = self._done is not None
        channel, context, card = self._forget()
        if channel is None:
            return PcscResult(codes.SUCCESS)
        if is_answering or channel.is_busy or not channel.is_open:
            self._abandon(channel)
            return PcscResult(codes.SUCCESS)
        request, count = b"", 0
        if card is not None:
            request, count = channel.client.disconnect(card, disposition), 1
        if context is not None:
            request, count = request + channel.client.release(context), count + 1
        try:
            await channel.ask_all(request, count)
        except ReaderError:
            self._abandon(channel)
        except asyncio.CancelledError:
            self._abandon(channel)
            raise
        else:
            channel.close()
        return PcscResult(codes.SUCCESS)


async def _is_to_be_repeated(code: int, channel: PcscdChannel, until: float) -> bool:
    """Whether another program has a transaction, and it is worth waiting for its end."""
    if code != codes.E_SHARING_VIOLATION or channel.now() >= until:
        return False
    await asyncio.sleep(_TRY_AGAIN_S)
    return True

# SPDX-License-Identifier: Apache-2.0
"""The virtual reader's emulator on real sockets, with a vpcd of the tests' own at one end and a card at the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from remsim.config import HostPort
from remsim.core.errors import ConfigError
from remsim.emulators.base import CardEmulator, PpsResult
from remsim.emulators.driven import POWERED_OFF, RST_ACTIVE, RUNNING
from remsim.emulators.registry import make_emulator
from remsim.emulators.vpcd import emulator as module
from remsim.vpcd import VpcdLink
from tests.doubles.slot_above import SlotAbove
from tests.doubles.vpcd_reader import VpcdReader

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
READ = bytes.fromhex("00b0000002")
OK = b"\x90\x00"
TECHNICAL_PROBLEM = b"\x6f\x00"


class Above(SlotAbove):
    """The client slot. PC/SC programs negotiate no speed with this emulator."""

    def on_pps(self, result: PpsResult) -> None:
        raise AssertionError(result)


@asynccontextmanager
async def in_reader(
    reader: VpcdReader, card: Callable[[bytes], bytes | None], **settings: object
) -> AsyncIterator[tuple[CardEmulator, Above]]:
    """An emulator with a card that ``reader`` sees."""
    above = Above(card)
    emulator = make_emulator("vpcd", {"vpcd": str(reader.address), **settings})
    above.emulator = emulator
    await emulator.start(above)
    try:
        emulator.set_atr(ATR)
        emulator.insert_card()
        await reader.card()
        yield emulator, above
    finally:
        await emulator.stop()


@pytest.fixture
async def reader() -> AsyncIterator[VpcdReader]:
    async with VpcdReader() as reader:
        yield reader


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: capsys.readouterr().err


@pytest.fixture(autouse=True)
def _short_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    """These readers do not look for their card twice a second as pcscd does."""
    monkeypatch.setattr(module, "_LEAVE_S", 0.05)


async def test_program_uses_the_card(reader: VpcdReader) -> None:
    async with in_reader(reader, lambda tpdu: b"\x61\x09" if tpdu[1] == 0xA4 else tpdu[:2] + OK) as (_, above):
        assert await reader.atr() == ATR
        reader.power_on()
        assert await reader.ask(bytes.fromhex("00a40004023f0000")) == b"\x61\x09"
        assert await reader.ask(READ) == b"\x00\xb0\x90\x00"
        reader.reset()
        reader.power_off()
        reader.power_on()
        assert await reader.atr() == ATR
        assert above.tpdus == [bytes.fromhex("00a40004023f00"), READ]
        assert above.lines == [RUNNING, RST_ACTIVE, RUNNING, POWERED_OFF, RUNNING]


async def test_response_data_are_fetched_on_demand(reader: VpcdReader) -> None:
    answers = {0xA4: b"\x61\x02", 0xC0: b"\xaa\xbb\x90\x00"}
    async with in_reader(reader, lambda tpdu: answers[tpdu[1]], auto_get_response=True) as (_, above):
        assert await reader.ask(bytes.fromhex("00a40004023f0000")) == b"\xaa\xbb\x90\x00"
        assert len(above.tpdus) == 2


async def test_card_is_in_the_reader_while_the_bank_has_it(reader: VpcdReader) -> None:
    async with in_reader(reader, lambda _tpdu: OK) as (emulator, _):
        assert await reader.atr() == ATR
        emulator.remove_card()
        assert await reader.answer() is None
        emulator.set_atr(ATR[:-1])
        emulator.insert_card()
        await reader.card()
        assert await reader.atr() == ATR[:-1]


async def test_card_removed_before_the_reader_came_is_never_seen(reader: VpcdReader) -> None:
    async with in_reader(reader, lambda _tpdu: OK) as (emulator, _):
        emulator.remove_card()
        assert await reader.answer() is None
        emulator.insert_card()
        emulator.remove_card()
        emulator.insert_card()
        await reader.card()
        assert await reader.atr() == ATR


async def test_command_without_an_answer_is_answered_before_the_card_leaves(reader: VpcdReader) -> None:
    """known-limits.md, 10: the program gets an error instead of waiting for ever, and vpcd makes no success of it."""
    async with in_reader(reader, lambda _tpdu: None) as (_, above):
        reader.power_on()
        reader.send(READ)
        await above.until(lambda: above.tpdus == [READ])
        above.abort("link to the bankd lost")
        assert await reader.answer() == TECHNICAL_PROBLEM
        # The program may not know yet.
        assert await reader.ask(READ) == TECHNICAL_PROBLEM
        assert await reader.atr() is None
        # The card's state is unknown: it comes back cold.
        await above.until(lambda: above.lines == [RUNNING, POWERED_OFF])
        await reader.card()
        above.card = lambda _tpdu: OK
        assert await reader.ask(READ) == OK


@pytest.mark.parametrize("how", ["the card is removed", "the client ends"])
async def test_command_in_progress_is_answered_however_the_card_goes(reader: VpcdReader, how: str) -> None:
    async with in_reader(reader, lambda _tpdu: None) as (emulator, above):
        reader.send(READ)
        await above.until(lambda: above.tpdus == [READ])
        if how == "the client ends":
            await emulator.stop()
        else:
            emulator.remove_card()
        assert await reader.answer() == TECHNICAL_PROBLEM
        assert await reader.answer() is None


async def test_bank_that_never_answers_is_given_up(reader: VpcdReader, log: Callable[[], str]) -> None:
    async with in_reader(reader, lambda _tpdu: None, answer_timeout_s=0.05) as (_, above):
        reader.power_on()
        assert await reader.ask(READ) == TECHNICAL_PROBLEM
        assert await reader.answer() is None
        await above.until(lambda: above.lines == [RUNNING, POWERED_OFF])
        above.respond(OK)
        await reader.card()
        assert await reader.atr() == ATR
    assert "command_timed_out" in log()


async def test_reader_that_goes_is_waited_for(log: Callable[[], str]) -> None:
    async with VpcdReader() as reader:
        async with in_reader(reader, lambda _tpdu: OK) as (_, above):
            reader.power_on()
            await above.until(lambda: above.lines == [RUNNING])
            reader.eject()
            await above.until(lambda: above.lines == [RUNNING, POWERED_OFF])
            await reader.card()
            assert await reader.atr() == ATR
    assert log().count("reader_lost") == 1


async def test_missing_vpcd_is_told_once(log: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_RETRY_S", 0.001)
    monkeypatch.setattr(module, "_LAST_RETRY_S", 0.001)
    attempts = asyncio.Event()
    connect = VpcdLink.connect
    count = 0

    async def counted(link: VpcdLink, address: HostPort) -> None:
        nonlocal count
        count += 1
        if count == 5:
            attempts.set()
        await connect(link, address)

    monkeypatch.setattr(VpcdLink, "connect", counted)
    emulator = make_emulator("vpcd", {"vpcd": "127.0.0.1:1"})
    await emulator.start(Above(lambda _tpdu: OK))
    emulator.insert_card()
    await attempts.wait()
    await emulator.stop()
    assert log().count("vpcd_away") == 1


async def test_reader_that_has_another_card_is_told(
    reader: VpcdReader, log: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """vpcd takes one card at a time: a second client's connection is never asked anything."""
    monkeypatch.setattr(module, "_SILENCE_S", 0.05)
    async with in_reader(reader, lambda _tpdu: OK):
        assert await reader.atr() == ATR
        second = make_emulator("vpcd", {"vpcd": str(reader.address)})
        await second.start(Above(lambda _tpdu: OK))
        second.insert_card()
        said = ""
        async with asyncio.timeout(10):
            while "reader_silent" not in said:
                assert await reader.atr() == ATR
                said += log()
        await second.stop()


@pytest.mark.parametrize("garbage", [b"\x00\x00", b"\x00\x01\x03", b"\x00\x01\xff", b"\x00\x02\xff\xff"])
async def test_garbage_is_told_once_and_harms_nothing(
    reader: VpcdReader, log: Callable[[], str], garbage: bytes
) -> None:
    async with in_reader(reader, lambda _tpdu: OK) as (_, above):
        for _ in range(3):
            reader.send_raw(garbage)
            if len(garbage) > 2:
                assert await reader.answer() == b"\x67\x00"
        assert await reader.atr() == ATR
        assert above.tpdus == []
    assert log().count("odd_message") == 1


async def test_peer_that_is_no_vpcd_is_left(reader: VpcdReader, log: Callable[[], str]) -> None:
    async with in_reader(reader, lambda _tpdu: None):
        reader.send(READ)
        reader.send(READ)
        assert await reader.answer() is None
        await reader.card()
    assert "message while a command is in progress" in log()


async def test_answer_longer_than_any_is_passed_on(reader: VpcdReader) -> None:
    async with in_reader(reader, lambda _tpdu: bytes(256) + OK):
        assert await reader.ask(bytes.fromhex("00b0000000")) == bytes(256) + OK


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"vpcd": 5}, "settings.vpcd: 5 must be a string"),
        ({"vpcd": ":1"}, "not the address of a single host"),
        ({"auto_get_response": "yes"}, "settings.auto_get_response: 'yes' is neither true nor false"),
        ({"answer_timeout_s": 0}, "settings.answer_timeout_s"),
        ({"vcpd": "localhost"}, "settings.vcpd: unknown key"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        make_emulator("vpcd", settings)


class LateTransport(asyncio.Transport):
    """A connection that comes up although its attempt was cancelled, as uvloop's may."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


async def test_connection_that_comes_up_after_the_attempt_was_given_up_is_closed() -> None:
    """Otherwise the end of the program would wait for the end of a connection that nobody knows of."""
    link = VpcdLink(lambda _body: None)
    link.close()
    transport = LateTransport()
    link.connection_made(transport)
    assert transport.is_closed


async def test_attempt_that_is_given_up_at_the_last_moment_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop drops its connection without a word, and the end of the program would wait for it."""
    link = VpcdLink(lambda _body: None)
    loop = asyncio.get_running_loop()

    async def connect_and_give_up(make: Callable[[], VpcdLink], *_address: object) -> None:
        make().connection_made(LateTransport())
        raise asyncio.CancelledError

    monkeypatch.setattr(loop, "create_connection", connect_and_give_up)
    with pytest.raises(asyncio.CancelledError):
        await link.connect(HostPort("127.0.0.1", 1))
    async with asyncio.timeout(1):
        await link.wait_closed()

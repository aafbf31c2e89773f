# SPDX-License-Identifier: Apache-2.0
"""What every ``CardReader`` and ``ReaderSource`` promises, run against each implementation.

To add one, derive from ``Bench`` and put it into ``BENCHES``: a bench holds one reader with a fresh card of profile
``default`` in it and can pull and insert that card.
"""

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from remsim.card.atr import parse_atr
from remsim.readers.base import CardReader, Presence, PresenceEvent, PresenceListener, ReaderSource
from remsim.readers.errors import CardAbsentError, ReaderError
from remsim.readers.pcsc import PcscSource
from remsim.readers.pcscd import PcscdDaemon, PcscdSource
from remsim.readers.sim.profiles import load_profile
from remsim.readers.sim.source import SimSource
from remsim.uicc import Uicc
from tests.doubles.pcsc_socket import pcsc_through
from tests.doubles.pcscd import READER_NAMES, VPCD_PORTS, PcscdNamespace
from tests.doubles.programs import PATIENCE_S, remsim
from tests.doubles.scard import FakeReader, FakeScard, following

pytestmark = pytest.mark.usefixtures("quick_start")

_ATR = load_profile("default").atr
_SELECT_MF = bytes.fromhex("00A40004023F00")
_SELECT_ICCID = bytes.fromhex("00A4080C022FE2")
_READ_ICCID = bytes.fromhex("00B000000A")


#: A card in a reader that exchanges APDUs.
_FOLLOWING = [sys.executable, "-m", "tests.doubles.vpcd_following", str(VPCD_PORTS[0])]


class Bench(ABC):
    """One reader under test."""

    source: ReaderSource
    name: str

    @abstractmethod
    async def remove_card(self) -> None:
        """Pull the card."""

    @abstractmethod
    async def insert_card(self) -> None:
        """Put the same card back."""


class SimBench(Bench):
    """The software reader."""

    def __init__(self, source: SimSource) -> None:
        self.source: SimSource = source
        self.name = "remsim sim 00"

    async def remove_card(self) -> None:
        self.source.remove_card(self.name)

    async def insert_card(self) -> None:
        self.source.insert_card(self.name)


@asynccontextmanager
async def _sim_bench(folder: Path) -> AsyncIterator[Bench]:
    source = SimSource(slots=2, state_dir=folder / "cards")
    await source.start()
    try:
        yield SimBench(source)
    finally:
        await source.stop()


class PcscBench(Bench):
    """The first virtual reader of a real pcscd; its card is a program."""

    def __init__(self, source: PcscSource | PcscdSource, namespace: PcscdNamespace, card: Sequence[str] = ()) -> None:
        self._argv = card or remsim("uicc", "--vpcd", f"127.0.0.1:{VPCD_PORTS[0]}")
        self.source: PcscSource | PcscdSource = source
        self.name = READER_NAMES[0]
        self._namespace = namespace
        self._present = asyncio.Event()
        source.watch(self._on_event)

    def _on_event(self, event: PresenceEvent) -> None:
        if event.reader == self.name and event.presence is Presence.PRESENT:
            self._present.set()

    async def remove_card(self) -> None:
        await asyncio.to_thread(self._card.stop)

    async def insert_card(self) -> None:
        self._present.clear()
        # From this thread: the card dies with the one that started it.
        self._card = self._namespace.program(self._argv)
        async with asyncio.timeout(PATIENCE_S):
            await self._present.wait()


@asynccontextmanager
async def _pcsc_bench(folder: Path) -> AsyncIterator[Bench]:
    with PcscdNamespace(folder) as namespace, pcsc_through(namespace):
        source = PcscSource()
        await source.start()
        try:
            bench = PcscBench(source, namespace)
            await bench.insert_card()
            yield bench
        finally:
            await source.stop()


@asynccontextmanager
async def _pcscd_bench(folder: Path, card: Sequence[str] = ()) -> AsyncIterator[Bench]:
    with PcscdNamespace(folder) as namespace:
        source = PcscdSource(daemons=[PcscdDaemon(namespace.socket)])
        await source.start()
        try:
            bench = PcscBench(source, namespace, card)
            await bench.insert_card()
            yield bench
        finally:
            await source.stop()


class ApduLevelBench(Bench):
    """A PC/SC reader that exchanges APDUs: it follows 61xx, 9Fxx and 6Cxx itself."""

    def __init__(self, scard: FakeScard) -> None:
        self.source: PcscSource = PcscSource(scard=scard)
        self.name = "R"
        self._scard = scard

    def _move(self, *, is_present: bool) -> None:
        reader = self._scard.readers[self.name]
        reader.is_present = is_present
        reader.counter += 1
        if not is_present:
            reader.failures["transmit"] = 0x80100069
        self._scard.change()

    async def remove_card(self) -> None:
        self._move(is_present=False)

    async def insert_card(self) -> None:
        self._scard.readers[self.name].is_present = True
        self._move(is_present=True)


@asynccontextmanager
async def _apdu_level_bench(folder: Path) -> AsyncIterator[Bench]:
    profile = load_profile("default")
    uicc = Uicc(profile, None, profile.identity)
    reader = FakeReader(atr=profile.atr, card=lambda tpdu: following(uicc.transmit, tpdu), power_up=uicc.cold_reset)
    bench = ApduLevelBench(FakeScard(R=reader))
    await bench.source.start()
    try:
        yield bench
    finally:
        await bench.source.stop()


class PlainReader(CardReader):
    """What a driver from outside has to write: ``transmit``, and no ``submit`` of its own."""

    def __init__(self, inner: CardReader) -> None:
        self.name = inner.name
        self._inner = inner

    async def open(self) -> bytes:
        return await self._inner.open()

    async def cold_reset(self) -> bytes:
        return await self._inner.cold_reset()

    async def warm_reset(self) -> bytes:
        return await self._inner.warm_reset()

    async def transmit(self, tpdu: bytes) -> bytes:
        return await self._inner.transmit(tpdu)

    async def close(self) -> None:
        await self._inner.close()


class PlainSource(ReaderSource):
    """Software cards behind such readers."""

    def __init__(self, inner: SimSource) -> None:
        self._inner = inner

    async def start(self) -> None:
        await self._inner.start()

    async def names(self) -> list[str]:
        return await self._inner.names()

    def watch(self, listener: PresenceListener) -> None:
        self._inner.watch(listener)

    def reader(self, name: str) -> CardReader:
        return PlainReader(self._inner.reader(name))

    async def stop(self) -> None:
        await self._inner.stop()


class PlainBench(Bench):
    """The software reader behind a driver that has ``transmit`` only."""

    def __init__(self, source: SimSource) -> None:
        self._inner = source
        self.source = PlainSource(source)
        self.name = "remsim sim 00"

    async def remove_card(self) -> None:
        self._inner.remove_card(self.name)

    async def insert_card(self) -> None:
        self._inner.insert_card(self.name)


@asynccontextmanager
async def _plain_bench(folder: Path) -> AsyncIterator[Bench]:
    bench = PlainBench(SimSource(slots=2, state_dir=folder / "cards"))
    await bench.source.start()
    try:
        yield bench
    finally:
        await bench.source.stop()


BENCHES: dict[str, Callable[[Path], AbstractAsyncContextManager[Bench]]] = {
    "sim": _sim_bench,
    "with transmit only": _plain_bench,
    "pcsc": _pcsc_bench,
    "pcscd": _pcscd_bench,
    "pcscd at APDU level": partial(_pcscd_bench, card=_FOLLOWING),
    "pcsc at APDU level": _apdu_level_bench,
}


@pytest.fixture(params=list(BENCHES))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with BENCHES[request.param](tmp_path) as bench:
        yield bench


@pytest.fixture
async def reader(bench: Bench) -> AsyncIterator[CardReader]:
    reader = bench.source.reader(bench.name)
    yield reader
    await reader.close()


class _Listener:
    """Keeps presence events of one reader and lets a test wait for the next."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._events: asyncio.Queue[PresenceEvent] = asyncio.Queue()

    def __call__(self, event: PresenceEvent) -> None:
        if event.reader == self._name:
            self._events.put_nowait(event)

    async def next(self) -> PresenceEvent:
        async with asyncio.timeout(10):
            return await self._events.get()


async def _iccid(reader: CardReader) -> bytes:
    assert await reader.transmit(_SELECT_ICCID) == b"\x90\x00"
    answer = await reader.transmit(_READ_ICCID)
    assert answer[-2:] == b"\x90\x00"
    return answer[:-2]


async def test_source_names_its_readers(bench: Bench) -> None:
    assert bench.name in await bench.source.names()
    assert bench.source.reader(bench.name).name == bench.name


async def test_open_gives_a_usable_atr(reader: CardReader) -> None:
    atr = await reader.open()
    assert atr == _ATR
    assert parse_atr(atr).has_t0


async def test_status_words_of_t0_pass_unchanged(reader: CardReader) -> None:
    await reader.open()
    answer = await reader.transmit(_SELECT_MF)
    assert (len(answer), answer[0]) == (2, 0x61)
    assert (await reader.transmit(bytes.fromhex("00C0000000")))[0] == 0x6C
    fcp = await reader.transmit(bytes.fromhex("00C00000") + answer[1:])
    assert (len(fcp) - 2, fcp[-2:]) == (answer[1], b"\x90\x00")


async def test_longest_command_and_answer_pass(reader: CardReader) -> None:
    await reader.open()
    answer = await reader.transmit(bytes.fromhex("00D60000FF") + bytes(255))
    assert answer == bytes.fromhex("6986")
    assert await reader.transmit(bytes.fromhex("00A4080C047F105F3B")) == b"\x90\x00"
    stored = await reader.transmit(bytes.fromhex("80DB0082FF8081FC") + bytes(252))
    assert stored == b"\x90\x00"
    assert await reader.transmit(bytes.fromhex("80CB00820180")) == bytes.fromhex("61FF")
    assert len(await reader.transmit(bytes.fromhex("00C00000FF"))) == 257


async def test_class_a0_is_told_of_its_data_by_9f(reader: CardReader) -> None:
    await reader.open()
    answer = await reader.transmit(bytes.fromhex("A0A40000023F00"))
    assert (len(answer), answer[0]) == (2, 0x9F)
    assert (await reader.transmit(bytes.fromhex("A0C00000") + answer[1:]))[-2:] == b"\x90\x00"


async def test_wrong_length_is_corrected_by_6c(reader: CardReader) -> None:
    await reader.open()
    assert await reader.transmit(_SELECT_ICCID) == b"\x90\x00"
    answer = await reader.transmit(bytes.fromhex("00B0000000"))
    assert answer == bytes.fromhex("6C0A")
    assert len(await reader.transmit(_READ_ICCID)) == 12


@pytest.mark.parametrize("kind", ["cold_reset", "warm_reset"])
async def test_reset_forgets_the_selection(reader: CardReader, kind: str) -> None:
    await reader.open()
    await _iccid(reader)
    assert await getattr(reader, kind)() == _ATR
    assert await reader.transmit(_READ_ICCID) == bytes.fromhex("6986")


async def test_reader_can_be_closed_and_opened_again(reader: CardReader) -> None:
    await reader.open()
    iccid = await _iccid(reader)
    await reader.close()
    await reader.close()
    with pytest.raises(ReaderError):
        await reader.transmit(_READ_ICCID)
    await reader.open()
    assert await _iccid(reader) == iccid


async def submit(reader: CardReader, tpdu: bytes) -> bytes | ReaderError:
    """Exchange a command the way banks do; how it ended."""
    later: asyncio.Future[bytes | ReaderError] = asyncio.get_running_loop().create_future()
    try:
        at_once = reader.submit(tpdu, later.set_result)
    except ReaderError as error:
        at_once = None
        later.set_result(error)
    if at_once is not None:
        return at_once
    async with asyncio.timeout(10):
        return await later


async def test_submitted_command_is_answered_once_at_once_or_later(reader: CardReader) -> None:
    await reader.open()
    for _ in range(3):
        assert await submit(reader, _SELECT_ICCID) == b"\x90\x00"
    answer = await submit(reader, _READ_ICCID)
    assert isinstance(answer, bytes)
    assert answer == await reader.transmit(_READ_ICCID)


async def test_submitted_command_of_a_card_that_is_not_open_fails(reader: CardReader) -> None:
    assert isinstance(await submit(reader, _SELECT_MF), ReaderError)
    await reader.open()
    await reader.close()
    assert isinstance(await submit(reader, _SELECT_MF), ReaderError)


async def test_submitted_command_fails_when_the_card_is_pulled(bench: Bench, reader: CardReader) -> None:
    listener = _Listener(bench.name)
    bench.source.watch(listener)
    await listener.next()
    await reader.open()
    await bench.remove_card()
    await listener.next()
    assert isinstance(await submit(reader, _SELECT_MF), ReaderError)


async def test_pulled_card_is_told_and_comes_back_reset(bench: Bench, reader: CardReader) -> None:
    listener = _Listener(bench.name)
    bench.source.watch(listener)
    present = await listener.next()
    assert present.presence is Presence.PRESENT
    assert present.atr in (None, _ATR)
    await reader.open()
    await _iccid(reader)

    await bench.remove_card()
    assert (await listener.next()).presence is Presence.ABSENT
    with pytest.raises(ReaderError):
        await reader.transmit(_READ_ICCID)
    await reader.close()
    with pytest.raises(CardAbsentError):
        await reader.open()

    await bench.insert_card()
    assert (await listener.next()).presence is Presence.PRESENT
    assert await reader.open() == _ATR
    assert await reader.transmit(_READ_ICCID) == bytes.fromhex("6986")


async def test_inserted_card_must_be_opened_first(bench: Bench, reader: CardReader) -> None:
    listener = _Listener(bench.name)
    bench.source.watch(listener)
    await listener.next()
    await reader.open()
    await bench.remove_card()
    await listener.next()
    await bench.insert_card()
    await listener.next()
    with pytest.raises(ReaderError):
        await reader.transmit(_READ_ICCID)

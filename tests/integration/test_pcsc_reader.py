# SPDX-License-Identifier: Apache-2.0
"""PC/SC readers over a PC/SC that the test moves by hand: errors, deadlines, protocols, presence."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from remsim.readers.base import Presence, PresenceEvent
from remsim.readers.errors import (
    CardAbsentError,
    CardMuteError,
    CardProtocolError,
    CardTransmissionError,
    ReaderBusyError,
    ReaderError,
    ReaderUnavailableError,
)
from remsim.readers.pcsc import PcscReader, PcscSource
from remsim.readers.pcsc.call_thread import CallThread
from remsim.readers.pcsc.places import find_places
from remsim.readers.pcsc_common import codes
from remsim.readers.pcsc_common.usb import PlaceAnswers
from tests.doubles.scard import ATR, NO_SMARTCARD, SHARING_VIOLATION, FakeReader, FakeScard

#: TD1 names T=1 and nothing else.
T1_ATR = bytes.fromhex("3b800181")
SELECT = bytes.fromhex("00a40004023f00")


@pytest.fixture
def fake() -> FakeReader:
    return FakeReader()


@pytest.fixture
def scard(fake: FakeReader) -> FakeScard:
    return FakeScard(R=fake)


@pytest.fixture
async def reader(scard: FakeScard) -> AsyncIterator[PcscReader]:
    reader = PcscSource(scard=scard).reader("R")
    yield reader
    await reader.close()
    assert scard.contexts == 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.002, turn.set_result, None)
            await turn


async def test_card_is_opened_cold_and_exclusively(reader: PcscReader, fake: FakeReader) -> None:
    assert await reader.open() == ATR
    assert await reader.transmit(SELECT) == b"\x90\x00"
    assert await reader.cold_reset() == ATR
    assert await reader.warm_reset() == ATR
    await reader.close()
    await reader.close()
    assert fake.log == ["connect", "cold", "transmit", "cold", "warm", "unpower"]


async def test_shared_card_is_neither_reset_nor_unpowered_for_others(fake: FakeReader) -> None:
    source = PcscSource(scard=FakeScard(R=fake), is_shared=lambda name: name == "R")
    reader = source.reader("R")
    assert await reader.open() == ATR
    await reader.close()
    assert fake.log == ["connect shared", "disconnect"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (NO_SMARTCARD, CardAbsentError),
        (0x80100069, CardAbsentError),
        (SHARING_VIOLATION, ReaderBusyError),
        (0x8010001D, ReaderUnavailableError),
        (0x80100066, CardMuteError),
        (0x80100016, CardTransmissionError),
        (0x80100068, CardTransmissionError),
        (codes.E_PROTO_MISMATCH, CardProtocolError),
        (0x8010FFFF, CardTransmissionError),
        (0x80100069 - (1 << 32), CardAbsentError),
    ],
)
@pytest.mark.parametrize("what", ["connect", "cold", "status", "transmit", "warm"])
async def test_return_codes_become_errors_that_keep_them(
    reader: PcscReader, fake: FakeReader, code: int, kind: type[ReaderError], what: str
) -> None:
    async def use() -> None:
        await reader.open()
        await reader.transmit(SELECT)
        await reader.warm_reset()

    fake.failures[what] = code
    with pytest.raises(kind) as caught:
        await use()
    assert caught.value.code == code & 0xFFFFFFFF
    assert "'R'" in str(caught.value)
    assert fake.log.count("transmit") <= 1


async def test_missing_service_and_reader_are_told_apart(scard: FakeScard) -> None:
    with pytest.raises(ReaderUnavailableError, match="no such reader"):
        await PcscSource(scard=scard).reader("other").open()
    scard.is_running = False
    reader = PcscSource(scard=scard).reader("R")
    with pytest.raises(ReaderUnavailableError, match="does not run"):
        await reader.open()


@pytest.mark.parametrize("refused_at_connect", [False, True])
@pytest.mark.parametrize("damage", ["", "0000"])
async def test_card_that_only_speaks_t1_is_recognised(
    reader: PcscReader, fake: FakeReader, refused_at_connect: bool, damage: str
) -> None:
    """Readers deliver ATRs with a wrong end, too."""
    fake.atr = T1_ATR + bytes.fromhex(damage)
    if refused_at_connect:
        fake.failures["connect"] = codes.E_PROTO_MISMATCH
    with pytest.raises(CardProtocolError, match=rf"does not speak T=0 \(ATR 3b800181{damage}\)"):
        await reader.open()


@pytest.mark.parametrize("code", [codes.E_PROTO_MISMATCH, codes.W_UNSUPPORTED_CARD])
async def test_card_that_the_reader_refuses_is_shown_with_its_atr(
    reader: PcscReader, fake: FakeReader, code: int
) -> None:
    fake.failures["connect"] = code
    with pytest.raises(CardProtocolError, match=f"0x{code:08X}, ATR {fake.atr.hex()}"):
        await reader.open()


async def test_protocol_that_was_not_asked_for_is_refused(reader: PcscReader, fake: FakeReader) -> None:
    fake.protocol = 2
    with pytest.raises(CardProtocolError):
        await reader.open()


async def test_strange_atr_is_the_readers_business_and_none_is_a_mute_card(
    reader: PcscReader, fake: FakeReader
) -> None:
    fake.atr = b"\x3b\xff"
    assert await reader.open() == b"\x3b\xff"
    await reader.close()
    fake.atr = b""
    with pytest.raises(CardMuteError, match="no ATR"):
        await reader.open()


async def test_reader_at_apdu_level_is_served_and_judged_anew_with_every_card(
    reader: PcscReader, fake: FakeReader, capsys: pytest.CaptureFixture[str]
) -> None:
    get_response = bytes.fromhex("00c0000002")
    for _ in range(2):
        await reader.open()
        fake.response = b"\x01\x02\x90\x00"
        assert await reader.transmit(SELECT) == b"\x61\x02"
        assert await reader.transmit(get_response) == b"\x01\x02\x90\x00"
        assert fake.log.count("transmit") == 1
        await reader.close()
        # Another card, with which the reader hands 61xx through.
        await reader.open()
        fake.response = b"\x61\x02"
        assert await reader.transmit(SELECT) == b"\x61\x02"
        fake.response = b"\x01\x02\x90\x00"
        assert await reader.transmit(get_response) == b"\x01\x02\x90\x00"
        assert fake.log.count("transmit") == 3
        await reader.close()
        fake.log.clear()
    assert capsys.readouterr().err.count("reader_at_apdu_level") == 1


async def test_reset_drops_what_is_kept_of_a_reader_at_apdu_level(reader: PcscReader, fake: FakeReader) -> None:
    await reader.open()
    fake.response = b"\x01\x02\x90\x00"
    assert await reader.transmit(SELECT) == b"\x61\x02"
    await reader.warm_reset()
    fake.response = b"\x6f\x00"
    assert await reader.transmit(bytes.fromhex("00c0000002")) == b"\x6f\x00"


async def test_response_that_no_card_gives_is_a_failed_exchange(reader: PcscReader, fake: FakeReader) -> None:
    await reader.open()
    fake.response = bytes(300)
    with pytest.raises(CardTransmissionError, match="response of 300 bytes"):
        await reader.transmit(SELECT)


@pytest.mark.parametrize("where", ["open", "transmit", "close"])
async def test_call_that_hangs_is_given_up_and_hurts_only_its_reader(
    scard: FakeScard, fake: FakeReader, where: str
) -> None:
    gate = threading.Event()
    reader = PcscSource(scard=scard).reader("R")
    if where == "open":
        fake.power_up = gate.wait
    elif where == "close":
        fake.power_off = gate.wait
    else:
        fake.gate = gate

    async def use() -> None:
        async with asyncio.timeout(0.05):
            await reader.open()
            await reader.transmit(SELECT)
            await reader.close()

    with pytest.raises(TimeoutError):
        await use()
    await reader.close()
    with pytest.raises(ReaderUnavailableError, match="still hangs"):
        await reader.open()
    was_stuck = reader.is_stuck
    gate.set()
    await until(lambda: scard.contexts == 0)
    await until(lambda: not reader.is_stuck)
    assert was_stuck
    assert "pcsc R" not in [thread.name for thread in threading.enumerate()]
    assert fake.log[-1] == "unpower"
    fake.power_up = fake.power_off = fake.gate = None
    assert await reader.open() == ATR
    await reader.close()
    assert not reader.is_stuck


async def test_command_that_nobody_waits_for_any_more_is_not_repeated(scard: FakeScard, fake: FakeReader) -> None:
    fake.gate = threading.Event()
    reader = PcscSource(scard=scard).reader("R")
    await reader.open()
    outcomes: list[bytes | ReaderError] = []
    reader.submit(SELECT, outcomes.append)
    await reader.close()
    assert reader.is_stuck
    fake.gate.set()
    await until(lambda: not reader.is_stuck)
    assert outcomes == []
    assert fake.log.count("transmit") == 1


async def test_answer_can_be_called_back(reader: PcscReader) -> None:
    outcome: asyncio.Future[bytes | ReaderError] = asyncio.get_running_loop().create_future()
    with pytest.raises(ReaderUnavailableError, match="not open"):
        reader.submit(SELECT, outcome.set_result)
    await reader.open()
    reader.submit(SELECT, outcome.set_result)
    assert await outcome == b"\x90\x00"


async def test_closed_reader_refuses_commands(reader: PcscReader) -> None:
    for attempt in (reader.cold_reset, reader.warm_reset):
        with pytest.raises(ReaderUnavailableError, match="not open"):
            await attempt()
    with pytest.raises(ReaderUnavailableError, match="not open"):
        await reader.transmit(SELECT)


async def test_mistake_in_a_driver_is_an_error_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> bytes:
        raise ValueError("oops")

    thread = CallThread("test")
    with pytest.raises(CardTransmissionError, match="ValueError: oops"):
        await thread.run(fail)
    thread.end()
    assert "driver_error" in capsys.readouterr().err


class Watched:
    """What a source told."""

    def __init__(self) -> None:
        self.events: list[PresenceEvent] = []

    def __call__(self, event: PresenceEvent) -> None:
        self.events.append(event)

    @property
    def states(self) -> list[tuple[str, Presence]]:
        return [(event.reader, event.presence) for event in self.events]


@pytest.fixture
async def source(scard: FakeScard) -> AsyncIterator[PcscSource]:
    source = PcscSource(scard=scard)
    await source.start()
    yield source
    await source.stop()
    await source.stop()
    assert scard.contexts == 0


async def test_cards_and_readers_are_seen_to_come_and_go(
    source: PcscSource, scard: FakeScard, fake: FakeReader
) -> None:
    assert await source.names() == ["R"]
    watched = Watched()
    source.watch(watched)
    await until(lambda: len(watched.events) == 1)
    assert watched.events == [PresenceEvent("R", Presence.PRESENT, ATR)]
    fake.is_present, fake.counter = False, 1
    scard.change()
    await until(lambda: len(watched.events) == 2)
    scard.change(S=FakeReader(is_present=False))
    await until(lambda: len(watched.events) == 3)
    scard.change(R=None)
    await until(lambda: len(watched.events) == 4)
    assert watched.states[1:] == [("R", Presence.ABSENT), ("S", Presence.ABSENT), ("R", Presence.UNKNOWN)]
    assert watched.events[-1].cause == "reader unplugged"
    assert await source.names() == ["S"]
    late = Watched()
    source.watch(late)
    assert late.states == [("S", Presence.ABSENT)]


async def test_card_exchanged_between_two_looks_is_noticed(
    source: PcscSource, scard: FakeScard, fake: FakeReader
) -> None:
    watched = Watched()
    source.watch(watched)
    await until(lambda: len(watched.events) == 1)
    fake.counter += 2
    scard.change()
    await until(lambda: len(watched.events) == 3)
    assert watched.states[1:] == [("R", Presence.ABSENT), ("R", Presence.PRESENT)]


async def test_service_that_goes_and_comes_back_is_waited_for(
    source: PcscSource, scard: FakeScard, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched()
    source.watch(watched)
    await until(lambda: len(watched.events) == 1)
    scard.is_running = False
    scard.change()
    await until(lambda: len(watched.events) == 2)
    scard.is_running = True
    await until(lambda: len(watched.events) == 3)
    assert watched.states[1:] == [("R", Presence.UNKNOWN), ("R", Presence.PRESENT)]
    assert [event.cause for event in watched.events[1:]] == ["PC/SC service gone", "PC/SC service back"]
    log = capsys.readouterr().err
    assert log.count("pcsc_service_gone") == log.count("pcsc_service_back") == 1


async def test_service_that_lists_readers_and_does_not_let_us_watch_is_told_of_once(
    scard: FakeScard, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remsim.readers.pcsc.watcher._RETRY_S", 0.01)
    scard.most_entries = 0
    source = PcscSource(scard=scard)
    await source.start()
    await until(lambda: len(scard.asked_entries) > 5)
    scard.most_entries = 16
    watched = Watched()
    source.watch(watched)
    await until(lambda: ("R", Presence.PRESENT) in watched.states)
    await source.stop()
    log = capsys.readouterr().err
    assert log.count("pcsc_service_gone") == 1


async def test_service_that_does_not_run_yet_is_waited_for(scard: FakeScard) -> None:
    scard.is_running = False
    source = PcscSource(scard=scard)
    await source.start()
    assert await source.names() == []
    watched = Watched()
    source.watch(watched)
    scard.is_running = True
    await until(lambda: watched.states == [("R", Presence.PRESENT)])
    await source.stop()


def sixteen_or_so(count: int) -> dict[str, FakeReader]:
    return {f"N{number:02}": FakeReader() for number in range(count)}


@pytest.mark.parametrize("count", [14, 15, 16, 17, 40])
async def test_no_call_watches_more_readers_than_every_library_takes(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    readers = sixteen_or_so(count)
    scard = FakeScard(**readers)
    scard.most_entries = 16
    source = PcscSource(scard=scard)
    await source.start()
    watched = Watched()
    source.watch(watched)
    await until(lambda: len(watched.events) == count)
    assert sorted(watched.states) == [(name, Presence.PRESENT) for name in readers]
    last = f"N{count - 1:02}"
    readers[last].is_present = False
    scard.change()
    await until(lambda: watched.states[count:] == [(last, Presence.ABSENT)])
    scard.change(**{last: None})
    await until(lambda: watched.states[count + 1 :] == [(last, Presence.UNKNOWN)])
    await source.stop()
    log = capsys.readouterr().err
    assert "pcsc_service_gone" not in log
    if count != 17:  # With one reader less, that list is full for a moment.
        assert log.count("pcsc_readers_at_limit") == (1 if count == 16 else 0)


async def test_full_list_is_not_reported_where_the_library_takes_more(capsys: pytest.CaptureFixture[str]) -> None:
    source = PcscSource(scard=FakeScard(**sixteen_or_so(16)))
    await source.start()
    await source.stop()
    assert "pcsc_readers_at_limit" not in capsys.readouterr().err


async def test_two_readers_of_one_name_are_noticed_and_neither_is_used(
    source: PcscSource, scard: FakeScard, fake: FakeReader, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched()
    source.watch(watched)
    await until(lambda: len(watched.events) == 1)
    scard.twins = ["R"]
    scard.change(S=FakeReader())
    await until(lambda: len(watched.events) == 3)
    assert watched.states[1:] == [("R", Presence.UNKNOWN), ("S", Presence.PRESENT)]
    assert watched.events[1].cause == "two readers have this name"
    assert await source.names() == ["S"]
    scard.twins = []
    scard.change()
    await until(lambda: len(watched.events) == 4)
    assert watched.states[3:] == [("R", Presence.PRESENT)]
    assert capsys.readouterr().err.count("readers_of_one_name") == 1


def usb_device(devices: Path, path: str, bus: int, address: int) -> None:
    for folder in (devices / path, devices / f"{path}:1.0"):
        folder.mkdir(parents=True)
    (devices / path / "busnum").write_text(f"{bus}\n", encoding="ascii")
    (devices / path / "devnum").write_text(f"{address}\n", encoding="ascii")


async def test_readers_are_found_where_they_are_plugged_in(tmp_path: Path) -> None:
    usb_device(tmp_path, "usb1", 1, 1)
    usb_device(tmp_path, "1-2.3", 1, 7)
    usb_device(tmp_path, "3-1", 3, 7)
    scard = FakeScard(
        FIRST=FakeReader(channel=0x00200107),
        SECOND=FakeReader(channel=0x00200307, is_present=False),
        GONE=FakeReader(channel=0x00200109),
        SERIAL=FakeReader(channel=0x00010001),
        SILENT=FakeReader(),
        BUSY=FakeReader(channel=0x00200107, is_held=True),
    )
    source = PcscSource(scard=scard, finds_places=True, usb_devices=tmp_path)
    await source.start()
    assert {name: source.place(name) for name in await source.names() if source.place(name)} == {
        "FIRST": "1-2.3",
        "SECOND": "3-1",
    }
    assert scard.readers["FIRST"].log == ["connect direct", "disconnect"]
    watched = Watched()
    source.watch(watched)
    scard.change(LATE=FakeReader(channel=0x00200307))
    await until(lambda: ("LATE", Presence.PRESENT) in watched.states)
    assert source.place("LATE") == "3-1"
    scard.change(LATE=None)
    await until(lambda: ("LATE", Presence.UNKNOWN) in watched.states)
    assert source.place("LATE") == ""
    await source.stop()
    assert scard.contexts == 0


async def test_readers_are_not_touched_where_places_do_not_matter(scard: FakeScard, fake: FakeReader) -> None:
    source = PcscSource(scard=scard)
    await source.start()
    assert source.place("R") == ""
    await source.stop()
    assert source.place("R") == ""
    assert not fake.log


def test_place_of_a_reader_that_blocks_is_not_waited_for(
    scard: FakeScard, fake: FakeReader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("remsim.readers.pcsc_common.usb.PATIENCE_S", 0.05)
    usb_device(tmp_path, "1-1", 1, 1)
    gate = fake.connect_gate = threading.Event()
    fake.channel = 0x00200101
    scard.readers["S"] = FakeReader(channel=0x00200101)
    # It hangs, and the other one is asked all the same.
    assert find_places(scard, ["R", "S"], tmp_path) == PlaceAnswers({"S": "1-1"}, frozenset({"R"}))
    gate.set()
    monkeypatch.setattr("remsim.readers.pcsc_common.usb.PATIENCE_S", 10.0)
    assert find_places(scard, ["R"], tmp_path / "none") == PlaceAnswers({})
    assert find_places(scard, ["R"], tmp_path) == PlaceAnswers({"R": "1-1"})
    scard.is_running = False
    assert find_places(scard, ["R"], tmp_path) == PlaceAnswers({}, frozenset({"R"}))


async def test_many_readers_are_asked_sixteen_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usb_device(tmp_path, "1-1", 1, 1)
    gate = threading.Event()
    scard = FakeScard(**{f"R{number}": FakeReader(channel=0x00200101) for number in range(40)})
    assert find_places(scard, list(scard.readers), tmp_path) == PlaceAnswers(dict.fromkeys(scard.readers, "1-1"))
    await until(lambda: scard.contexts == 0)
    for reader in scard.readers.values():
        reader.connect_gate = gate
    monkeypatch.setattr("remsim.readers.pcsc_common.usb.PATIENCE_S", 0.05)
    assert find_places(scard, list(scard.readers), tmp_path) == PlaceAnswers({}, frozenset(scard.readers))
    assert scard.contexts == 16
    # Those that hung end, and begin nothing more.
    gate.set()
    await until(lambda: scard.contexts == 0)
    assert sum(len(reader.log) for reader in scard.readers.values()) == 2 * 40 + 2 * 16


async def test_reader_that_another_program_holds_is_asked_again_when_it_is_free(tmp_path: Path) -> None:
    usb_device(tmp_path, "1-2", 1, 7)
    held = FakeReader(channel=0x00200107, is_held=True)
    scard = FakeScard(R=held, SILENT=FakeReader())
    source = PcscSource(scard=scard, finds_places=True, usb_devices=tmp_path)
    await source.start()
    watched = Watched()
    source.watch(watched)
    await until(lambda: ("R", Presence.PRESENT) in watched.states)
    assert (source.place("R"), held.log.count("connect direct")) == ("", 1)
    held.is_held = False
    scard.change()
    await until(lambda: watched.events[-1].cause == "its USB port is known")
    assert (watched.events[-1].reader, source.place("R")) == ("R", "1-2")
    scard.change()
    await source.stop()
    assert (held.log.count("connect direct"), scard.readers["SILENT"].log.count("connect direct")) == (2, 1)

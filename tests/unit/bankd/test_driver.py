# SPDX-License-Identifier: Apache-2.0
"""The owner of a reader: each operation is reported once, whatever the driver does, and no command runs twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from remsim.bankd import driver as slot_module
from remsim.bankd import stuck
from remsim.bankd.core.actions import CardAction, CardFault, CloseCard, FaultKind, OpenCard, ReadNumber, ResetCard
from remsim.bankd.driver import CardDeadlines, CardDriver, card_fault, fault_kind
from remsim.bankd.stuck import StuckReaders
from remsim.card.identity import CardIdentity
from remsim.card.reset import ResetKind
from remsim.logs import get_logger
from remsim.net.runtime.tasks import TaskOwner
from remsim.readers.errors import (
    CardAbsentError,
    CardMuteError,
    CardProtocolError,
    CardTransmissionError,
    ReaderBusyError,
    ReaderError,
    ReaderUnavailableError,
)
from remsim.readers.sim.profiles import load_profile
from remsim.readers.sim.source import SimSource
from tests.doubles.readers import CallbackReader, HangingReader, HastyReader, InstantReader, Outcome, ScriptedReader

TPDU = bytes.fromhex("00b0000001")


class Events:
    """Notes how operations ended."""

    def __init__(self) -> None:
        self.log: list[object] = []
        #: Set by failures and power-offs.
        self.has_more = asyncio.Event()
        self.times: list[float] = []

    def on_opened(self, slot_nr: int, atr: bytes) -> None:
        self.log.append(("opened", slot_nr, atr))

    def on_response(self, slot_nr: int, response: bytes) -> None:
        self.log.append(("response", slot_nr, response))

    def on_reset(self, slot_nr: int, atr: bytes) -> None:
        self.log.append(("reset", slot_nr, atr))

    def on_closed(self, slot_nr: int) -> None:
        self.log.append(("closed", slot_nr))
        self.has_more.set()

    def on_number(self, slot_nr: int, found: CardIdentity, reason: str, *, is_busy: bool = False) -> None:
        self.log.append(("busy" if is_busy else "number", slot_nr, found.iccid, reason))
        self.found = found
        self.has_more.set()

    def on_failed(self, slot_nr: int, fault: CardFault) -> None:
        self.log.append(("failed", slot_nr, fault.kind))
        self.has_more.set()


class Stand:
    """A slot with its surroundings."""

    def __init__(self, tasks: TaskOwner, deadlines: CardDeadlines = CardDeadlines()) -> None:  # noqa: B008  # immutable
        self.events = Events()
        self.stuck = StuckReaders(readers=lambda: 4, log=get_logger("bankd"))
        self.slot = CardDriver(
            3,
            events=self.events,
            tasks=tasks,
            observe=self.events.times.append,
            deadlines=deadlines,
            stuck=self.stuck,
        )

    async def run(self, action: CardAction) -> object:
        """Run it; what was reported."""
        before = len(self.events.log)
        self.slot.run(action)
        return await self.report(before)

    async def transmit(self, tpdu: bytes = TPDU) -> object:
        """Exchange a command: what is returned, or reported later."""
        before = len(self.events.log)
        outcome = self.slot.submit(tpdu)
        return await self.report(before) if outcome is None else outcome

    async def report(self, before: int) -> object:
        """The one report that comes now."""
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(self.events.log) == before + 1
        return self.events.log[-1]


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with TaskOwner("test") as tasks:
        yield Stand(tasks)


async def test_operations_are_carried_out(stand: Stand) -> None:
    stand.slot.reader = reader = ScriptedReader()
    assert await stand.run(OpenCard(3)) == ("opened", 3, b"\x3b\x00")
    assert await stand.transmit() == ("response", 3, b"\x90\x00")
    assert await stand.run(ResetCard(3, ResetKind.COLD)) == ("reset", 3, b"\x3b\x01")
    assert await stand.run(ResetCard(3, ResetKind.WARM)) == ("reset", 3, b"\x3b\x02")
    assert await stand.run(CloseCard(3)) == ("closed", 3)
    assert reader.log == ["open", "transmit", "cold", "warm", "close"]
    assert len(stand.events.times) == 1


async def test_exchanged_reader_counts_from_the_next_opening_on(stand: Stand) -> None:
    stand.slot.reader = old = ScriptedReader()
    await stand.run(OpenCard(3))
    stand.slot.reader = None
    await stand.transmit()
    await stand.run(CloseCard(3))
    assert old.log == ["open", "transmit", "close"]
    assert await stand.run(OpenCard(3)) == ("failed", 3, FaultKind.NO_READER)


async def test_what_is_asked_of_a_card_that_is_off_fails(stand: Stand) -> None:
    assert stand.slot.submit(TPDU) == CardFault(FaultKind.NO_READER, "the card is not powered")
    assert await stand.run(ResetCard(3, ResetKind.COLD)) == ("failed", 3, FaultKind.NO_READER)
    assert await stand.run(CloseCard(3)) == ("closed", 3)


@pytest.mark.parametrize("make", [ScriptedReader, InstantReader])
async def test_driver_that_repeats_the_command_in_its_error_is_told_without_it(
    stand: Stand, make: type[ScriptedReader], capsys: pytest.CaptureFixture[str]
) -> None:
    verify = bytes.fromhex("0020000108") + b"73914826"
    faults: list[CardFault] = []

    def on_failed(slot_nr: int, fault: CardFault) -> None:
        faults.append(fault)

    stand.events.on_failed = on_failed  # type: ignore[method-assign]
    stand.slot.reader = make(transmit=RuntimeError(f"cannot send {verify!r}, that is {verify.hex()}"))
    stand.slot.run(OpenCard(3))
    await asyncio.sleep(0)
    at_once = stand.slot.submit(verify)
    for _ in range(3):
        await asyncio.sleep(0)
    if isinstance(at_once, CardFault):
        faults.append(at_once)
    text = "the reader's driver failed: RuntimeError: cannot send <bytes>, that is <bytes>"
    assert faults == [CardFault(FaultKind.TRANSMISSION, text)]
    line = capsys.readouterr().err
    assert "driver_error" in line
    assert "7391" not in line
    assert "3733" not in line


@pytest.mark.parametrize("what", ["open", "cold", "warm"])
@pytest.mark.parametrize("error", [CardMuteError("mute"), RuntimeError("a driver's mistake")])
async def test_errors_are_reported_once(stand: Stand, what: str, error: Exception) -> None:
    stand.slot.reader = reader = ScriptedReader()
    reader.outcomes[what] = error
    actions: list[OpenCard | ResetCard] = [OpenCard(3), ResetCard(3, ResetKind.COLD), ResetCard(3, ResetKind.WARM)]
    reports = [await stand.run(action) for action in actions[: ["open", "cold", "warm"].index(what) + 1]]
    expected = FaultKind.MUTE if isinstance(error, CardMuteError) else FaultKind.TRANSMISSION
    assert reports[-1] == ("failed", 3, expected)
    assert (what == "open") == ("close" in reader.log)


async def test_instant_card_answers_through_the_call(stand: Stand) -> None:
    stand.slot.reader = reader = InstantReader()
    await stand.run(OpenCard(3))
    assert stand.slot.submit(TPDU) == b"\x90\x00"
    reader.is_instant = False
    assert stand.slot.submit(TPDU) is None
    assert await stand.report(1) == ("response", 3, b"\x90\x00")
    assert len(stand.events.times) == 2
    await stand.run(CloseCard(3))
    assert isinstance(stand.slot.submit(TPDU), CardFault)


OUTCOMES = [CardMuteError("mute"), b"", b"\x90", bytes(259), RuntimeError("a driver's mistake")]


@pytest.mark.parametrize("make", [ScriptedReader, InstantReader, HastyReader])
@pytest.mark.parametrize("outcome", OUTCOMES, ids=["mute", "empty", "short", "long", "mistake"])
async def test_command_that_fails_is_told_once_and_does_not_reach_the_card_again(
    stand: Stand, make: type[ScriptedReader], outcome: bytes | Exception
) -> None:
    stand.slot.reader = reader = make(transmit=outcome)
    await stand.run(OpenCard(3))
    told = await stand.transmit()
    kind = told.kind if isinstance(told, CardFault) else told
    expected = FaultKind.MUTE if isinstance(outcome, CardMuteError) else FaultKind.TRANSMISSION
    assert kind in (expected, ("failed", 3, expected))
    assert reader.log == ["open", "transmit"]
    assert stand.events.times == []
    reader.outcomes["transmit"] = b"\x90\x00"
    assert await stand.transmit() in (b"\x90\x00", ("response", 3, b"\x90\x00"))


@pytest.mark.parametrize("length", [2, 258])
async def test_response_of_legal_length_is_passed_on(stand: Stand, length: int) -> None:
    stand.slot.reader = InstantReader(transmit=bytes(length))
    await stand.run(OpenCard(3))
    assert stand.slot.submit(TPDU) == bytes(length)


async def test_card_that_calls_back_is_heard_once_for_each_command(stand: Stand) -> None:
    stand.slot.reader = reader = CallbackReader()
    await stand.run(OpenCard(3))
    assert stand.slot.submit(TPDU) is None
    first = reader.done
    first(b"\x90\x00")
    first(b"\x6f\x00")
    assert stand.slot.submit(TPDU) is None
    # Neither does it answer the command behind its own.
    first(b"\x6f\x00")
    reader.done(CardMuteError("mute"))
    assert stand.events.log[1:] == [("response", 3, b"\x90\x00"), ("failed", 3, FaultKind.MUTE)]


async def test_call_back_of_a_card_that_was_powered_off_is_not_heard(stand: Stand) -> None:
    stand.slot.reader = reader = CallbackReader()
    await stand.run(OpenCard(3))
    stand.slot.submit(TPDU)
    late = reader.done
    await stand.run(CloseCard(3))
    late(b"\x90\x00")
    await stand.run(OpenCard(3))
    assert stand.slot.submit(TPDU) is None
    late(b"\x90\x00")
    assert [entry[0] for entry in stand.events.log if isinstance(entry, tuple)] == ["opened", "closed", "opened"]
    reader.done(b"\x91\x00")
    assert stand.events.log[-1] == ("response", 3, b"\x91\x00")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ReaderUnavailableError("x"), FaultKind.NO_READER),
        (CardAbsentError("x"), FaultKind.NO_CARD),
        (CardMuteError("x"), FaultKind.MUTE),
        (CardProtocolError("x"), FaultKind.PROTOCOL),
        (CardTransmissionError("x"), FaultKind.TRANSMISSION),
        (ReaderError("x"), FaultKind.TRANSMISSION),
        (type("Derived", (CardMuteError,), {})("x"), FaultKind.MUTE),
    ],
)
def test_every_error_has_a_kind(error: ReaderError, kind: FaultKind) -> None:
    assert fault_kind(error) is kind


def test_fault_says_what_failed_without_bytes() -> None:
    assert card_fault(CardMuteError("no answer to 00a40004023f00")) == CardFault(FaultKind.MUTE, "no answer to <bytes>")


async def test_number_is_read_between_power_up_and_power_off(stand: Stand) -> None:
    source = SimSource(slots=1)
    (name,) = await source.names()
    stand.slot.reader = reader = source.reader(name)
    digits = load_profile("default").identity.iccid_digits
    assert await stand.run(ReadNumber(3)) == ("number", 3, digits, "")
    with pytest.raises(CardMuteError, match="no power"):
        await reader.transmit(TPDU)
    # Nothing of it is seen from outside: no session, no time of a command.
    assert stand.events.times == []
    assert isinstance(stand.slot.submit(TPDU), CardFault)


async def test_all_that_a_card_says_is_read_with_its_number(stand: Stand) -> None:
    source = SimSource(slots=1)
    (name,) = await source.names()
    stand.slot.reader = reader = source.reader(name)
    identity = load_profile("default").identity
    assert await stand.run(ReadNumber(3, reads_all=True)) == ("number", 3, identity.iccid_digits, "")
    assert stand.events.found == CardIdentity(identity.iccid_digits, identity.imsi, "remsim test")
    with pytest.raises(CardMuteError, match="no power"):
        await reader.transmit(TPDU)
    await stand.run(ReadNumber(3))
    assert stand.events.found == CardIdentity(identity.iccid_digits)


class QuietReader(ScriptedReader):
    """Its card gives its number, and then hangs."""

    async def transmit(self, tpdu: bytes) -> bytes:
        if tpdu[:4] == bytes.fromhex("00a40404"):
            await asyncio.Event().wait()
        return bytes.fromhex("980001010000000010f89000" if tpdu[1] == 0xB0 else "9000")


async def test_card_that_hangs_behind_its_number_has_one(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "READING_S", 0.05)
    stand.slot.reader = QuietReader()
    stand.slot.run(ReadNumber(3, reads_all=True))
    await stand.events.has_more.wait()
    assert stand.events.log == [("number", 3, "8900101000000000018", "")]
    assert stand.events.found == CardIdentity("8900101000000000018")


@pytest.mark.parametrize(
    ("outcomes", "reason", "log"),
    [
        ({"open": CardMuteError("mute")}, "mute", ["open", "close"]),
        ({"open": RuntimeError("x")}, "the reader's driver failed: RuntimeError: x", ["open", "close"]),
        ({"transmit": CardTransmissionError("gone")}, "gone", ["open", "transmit", "close"]),
        (
            {"transmit": CardTransmissionError("no answer to 00a40004022fe2")},
            "no answer to <bytes>",
            ["open", "transmit", "close"],
        ),
        ({"transmit": b"\x90"}, "the card's response has 1 bytes", ["open", "transmit", "close"]),
        ({"transmit": b"\x6e\x00"}, "the card gives no ICCID", ["open", "transmit", "transmit", "close"]),
    ],
    ids=["mute", "driver", "fault", "talkative", "length", "refused"],
)
async def test_number_that_cannot_be_read_is_reported_with_the_reason(
    stand: Stand, outcomes: dict[str, Outcome], reason: str, log: list[str]
) -> None:
    stand.slot.reader = reader = ScriptedReader()
    reader.outcomes |= outcomes
    assert await stand.run(ReadNumber(3)) == ("number", 3, None, reason)
    assert reader.log == log


async def test_number_in_a_reader_that_another_program_has_is_no_card_without_one(stand: Stand) -> None:
    stand.slot.reader = reader = ScriptedReader()
    reader.outcomes["open"] = ReaderBusyError("another program uses the card")
    assert await stand.run(ReadNumber(3)) == ("busy", 3, None, "another program uses the card")
    assert reader.log == ["open", "close"]
    reader.outcomes |= {"open": b"\x3b\x00", "transmit": ReaderBusyError("another program uses the card")}
    assert await stand.run(ReadNumber(3)) == ("busy", 3, None, "another program uses the card")


async def test_number_of_a_slot_without_reader_is_none(stand: Stand) -> None:
    assert await stand.run(ReadNumber(3)) == ("number", 3, None, "no reader belongs to this slot")


@pytest.mark.parametrize("where", ["open", "transmit"])
async def test_card_that_hangs_is_given_up_and_powered_off(
    stand: Stand, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_module, "READING_S", 0.01)
    stand.slot.reader = reader = HangingReader(where)
    stand.slot.run(ReadNumber(3))
    await reader.closed.wait()
    await asyncio.sleep(0)
    assert stand.events.log == [("number", 3, None, "it was not read within 0.01 s")]


@pytest.fixture
async def hasty() -> AsyncIterator[Stand]:
    """A slot whose deadlines are over soon."""
    async with TaskOwner("test") as tasks:
        yield Stand(tasks, CardDeadlines(open_s=0.02, reset_s=0.03, command_s=0.4, close_s=0.05))


async def next_report(stand: Stand) -> object:
    """The next report, whenever it comes."""
    stand.events.has_more.clear()
    before = len(stand.events.log)
    async with asyncio.timeout(10):
        await stand.events.has_more.wait()
    assert len(stand.events.log) == before + 1
    return stand.events.log[-1]


@pytest.mark.parametrize("where", ["open", "cold", "warm", "transmit"])
async def test_operation_that_hangs_has_failed_at_its_deadline(hasty: Stand, where: str) -> None:
    hasty.slot.reader = reader = HangingReader(where)
    reader.log.clear()
    if where != "open":
        await hasty.run(OpenCard(3))
    if where == "transmit":
        assert hasty.slot.submit(TPDU) is None
    else:
        kind = ResetKind.WARM if where == "warm" else ResetKind.COLD
        hasty.slot.run(OpenCard(3) if where == "open" else ResetCard(3, kind))
    assert await next_report(hasty) == ("failed", 3, FaultKind.MUTE)
    assert ("close" in reader.log) == (where == "open")
    assert reader.log.count(where) == 1


async def test_reader_that_hangs_in_power_off_is_left_to_itself(
    hasty: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    hasty.slot.reader = HangingReader("close")
    await hasty.run(OpenCard(3))
    hasty.slot.run(CloseCard(3))
    assert await next_report(hasty) == ("closed", 3)
    assert "reader_not_closed" in capsys.readouterr().err


async def test_deadline_counts_from_the_command_not_from_the_timer(
    hasty: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty.slot.reader = reader = CallbackReader()
    await hasty.run(OpenCard(3))
    loop, skipped = asyncio.get_running_loop(), 0.0
    for owner, name in ((loop, "time"), (slot_module, "perf_counter")):
        clock = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda clock=clock: clock() + skipped)
    # For longer than a deadline, each command is answered well within its own.
    for _ in range(10):
        assert hasty.slot.submit(TPDU) is None
        skipped += 0.1
        # Timers that are due now are called in the round after the next.
        for _ in range(3):
            await asyncio.sleep(0)
        reader.done(b"\x90\x00")
    assert {entry[0] for entry in hasty.events.log if isinstance(entry, tuple)} == {"opened", "response"}
    hasty.slot.submit(TPDU)
    late = reader.done
    assert await next_report(hasty) == ("failed", 3, FaultKind.MUTE)
    late(b"\x90\x00")
    assert hasty.events.log[-1] == ("failed", 3, FaultKind.MUTE)


class StuckReader(CallbackReader):
    """Its driver does not return before the test says so."""

    is_stuck = False

    async def close(self) -> None:
        self.is_stuck = True


async def test_stuck_readers_are_counted_bounded_and_told_once(
    stand: Stand, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck, "MAX_STUCK", 3)
    readers = [StuckReader(f"R{number}") for number in range(4)]
    for number, reader in enumerate(readers[:3], start=1):
        stand.slot.reader = reader
        assert await stand.run(OpenCard(3)) == ("opened", 3, b"\x3b\x00")
        await stand.run(CloseCard(3))
        assert (stand.stuck.count, stand.stuck.total) == (number, number)
    stand.slot.reader = readers[3]
    assert await stand.run(OpenCard(3)) == ("failed", 3, FaultKind.NO_READER)
    assert readers[3].log == []
    log = capsys.readouterr().err
    # Of four readers, two are half.
    assert log.count("readers_stuck stuck=2 readers=4") == log.count("readers_stuck") == 1
    assert "restart pcscd" in log
    assert log.count("reader_stuck") == 3
    for reader in readers:
        reader.is_stuck = False
    assert await stand.run(OpenCard(3)) == ("opened", 3, b"\x3b\x00")
    stand.stuck.look_at(readers[3])
    assert stand.stuck.count == 0
    assert "readers_not_stuck" in capsys.readouterr().err

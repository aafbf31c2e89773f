# SPDX-License-Identifier: Apache-2.0
"""The owner of a reader: each operation is reported once, whatever the driver does, and no command runs twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from remsim.bankd import driver as slot_module
from remsim.bankd.core.actions import (
    CardAction,
    CloseCard,
    FaultKind,
    OpenCard,
    ReadNumber,
    ResetCard,
    ResetKind,
    Transmit,
)
from remsim.bankd.driver import CardDriver, fault_kind, fault_text
from remsim.net.runtime.tasks import TaskOwner
from remsim.readers.errors import (
    CardAbsentError,
    CardMuteError,
    CardProtocolError,
    CardTransmissionError,
    ReaderError,
    ReaderUnavailableError,
)
from remsim.readers.sim.profiles import load_profile
from remsim.readers.sim.source import SimSource
from tests.doubles.readers import CallbackReader, HangingReader, InstantReader, Outcome, ScriptedReader

TPDU = bytes.fromhex("00b0000001")


class Events:
    """Notes how operations ended."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.times: list[float] = []

    def on_opened(self, slot_nr: int, atr: bytes) -> None:
        self.log.append(("opened", slot_nr, atr))

    def on_response(self, slot_nr: int, response: bytes) -> None:
        self.log.append(("response", slot_nr, response))

    def on_reset(self, slot_nr: int, atr: bytes) -> None:
        self.log.append(("reset", slot_nr, atr))

    def on_closed(self, slot_nr: int) -> None:
        self.log.append(("closed", slot_nr))

    def on_number(self, slot_nr: int, iccid: str | None, reason: str) -> None:
        self.log.append(("number", slot_nr, iccid, reason))

    def on_failed(self, slot_nr: int, error: ReaderError) -> None:
        self.log.append(("failed", slot_nr, type(error)))


class Stand:
    """A slot with its surroundings."""

    def __init__(self, tasks: TaskOwner) -> None:
        self.events = Events()
        self.slot = CardDriver(3, events=self.events, tasks=tasks, observe=self.events.times.append)

    async def run(self, action: CardAction) -> object:
        """Run it; what was reported."""
        before = len(self.events.log)
        self.slot.run(action)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(self.events.log) == before + 1
        return self.events.log[-1]


def answers_at_once(stand: Stand) -> bool:
    return stand.slot.answers_at_once


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with TaskOwner("test") as tasks:
        yield Stand(tasks)


async def test_operations_are_carried_out(stand: Stand) -> None:
    stand.slot.reader = reader = ScriptedReader()
    assert await stand.run(OpenCard(3)) == ("opened", 3, b"\x3b\x00")
    assert await stand.run(Transmit(3, TPDU)) == ("response", 3, b"\x90\x00")
    assert await stand.run(ResetCard(3, ResetKind.COLD)) == ("reset", 3, b"\x3b\x01")
    assert await stand.run(ResetCard(3, ResetKind.WARM)) == ("reset", 3, b"\x3b\x02")
    assert await stand.run(CloseCard(3)) == ("closed", 3)
    assert reader.log == ["open", "transmit", "cold", "warm", "close"]
    assert len(stand.events.times) == 1


async def test_response_that_is_taken_is_not_reported(stand: Stand) -> None:
    stand.slot.reader = ScriptedReader()
    assert not stand.slot.answers_soon
    await stand.run(OpenCard(3))
    taken: list[bytes] = []

    def take(response: bytes) -> bool:
        taken.append(response)
        return True

    stand.slot.answer = take
    before = list(stand.events.log)
    stand.slot.transmit(TPDU)
    for _ in range(10):
        await asyncio.sleep(0)
    assert taken == [b"\x90\x00"]
    assert stand.events.log == before
    stand.slot.answer = lambda _response: False
    assert await stand.run(Transmit(3, TPDU)) == ("response", 3, b"\x90\x00")
    await stand.run(CloseCard(3))
    assert stand.slot.answer is None


async def test_exchanged_reader_counts_from_the_next_opening_on(stand: Stand) -> None:
    stand.slot.reader = old = ScriptedReader()
    await stand.run(OpenCard(3))
    stand.slot.reader = None
    await stand.run(Transmit(3, TPDU))
    await stand.run(CloseCard(3))
    assert old.log == ["open", "transmit", "close"]
    assert await stand.run(OpenCard(3)) == ("failed", 3, ReaderUnavailableError)


async def test_what_is_asked_of_a_card_that_is_off_fails(stand: Stand) -> None:
    assert await stand.run(Transmit(3, TPDU)) == ("failed", 3, ReaderUnavailableError)
    assert await stand.run(ResetCard(3, ResetKind.COLD)) == ("failed", 3, ReaderUnavailableError)
    assert await stand.run(CloseCard(3)) == ("closed", 3)
    assert stand.slot.transmit_now(TPDU) is None


async def test_driver_that_repeats_the_command_in_its_error_is_told_without_it(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    verify = bytes.fromhex("0020000108") + b"73914826"
    texts: list[str] = []

    def on_failed(slot_nr: int, error: ReaderError) -> None:
        texts.append(fault_text(error))

    stand.events.on_failed = on_failed  # type: ignore[method-assign]
    stand.slot.reader = ScriptedReader(transmit=RuntimeError(f"cannot send {verify!r}, that is {verify.hex()}"))
    stand.slot.run(OpenCard(3))
    await asyncio.sleep(0)
    stand.slot.run(Transmit(3, verify))
    await asyncio.sleep(0)
    assert texts == ["the reader's driver failed: RuntimeError: cannot send <bytes>, that is <bytes>"]
    line = capsys.readouterr().err
    assert "driver_error" in line
    assert "7391" not in line
    assert "3733" not in line


@pytest.mark.parametrize("what", ["open", "cold", "warm", "transmit"])
@pytest.mark.parametrize("error", [CardMuteError("mute"), RuntimeError("a driver's mistake")])
async def test_errors_are_reported_once(stand: Stand, what: str, error: Exception) -> None:
    stand.slot.reader = reader = ScriptedReader()
    reader.outcomes[what] = error
    actions: list[OpenCard | ResetCard | Transmit] = [
        OpenCard(3),
        ResetCard(3, ResetKind.COLD),
        ResetCard(3, ResetKind.WARM),
        Transmit(3, TPDU),
    ]
    reports = [await stand.run(action) for action in actions[: ["open", "cold", "warm", "transmit"].index(what) + 1]]
    expected = CardMuteError if isinstance(error, CardMuteError) else CardTransmissionError
    assert reports[-1] == ("failed", 3, expected)
    assert (what == "open") == ("close" in reader.log)


async def test_instant_card_answers_without_a_task(stand: Stand) -> None:
    stand.slot.reader = reader = InstantReader()
    assert answers_at_once(stand) is False
    await stand.run(OpenCard(3))
    assert answers_at_once(stand) is True
    assert stand.slot.transmit_now(TPDU) == b"\x90\x00"
    stand.slot.run(Transmit(3, TPDU))
    assert stand.events.log[-1] == ("response", 3, b"\x90\x00")
    reader.is_instant = False
    assert stand.slot.transmit_now(TPDU) is None
    assert await stand.run(Transmit(3, TPDU)) == ("response", 3, b"\x90\x00")
    assert len(stand.events.times) == 3
    await stand.run(CloseCard(3))
    assert answers_at_once(stand) is False


@pytest.mark.parametrize("outcome", [CardMuteError("mute"), b"\x90", bytes(259), RuntimeError("a driver's mistake")])
async def test_command_that_failed_at_once_does_not_reach_the_card_again(
    stand: Stand, outcome: bytes | Exception
) -> None:
    stand.slot.reader = reader = InstantReader(transmit=outcome)
    await stand.run(OpenCard(3))
    assert stand.slot.transmit_now(TPDU) is None
    report = await stand.run(Transmit(3, TPDU))
    expected = CardMuteError if isinstance(outcome, CardMuteError) else CardTransmissionError
    assert report == ("failed", 3, expected)
    assert reader.log == ["open", "transmit"]
    reader.outcomes["transmit"] = b"\x90\x00"
    assert stand.slot.transmit_now(TPDU) == b"\x90\x00"


async def test_failure_that_nobody_asked_about_ends_with_the_card(stand: Stand) -> None:
    stand.slot.reader = reader = InstantReader(transmit=CardMuteError("mute"))
    await stand.run(OpenCard(3))
    stand.slot.transmit_now(TPDU)
    await stand.run(CloseCard(3))
    reader.outcomes["transmit"] = b"\x90\x00"
    await stand.run(OpenCard(3))
    assert await stand.run(Transmit(3, TPDU)) == ("response", 3, b"\x90\x00")


@pytest.mark.parametrize("error", [CardMuteError("mute"), RuntimeError("a driver's mistake")])
async def test_instant_failure_by_the_long_way(stand: Stand, error: Exception) -> None:
    stand.slot.reader = InstantReader(transmit=error)
    await stand.run(OpenCard(3))
    expected = CardMuteError if isinstance(error, CardMuteError) else CardTransmissionError
    assert await stand.run(Transmit(3, TPDU)) == ("failed", 3, expected)


@pytest.mark.parametrize("raw", [4, 261])
async def test_command_of_illegal_length_takes_the_long_way(stand: Stand, raw: int) -> None:
    stand.slot.reader = reader = InstantReader()
    await stand.run(OpenCard(3))
    assert stand.slot.transmit_now(bytes(raw)) is None
    assert reader.log == ["open"]


@pytest.mark.parametrize("raw", [1, 4])
async def test_command_that_is_too_short_is_answered_without_the_card(stand: Stand, raw: int) -> None:
    stand.slot.reader = reader = InstantReader()
    await stand.run(OpenCard(3))
    assert await stand.run(Transmit(3, bytes(raw))) == ("response", 3, b"\x67\x00")
    assert reader.log == ["open"]


async def test_card_that_calls_back_needs_no_task(stand: Stand) -> None:
    stand.slot.reader = reader = CallbackReader()
    await stand.run(OpenCard(3))
    stand.slot.run(Transmit(3, TPDU))
    reader.done(b"\x90\x00")
    stand.slot.run(Transmit(3, TPDU))
    reader.done(CardMuteError("mute"))
    assert stand.events.log[1:] == [("response", 3, b"\x90\x00"), ("failed", 3, CardMuteError)]


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


class Watch:
    """A guard that blocks one command, and notes what it is asked and told."""

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []

    def blocks(self, tpdu: bytes) -> bool:
        self.log.append(("asked", tpdu))
        return tpdu == FORBIDDEN

    def on_exchange(self, tpdu: bytes, response: bytes) -> None:
        self.log.append(("told", tpdu, response))

    def on_reset(self) -> None:
        self.log.append(("reset",))


FORBIDDEN = bytes.fromhex("00d6000001ff")
BLOCKED = b"\x69\x85"


@pytest.mark.parametrize("reader", [ScriptedReader(), InstantReader()], ids=["later", "instant"])
async def test_guard_stands_before_the_card(stand: Stand, reader: ScriptedReader) -> None:
    stand.slot.reader = reader
    await stand.run(OpenCard(3))
    stand.slot.guard = watch = Watch()
    assert await stand.run(Transmit(3, FORBIDDEN)) == ("response", 3, BLOCKED)
    assert await stand.run(Transmit(3, TPDU)) == ("response", 3, b"\x90\x00")
    await stand.run(ResetCard(3, ResetKind.WARM))
    await stand.run(CloseCard(3))
    assert reader.log == ["open", "transmit", "warm", "close"]
    assert watch.log == [("asked", FORBIDDEN), ("asked", TPDU), ("told", TPDU, b"\x90\x00"), ("reset",)]
    assert stand.slot.guard is None


async def test_guard_is_asked_once_on_the_short_way_too(stand: Stand) -> None:
    stand.slot.reader = reader = InstantReader()
    await stand.run(OpenCard(3))
    stand.slot.guard = watch = Watch()
    assert stand.slot.transmit_now(FORBIDDEN) == BLOCKED
    assert stand.slot.transmit_now(TPDU) == b"\x90\x00"
    reader.is_instant = False
    assert stand.slot.transmit_now(TPDU) is None
    reader.is_instant = True
    assert await stand.run(Transmit(3, TPDU)) == ("response", 3, b"\x90\x00")
    assert [entry[0] for entry in watch.log] == ["asked", "asked", "told", "asked", "told"]
    await stand.run(CloseCard(3))


async def test_guard_hears_of_answers_that_are_called_back(stand: Stand) -> None:
    stand.slot.reader = reader = CallbackReader()
    await stand.run(OpenCard(3))
    stand.slot.guard = watch = Watch()
    stand.slot.transmit(TPDU)
    reader.done(b"\x61\x02")
    assert watch.log == [("asked", TPDU), ("told", TPDU, b"\x61\x02")]
    await stand.run(CloseCard(3))


async def test_number_is_read_between_power_up_and_power_off(stand: Stand) -> None:
    source = SimSource(slots=1)
    (name,) = await source.names()
    stand.slot.reader = reader = source.reader(name)
    digits = load_profile("default").identity.iccid_digits
    assert await stand.run(ReadNumber(3)) == ("number", 3, digits, "")
    with pytest.raises(CardMuteError, match="no power"):
        await reader.transmit(TPDU)
    # Nothing of it is seen from outside: no session, no time of a command, no guard.
    assert stand.events.times == []
    assert not answers_at_once(stand)
    assert await stand.run(Transmit(3, TPDU)) == ("failed", 3, ReaderUnavailableError)


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


async def test_guard_that_comes_while_a_command_runs_hears_of_its_answer(stand: Stand) -> None:
    stand.slot.reader = reader = CallbackReader()
    await stand.run(OpenCard(3))
    stand.slot.guard = Watch()
    stand.slot.transmit(FORBIDDEN)
    stand.slot.guard = None
    stand.slot.transmit(TPDU)
    stand.slot.guard = watch = Watch()
    reader.done(b"\x61\x02")
    # Not of the command that another guard let pass, or did not, before.
    assert watch.log == [("told", TPDU, b"\x61\x02")]
    await stand.run(CloseCard(3))


async def test_command_that_one_guard_let_pass_opens_no_way_round_the_next(stand: Stand) -> None:
    stand.slot.reader = reader = InstantReader()
    await stand.run(OpenCard(3))
    stand.slot.guard = Watch()
    reader.is_instant = False
    assert stand.slot.transmit_now(TPDU) is None
    reader.is_instant = True
    stand.slot.guard = None
    await stand.run(Transmit(3, TPDU))
    stand.slot.guard = Watch()
    assert await stand.run(Transmit(3, FORBIDDEN)) == ("response", 3, BLOCKED)
    await stand.run(CloseCard(3))

# SPDX-License-Identifier: Apache-2.0
"""An emulator that a program drives."""

import asyncio

import pytest

from remsim.emulators.driven import CardChange, DrivenEmulator, ExchangeError, NoCardError, NotSentError, make_driven
from tests.doubles.modem_side import ATR, CardAbove, with_card

READ = bytes.fromhex("00b0000002")
OK = b"\x90\x00"


async def test_exchange_returns_the_answer_and_its_duration() -> None:
    emulator, above = await with_card(lambda _tpdu: OK)
    assert await emulator.exchange(READ) == OK
    assert above.tpdus == [READ]
    assert emulator.last_duration_s > 0


async def test_exchanges_wait_for_their_turn() -> None:
    emulator, above = await with_card(lambda _tpdu: None)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(emulator.exchange(b"first"))
        second = group.create_task(emulator.exchange(b"second"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert above.tpdus == [b"first"]
        above.respond(b"1")
        await first
        await asyncio.sleep(0)
        above.respond(b"2")
    assert (first.result(), second.result()) == (b"1", b"2")


async def test_abort_fails_the_exchange() -> None:
    emulator, above = await with_card(lambda _tpdu: None)
    above.card = lambda _tpdu: above.abort("the card is gone")
    with pytest.raises(ExchangeError, match="no answer: the card is gone"):
        await emulator.exchange(READ)


async def test_answer_to_an_abandoned_exchange_goes_to_nobody_else() -> None:
    emulator, above = await with_card(lambda _tpdu: None)
    abandoned = asyncio.timeout(0)
    with pytest.raises(TimeoutError):
        async with abandoned:
            await emulator.exchange(b"abandoned")

    late = above.number

    def late_then_right(_tpdu: bytes) -> bytes:
        emulator.respond(late, b"late")
        return b"right"

    above.card = late_then_right
    assert await emulator.exchange(READ) == b"right"


async def test_answer_that_nobody_waits_for_is_dropped() -> None:
    emulator, above = await with_card(lambda _tpdu: OK)
    assert await emulator.exchange(READ) == OK
    above.respond(OK)
    above.abort("late")
    assert await emulator.exchange(READ) == OK


async def test_resets_are_full_cycles() -> None:
    emulator, above = await with_card(lambda _tpdu: OK)
    await emulator.cold_reset()
    await emulator.warm_reset()
    assert [(lines.reset_active, lines.vcc_present, lines.clk_active) for lines in above.lines] == [
        (True, False, False),
        (False, True, True),
        (True, True, True),
        (False, True, True),
    ]


async def test_card_changes_are_told() -> None:
    emulator, above = await with_card(lambda _tpdu: OK)
    told: list[CardChange] = []
    emulator.on_card = told.append
    emulator.set_atr(b"\x3b\x00")
    emulator.remove_card()
    emulator.remove_card()
    emulator.set_atr(ATR)
    above.insert()
    emulator.select_sim(remote=True)
    emulator.reset_modem()
    assert told == [CardChange(b"\x3b\x00"), CardChange(None), CardChange(ATR)]
    assert await emulator.wait_card(1.0) == ATR


async def test_waiting_for_a_card_ends() -> None:
    emulator = DrivenEmulator()
    with pytest.raises(NoCardError, match=r"no card within 0\.01 s") as caught:
        await emulator.wait_card(0.01)
    assert caught.value.exit_status == 3
    assert "mapped" in caught.value.hint


async def test_waiting_for_a_card_ends_when_none_will_come_and_a_card_is_hope_again() -> None:
    emulator = DrivenEmulator()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_no_card(emulator))
        await asyncio.sleep(0)
        emulator.give_up_card()
    assert waiting.result() == "no card will come"
    emulator.set_atr(ATR)
    emulator.insert_card()
    assert await emulator.wait_card(60.0) == ATR
    emulator.give_up_card()
    emulator.remove_card()
    with pytest.raises(NoCardError, match=r"no card within 0\.01 s"):
        await emulator.wait_card(0.01)


async def _no_card(emulator: DrivenEmulator) -> str:
    with pytest.raises(NoCardError) as caught:
        await emulator.wait_card(60.0)
    return str(caught.value)


async def test_stop_fails_what_is_in_progress_and_what_comes() -> None:
    emulator, _above = await with_card(lambda _tpdu: None)
    async with asyncio.TaskGroup() as group:
        exchange = group.create_task(_outcome(emulator))
        await asyncio.sleep(0)
        await emulator.stop()
    assert exchange.result() == "no answer: the client is stopping"
    assert await _outcome(emulator) == "the client is stopping"
    await emulator.cold_reset()
    await emulator.stop()


async def _outcome(emulator: DrivenEmulator) -> str:
    try:
        return (await emulator.exchange(READ)).hex()
    except ExchangeError as error:
        return str(error)


def test_factory_needs_no_settings() -> None:
    emulator = make_driven({})
    assert isinstance(emulator, DrivenEmulator)
    assert isinstance(CardAbove(emulator, lambda _tpdu: OK), CardAbove)


async def test_command_that_waits_for_its_turn_never_reaches_the_next_card() -> None:
    """A PIN would be tried on the wrong card."""
    emulator, above = await with_card(lambda _tpdu: None)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(_outcome(emulator))
        second = group.create_task(_outcome(emulator))
        await asyncio.sleep(0)
        emulator.remove_card()
        above.abort("the card is gone")
        above.insert()
    assert first.result() == "no answer: the card is gone"
    assert second.result() == "not sent: the card has changed"
    assert above.tpdus == [READ]


async def test_without_a_card_a_command_is_refused_at_once() -> None:
    emulator, above = await with_card(lambda _tpdu: OK)
    emulator.remove_card()
    with pytest.raises(NotSentError, match=r"^no card$"):
        await emulator.exchange(READ)
    assert above.tpdus == []


async def test_same_atr_again_is_no_other_card() -> None:
    emulator, _above = await with_card(lambda _tpdu: OK)
    number, told = emulator.card_number, list[CardChange]()
    emulator.on_card = told.append
    emulator.set_atr(ATR)
    assert (emulator.card_number, told) == (number, [])
    assert await emulator.exchange(READ, card_number=number) == OK
    emulator.set_atr(b"\x3b\x00")
    with pytest.raises(NotSentError, match="not sent: the card has changed"):
        await emulator.exchange(READ, card_number=number)

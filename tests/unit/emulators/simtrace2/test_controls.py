# SPDX-License-Identifier: Apache-2.0
"""What is configured on which board, and what is done again for a device that comes back."""

import pytest

from remsim.emulators.simtrace2.actions import Action, Fact, FactKind, SendBulk
from remsim.emulators.simtrace2.boards import BOARDS
from remsim.emulators.simtrace2.controls import CardControls
from remsim.emulators.simtrace2.header import Message
from remsim.emulators.simtrace2.messages import (
    BoardSetAtr,
    CardInsert,
    Config,
    LineAction,
    LineFlag,
    ModemReset,
    SimSelect,
    Status,
    StatusRequest,
)

SIMTRACE, QMOD, OWHW, OCTSIM = (BOARDS[product] for product in (0x60E3, 0x4004, 0x4001, 0x616D))
ATR, OTHER = b"\x3b\x00", bytes.fromhex("3b021450")
PULSE = ModemReset(LineAction.PULSE, 300)


def controls(board: object = SIMTRACE, mux_slot: int | None = None, high: bool | None = None) -> CardControls:
    assert hasattr(board, "product_id")
    return CardControls(BOARDS[board.product_id], mux_slot=mux_slot, is_presence_high=high)


def messages(actions: list[Action]) -> list[Message]:
    return [action.message for action in actions if isinstance(action, SendBulk)]


class TestConfig:
    @pytest.mark.parametrize(("high", "polarity"), [(None, 0x00), (False, 0x02), (True, 0x03)])
    def test_polarity_is_stated_where_it_is_known(self, high: bool | None, polarity: int) -> None:
        first = controls(high=high).first_config()
        assert first == Config(1, 0, polarity)
        assert controls(high=high).next_config(Config(1, 0, 3)) is None

    def test_multiplexer_is_not_moved_by_a_zero(self) -> None:
        assert controls(OCTSIM).first_config() == Config(1)
        assert controls(OCTSIM).next_config(Config(1, 5, 3)) is None

    def test_polarity_keeps_the_multiplexer_where_the_device_says_it_is(self) -> None:
        wanted = controls(OCTSIM, high=False)
        assert wanted.first_config() == Config(1)
        assert wanted.next_config(Config(1, 5, 3)) == Config(1, 5, 2)
        assert wanted.next_config(Config(1, 5, 2)) is None

    def test_chosen_multiplexer_slot_is_set(self) -> None:
        assert controls(OCTSIM, mux_slot=7).first_config() == Config(1, 7, 0)
        assert controls(OCTSIM, mux_slot=0).next_config(Config(1, 0, 3)) is None


class TestAtr:
    @pytest.mark.parametrize("atr", [b"", bytes(34)])
    def test_impossible_atr_is_refused(self, atr: bytes) -> None:
        actions, is_away = controls().set_atr(atr, is_ready=True)
        assert [action.kind for action in actions if isinstance(action, Fact)] == [FactKind.ATR_REFUSED]
        assert not messages(actions)
        assert not is_away

    def test_first_and_same_atr_cause_no_reset(self) -> None:
        wanted = controls(QMOD)
        assert messages(wanted.set_atr(ATR, is_ready=True)[0]) == [BoardSetAtr(ATR)]
        wanted.insert(is_on=True)
        # The device may be sending it at this moment, and would go on with the beginning of the new one.
        assert wanted.set_atr(ATR, is_ready=True) == ([], False)

    def test_atr_for_a_device_that_is_not_ready_is_kept_for_it(self) -> None:
        wanted = controls(QMOD)
        assert wanted.set_atr(ATR, is_ready=False) == ([], False)
        assert messages(wanted.set_atr(ATR, is_ready=True)[0]) == [BoardSetAtr(ATR)]

    def test_other_atr_causes_a_reset_as_the_board_can(self) -> None:
        for board, expected, away in (
            (QMOD, [BoardSetAtr(OTHER), PULSE], False),
            (OWHW, [BoardSetAtr(OTHER), CardInsert(is_on=False)], True),
            (SIMTRACE, [BoardSetAtr(OTHER)], False),
        ):
            wanted = controls(board)
            wanted.set_atr(ATR, is_ready=True)
            wanted.insert(is_on=True)
            actions, is_away = wanted.set_atr(OTHER, is_ready=True)
            assert messages(actions) == expected
            assert is_away is away
            needs_hand = [action.kind for action in actions if isinstance(action, Fact)]
            assert needs_hand == ([FactKind.RESET_NEEDED] if board is SIMTRACE else [])
            assert messages(wanted.reinsert()) == [CardInsert(is_on=True)]


class TestResume:
    def test_wishes_are_done_again_atr_before_select_before_insert(self) -> None:
        wanted = controls()
        wanted.select(is_remote=True)
        assert messages(wanted.resume(is_enabled=False)) == [SimSelect(is_on=True), StatusRequest()]
        wanted.set_atr(ATR, is_ready=True)
        wanted.insert(is_on=True)
        expected = [BoardSetAtr(ATR), SimSelect(is_on=True), StatusRequest(), CardInsert(is_on=True), PULSE]
        # A device that comes back may have lost everything, so it is told again each time.
        for _ in range(2):
            assert messages(wanted.resume(is_enabled=True)) == expected

    def test_device_that_a_dead_host_left_playing_a_card_is_stopped(self) -> None:
        actions = controls().resume(is_enabled=True)
        assert messages(actions) == [CardInsert(is_on=False), SimSelect(is_on=False)]
        assert isinstance(actions[0], Fact)
        assert controls().resume(is_enabled=False) == []


def test_voltage_is_scaled_where_it_is_measured() -> None:
    seen = Status(LineFlag.VCC, 1830, 1, 1, 10, 9600)
    assert controls().millivolt(seen) == 0
    assert controls(QMOD).millivolt(seen) == 1830
    assert controls(OCTSIM).millivolt(seen) == 3000

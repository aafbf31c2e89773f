# SPDX-License-Identifier: Apache-2.0
"""What a SIMtrace2 slot shows the modem besides answers: ATR, card presence, local or remote SIM, the reset line.

Remembers what was wanted, so that a device that was unplugged or restarted itself can be brought back to it. Decides
nothing about commands.
"""

from typing import Final

from remsim.emulators.simtrace2.actions import Action, Fact, FactKind, SendBulk
from remsim.emulators.simtrace2.boards import Board
from remsim.emulators.simtrace2.messages import (
    MAX_ATR,
    POLARITY_HIGH,
    POLARITY_LOW,
    POLARITY_UNCHANGED,
    BoardSetAtr,
    CardInsert,
    Config,
    Feature,
    LineAction,
    ModemReset,
    SimSelect,
    Status,
    StatusRequest,
)

#: As long as the classic client pulses.
RESET_PULSE_MS: Final = 300


class CardControls:
    """The wishes for one slot."""

    reset_pulse_s: Final = RESET_PULSE_MS / 1000

    def __init__(self, board: Board, *, mux_slot: int | None, is_presence_high: bool | None) -> None:
        self._board = board
        self._mux_slot = mux_slot
        self._polarity = {None: POLARITY_UNCHANGED, True: POLARITY_HIGH, False: POLARITY_LOW}[is_presence_high]
        self._atr: bytes | None = None
        #: The ATR that the device has been given since it was configured.
        self._device_atr: bytes | None = None
        self._is_remote = False
        self._is_inserted = False

    def first_config(self) -> Config:
        """What to configure first."""
        if self._board.has_mux and self._mux_slot is None:
            # A zero would be a slot number, too: the multiplexer stays where it is.
            return Config(Feature.STATUS_IRQ)
        return Config(Feature.STATUS_IRQ, self._mux_slot or 0, self._polarity)

    def next_config(self, answer: Config) -> Config | None:
        """What to configure once the device has told what is in force, None if nothing is missing."""
        is_kept = self._board.has_mux and self._mux_slot is None and answer.mux_slot is not None
        if not is_kept or self._polarity in (POLARITY_UNCHANGED, answer.polarity):
            return None
        return Config(Feature.STATUS_IRQ, answer.mux_slot, self._polarity)

    def resume(self, *, is_enabled: bool) -> list[Action]:
        """Bring a device that was just configured to what is wanted. ``is_enabled``: it was left playing a card."""
        self._device_atr = None
        if self._is_remote:
            actions = [*self._give_atr(), *self.select(is_remote=True)]
            return [*actions, SendBulk(CardInsert(is_on=True)), *self.pulse()] if self._is_inserted else actions
        if is_enabled:
            # A host that died left its card in the modem, and nobody answers for it.
            return [Fact(FactKind.LEFT_ENABLED), *self.give_up()]
        return []

    def give_up(self) -> list[Action]:
        """No card, and the modem's own SIM."""
        return [SendBulk(CardInsert(is_on=False)), SendBulk(SimSelect(is_on=False))]

    def set_atr(self, atr: bytes, *, is_ready: bool) -> tuple[list[Action], bool]:
        """Return what to do, and whether the card was taken away to be inserted again with the new ATR.

        A device that is not ready is given the ATR by ``resume``.
        """
        if not 1 <= len(atr) <= MAX_ATR:
            return [Fact(FactKind.ATR_REFUSED, f"{len(atr)} bytes; 1 to {MAX_ATR} are possible", atr)], False
        is_other = self._is_inserted and self._atr not in (None, atr)
        self._atr = atr
        if not is_ready:
            return [], False
        actions = self._give_atr()
        if not is_other:
            return actions, False
        # The modem reads an ATR at resets only.
        if self._board.has_modem_reset:
            return [*actions, *self.pulse()], False
        if self._board.has_presence:
            return [*actions, SendBulk(CardInsert(is_on=False))], True
        return [*actions, Fact(FactKind.RESET_NEEDED, f"{self._board.name} has no line for it")], False

    def _give_atr(self) -> list[Action]:
        """SET_ATR, unless the device has this ATR: it may be sending it, and a powered modem would hear a mixture.

        For the same reason it comes before SIM_SELECT: a device that is connected to a powered modem answers at once.
        """
        if self._atr is None or self._atr == self._device_atr:
            return []
        self._device_atr = self._atr
        return [SendBulk(BoardSetAtr(self._atr))]

    def insert(self, *, is_on: bool) -> list[Action]:
        """Card there, or not. Sent to every board; those without a contact ignore it."""
        self._is_inserted = is_on
        return [SendBulk(CardInsert(is_on=is_on))]

    def reinsert(self) -> list[Action]:
        """The card comes back."""
        return [SendBulk(CardInsert(is_on=self._is_inserted))]

    def select(self, *, is_remote: bool) -> list[Action]:
        """Remote or local SIM. The device may say nothing about lines that were high before: ask."""
        self._is_remote = is_remote
        return [SendBulk(SimSelect(is_on=is_remote)), SendBulk(StatusRequest())]

    def pulse(self) -> list[Action]:
        """Pulse the modem's reset line. Sent to every board; those without one ignore it."""
        return [SendBulk(ModemReset(LineAction.PULSE, RESET_PULSE_MS))]

    def hold(self, *, is_held: bool) -> list[Action]:
        """Drive the modem's reset line until further notice."""
        return [SendBulk(ModemReset(LineAction.ASSERT if is_held else LineAction.RELEASE))]

    def millivolt(self, status: Status) -> int:
        """VCC, 0 where the board does not measure it."""
        scale = self._board.voltage_scale
        return 0 if scale is None else round(status.millivolt * scale)

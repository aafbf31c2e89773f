# SPDX-License-Identifier: Apache-2.0
"""VERIFY, CHANGE, DISABLE, ENABLE and UNBLOCK PIN (ETSI TS 102 221, clauses 11.1.9 to 11.1.13)."""

from typing import Final

from remsim.card.status import SW_WRONG_DATA, SW_WRONG_LENGTH, SW_WRONG_P1_P2
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.errors import RefusedError
from remsim.uicc.session import Answer, Channel, UiccSession

_PIN_LENGTH: Final = 8
_MIN_DIGITS: Final = 4


def _pins_in(command: CommandTpdu, count: int) -> list[bytes]:
    if command.p1:
        raise RefusedError(SW_WRONG_P1_P2)
    if len(command.data) != count * _PIN_LENGTH:
        raise RefusedError(SW_WRONG_LENGTH)
    return [command.data[start : start + _PIN_LENGTH] for start in range(0, len(command.data), _PIN_LENGTH)]


def _new_pin(pin: bytes) -> bytes:
    """Clause 9.5.1: four to eight digits, filled with FF; a PIN set to anything else could never be typed."""
    digits = pin.rstrip(b"\xff")
    if len(digits) < _MIN_DIGITS or not digits.isdigit():
        raise RefusedError(SW_WRONG_DATA)
    return pin


def verify(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """VERIFY PIN; without data it asks for the tries left."""
    if not command.data and not command.p1:
        return b"", session.pins.tries(command.p2)
    (pin,) = _pins_in(command, 1)
    return b"", session.pins.verify(command.p2, pin)


def change(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """CHANGE PIN."""
    old, new = _pins_in(command, 2)
    return b"", session.pins.change(command.p2, old, _new_pin(new))


def disable(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """DISABLE PIN; replacement by a universal PIN (P1 = 80) is not offered."""
    (pin,) = _pins_in(command, 1)
    return b"", session.pins.set_enabled(command.p2, pin, is_enabled=False)


def enable(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """ENABLE PIN."""
    (pin,) = _pins_in(command, 1)
    return b"", session.pins.set_enabled(command.p2, pin, is_enabled=True)


def unblock(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """UNBLOCK PIN; without data it asks for the tries left."""
    if not command.data and not command.p1:
        return b"", session.pins.puk_tries(command.p2)
    puk, new = _pins_in(command, 2)
    return b"", session.pins.unblock(command.p2, puk, _new_pin(new))

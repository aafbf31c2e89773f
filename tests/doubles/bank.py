# SPDX-License-Identifier: Apache-2.0
"""A bank's coordinator with stand-in cards that act at once: what surrounds it in tests without I/O."""

from collections.abc import Callable
from dataclasses import dataclass, field

from remsim.bankd.actions import (
    BankdAction,
    CloseCard,
    FaultKind,
    Notice,
    OpenCard,
    ResetCard,
    ResetKind,
    TraceAtr,
    TraceTpdu,
    Transmit,
)
from remsim.bankd.coordinator import BankdCoordinator
from remsim.trace import AtrRecord, TpduRecord, encode_gsmtap
from remsim.wire.rspro import ComponentIdentity, ComponentType

BANKD = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "remsim-bankd", "0")


def stub_atr(slot_nr: int) -> bytes:
    """The ATR that the stand-in library of the recordings gives in reader ``slot_nr``."""
    body = bytes.fromhex("9f96801fc78031a073be211367432007180000") + bytes((slot_nr,))
    check = 0
    for octet in body:
        check ^= octet
    return b"\x3b" + body + bytes((check,))


def stub_response(tpdu: bytes) -> bytes | None:
    """How that library answers; None is a PC/SC error. (Session 31's virtual card agrees, and adds 84 and ca.)"""
    instruction, length = tpdu[1], tpdu[4] or 256
    if instruction == 0xA4:
        return b"\x9f\x17"
    if instruction in (0xB0, 0xC0, 0x84):
        return bytes((tpdu[3] + n) & 0xFF for n in range(length)) + b"\x90\x00"
    if instruction == 0xFE:
        return None
    return b"\x6d\x00" if instruction == 0xCA else b"\x90\x00"


@dataclass
class StubCards:
    """Carries out what the coordinator asks of cards, immediately."""

    coordinator: BankdCoordinator
    respond: Callable[[bytes], bytes | None] = stub_response
    atr: Callable[[int], bytes] = stub_atr
    #: What happened, for assertions: (slot number, what).
    log: list[tuple[int, str]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)
    #: Slots whose card cannot be powered.
    faults: dict[int, FaultKind] = field(default_factory=dict)
    resets: int = 0

    def perform(self, action: BankdAction, now: float) -> list[BankdAction]:
        """The coordinator's reaction to the outcome of ``action``."""
        match action:
            case OpenCard(slot_nr):
                self.log.append((slot_nr, "open"))
                if slot_nr in self.faults:
                    return self.coordinator.on_card_failed(slot_nr, self.faults[slot_nr], "stub", now)
                return self.coordinator.on_card_opened(slot_nr, self.atr(slot_nr), now)
            case Transmit(slot_nr, tpdu):
                self.log.append((slot_nr, f"transmit {tpdu.hex()}"))
                response = self.respond(tpdu)
                if response is None:
                    return self.coordinator.on_card_failed(slot_nr, FaultKind.TRANSMISSION, "stub", now)
                return self.coordinator.on_card_response(slot_nr, response, now)
            case ResetCard(slot_nr, kind):
                self.resets += 1
                self.log.append((slot_nr, "cold" if kind is ResetKind.COLD else "warm"))
                return self.coordinator.on_card_reset(slot_nr, self.atr(slot_nr), now)
            case CloseCard(slot_nr):
                self.log.append((slot_nr, "close"))
                return self.coordinator.on_card_closed(slot_nr, now)
            case Notice():
                self.notices.append(action)
            case TraceAtr(slot_nr, atr):
                self.datagrams.append(encode_gsmtap(AtrRecord(slot_nr, atr)))
            case TraceTpdu(slot_nr, tpdu, response):
                self.datagrams.append(encode_gsmtap(TpduRecord(slot_nr, tpdu, response)))
        return []

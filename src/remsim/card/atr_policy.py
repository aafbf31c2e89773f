# SPDX-License-Identifier: Apache-2.0
"""Which ATR a modem is shown: the card's own, a fixed one, or the card's with changes that keep the modem in bounds.

A modem asks for the speed that TA1 offers and for a protocol that a TDi names (ISO/IEC 7816-3, clauses 8.3 and 9), and
card-emulation hardware grants whatever is asked. So what must not be asked for must not be offered. Every change keeps
the ATR well-formed: T0, the TDi and TCK are computed anew. Readers deliver some with a wrong TCK or more bytes than
announced; a rule mends these, and without rules the modem is shown what the reader delivered.
"""

from dataclasses import field
from enum import Enum
from functools import reduce
from operator import xor
from typing import Final

from remsim.card.atr import DI, FI, MAX_ATR, Atr, mend_atr, parse_atr
from remsim.card.errors import AtrError
from remsim.core.values import dataclass

_TS_DIRECT: Final = 0x3B
_T15: Final = 15
_LETTERS: Final = "ABC"


class AtrPart(Enum):
    """What can be left out."""

    #: The historical bytes: what the card says about its application and operating system.
    HISTORICAL = "historical"
    #: All interface bytes: the modem uses T=0 at the initial speed and with default waiting times.
    INTERFACE = "interface"


@dataclass(slots=True)
class _Group:
    """TAi, TBi, TCi, and the protocol that TD(i-1) named before them; the first group has none."""

    protocol: int | None
    values: dict[str, int] = field(default_factory=dict)


def _read(atr: bytes) -> Atr:
    return parse_atr(mend_atr(atr))


def _groups(atr: Atr) -> list[_Group]:
    groups = [_Group(None)]
    while True:
        number = len(groups)
        groups[-1].values = {
            letter: atr.interface[f"T{letter}{number}"] for letter in _LETTERS if f"T{letter}{number}" in atr.interface
        }
        following = atr.interface.get(f"TD{number}")
        if following is None:
            return groups
        groups.append(_Group(following & 0x0F))


def _build(first: int, groups: list[_Group], historical: bytes) -> bytes:
    """Put an ATR together. ``first`` is TS. Raises AtrError if it becomes too long."""
    body = bytearray()
    for number, group in enumerate(groups):
        announced = sum(1 << _LETTERS.index(letter) for letter in group.values)
        announced |= 0x08 if number + 1 < len(groups) else 0
        body.append(announced << 4 | (len(historical) if group.protocol is None else group.protocol))
        body += bytes(group.values[letter] for letter in _LETTERS if letter in group.values)
    body += historical
    # Clause 8.2.5: TCK is there unless T=0 is the only protocol named.
    if any(group.protocol for group in groups):
        body.append(reduce(xor, body))
    if len(body) + 1 > MAX_ATR:
        raise AtrError(f"ATR would have {len(body) + 1} bytes; {MAX_ATR} are the most")
    return bytes((first, *body))


def cap_ta1(atr: bytes, highest: int) -> bytes:
    """Offer no faster transmission than TA1 = ``highest``. A slower or reserved one stays; 11 removes the offer.

    Raises AtrError if ``atr`` is none, or ``highest`` names a reserved value.
    """
    limit = _clocks(highest)
    if limit is None:
        raise AtrError(f"TA1 cannot be capped at the reserved value {highest:02X}")
    parsed = _read(atr)
    offered = _clocks(parsed.interface.get("TA1", 0x11))
    if offered is None or offered >= limit:
        return parsed.raw
    groups = _groups(parsed)
    if highest == 0x11:
        del groups[0].values["A"]
    else:
        groups[0].values["A"] = highest
    return _build(atr[0], groups, parsed.historical)


def _clocks(ta1: int) -> float | None:
    fi, di = FI[ta1 >> 4], DI[ta1 & 0x0F]
    return None if fi is None or di is None else fi / di


def offer_t0_only(atr: bytes) -> bytes:
    """Name no protocol but T=0, and no interface bytes of another; those for all protocols (T=15) stay.

    Raises AtrError if ``atr`` is none.
    """
    parsed = _read(atr)
    first, *rest = _groups(parsed)
    if not rest:
        return parsed.raw
    second = _Group(0, rest[0].values if rest[0].protocol != _T15 else {})
    # TA2 (clause 8.3) insists on one protocol; TB2 is for the programming voltage of long ago, TC2 for T=0.
    if second.values.get("A", 0) & 0x0F:
        del second.values["A"]
    shared = [group for group in rest if group.protocol == _T15]
    kept = [first, second, *shared] if second.values or shared else [first]
    return _build(atr[0], kept, parsed.historical)


def strip_atr(atr: bytes, parts: frozenset[AtrPart]) -> bytes:
    """Leave out the named parts. Raises AtrError if ``atr`` is none."""
    parsed = _read(atr)
    groups = [_Group(None)] if AtrPart.INTERFACE in parts else _groups(parsed)
    return _build(atr[0], groups, b"" if AtrPart.HISTORICAL in parts else parsed.historical)


def fit_for_emulation(atr: bytes) -> bytes:
    """What hardware can keep that speaks direct convention only, and changes its speed by PPS only.

    TS becomes 3B (TCK does not cover it, clause 8.2.5). TA2 goes: in specific mode the modem would take the speed of
    TA1 at once, without PPS (clause 8.3). Raises AtrError if ``atr`` is none.
    """
    parsed = _read(atr)
    groups = _groups(parsed)
    if len(groups) > 1:
        groups[1].values.pop("A", None)
    return _build(_TS_DIRECT, groups, parsed.historical)


@dataclass(frozen=True, slots=True)
class AtrPolicy:
    """What becomes of a card's ATR before the modem sees it. Without settings it stays as it is."""

    #: Shown instead of any other; the further rules do not touch it.
    fixed: bytes | None = None
    #: Highest speed to offer, as in TA1.
    cap_ta1: int | None = None
    is_t0_only: bool = False
    strip: frozenset[AtrPart] = frozenset()

    def __post_init__(self) -> None:
        """Raise AtrError at once for settings that could not work."""
        if self.fixed is not None:
            parse_atr(self.fixed)
        if self.cap_ta1 is not None and (not 0 <= self.cap_ta1 <= 0xFF or _clocks(self.cap_ta1) is None):
            raise AtrError(f"TA1 cannot be capped at {self.cap_ta1:02X}", hint="11 is the initial speed, 94 is usual")

    def apply(self, atr: bytes) -> bytes:
        """The ATR to show for a card with ``atr``. Raises AtrError if that is none and rules must be applied to it."""
        if self.fixed is not None:
            return self.fixed
        if self.strip:
            atr = strip_atr(atr, self.strip)
        if self.is_t0_only:
            atr = offer_t0_only(atr)
        return atr if self.cap_ta1 is None else cap_ta1(atr, self.cap_ta1)

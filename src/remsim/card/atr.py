# SPDX-License-Identifier: Apache-2.0
"""The answer to reset: what a card says about itself before the first command (ISO/IEC 7816-3, clause 8).

TS fixes the convention, T0 announces TA1..TD1 and the number of historical bytes; each TDi announces a further
group and names a protocol. TCK, the exclusive or of all bytes after TS, is there if any protocol but T=0 is named.
Readers, protocol switching and baud rates belong elsewhere.
"""

from functools import reduce
from operator import xor
from typing import Final, NamedTuple

from remsim.card.errors import AtrError
from remsim.core.values import dataclass

#: TS and at most 32 characters (clause 8.2.1).
MAX_ATR: Final = 33

#: Table 7: clock rate conversion integer by the high nibble of TA1; None is reserved.
FI: Final = (372, 372, 558, 744, 1116, 1488, 1860, None, None, 512, 768, 1024, 1536, 2048, None, None)
#: Table 8: baud rate adjustment integer by the low nibble of TA1; None is reserved.
DI: Final = (None, 1, 2, 4, 8, 16, 32, 64, 12, 20, None, None, None, None, None, None)

_CONVENTIONS: Final = {0x3B: "direct", 0x3F: "inverse"}
_LETTERS: Final = ("TA", "TB", "TC", "TD")


@dataclass(frozen=True, slots=True)
class Atr:
    """A checked ATR."""

    raw: bytes
    #: ``direct`` or ``inverse``; the bytes here are always in direct notation.
    convention: str
    #: Interface bytes by name, such as ``TA1``.
    interface: dict[str, int]
    historical: bytes
    #: Protocol numbers as offered, without T=15; T=0 where TD1 is absent.
    protocols: tuple[int, ...]

    @property
    def f_index(self) -> int:
        """High nibble of TA1."""
        return self.interface.get("TA1", 0x11) >> 4

    @property
    def d_index(self) -> int:
        """Low nibble of TA1."""
        return self.interface.get("TA1", 0x11) & 0x0F

    @property
    def fi(self) -> int | None:
        """Clock rate conversion integer, None if the card names a reserved one."""
        return FI[self.f_index]

    @property
    def di(self) -> int | None:
        """Baud rate adjustment integer, None if the card names a reserved one."""
        return DI[self.d_index]

    @property
    def specific_protocol(self) -> int | None:
        """The protocol that the card insists on (TA2, clause 8.3), or None in negotiable mode."""
        ta2 = self.interface.get("TA2")
        return None if ta2 is None else ta2 & 0x0F

    @property
    def has_t0(self) -> bool:
        """Whether TPDUs of T=0 can be exchanged with this card."""
        wanted = self.specific_protocol
        return 0 in self.protocols if wanted is None else wanted == 0

    def __str__(self) -> str:
        return self.raw.hex().upper()


def _take_interface(raw: bytes) -> tuple[dict[str, int], list[int], int]:
    """Return the interface bytes, the protocols of all TDi, and the position behind them."""
    interface: dict[str, int] = {}
    protocols: list[int] = []
    announced, position, group = raw[1] >> 4, 2, 1
    while announced:
        for bit, letter in enumerate(_LETTERS):
            if not announced & (1 << bit):
                continue
            if position >= len(raw):
                raise AtrError(f"ATR {raw.hex()} ends before its {letter}{group}")
            interface[f"{letter}{group}"] = raw[position]
            position += 1
        last = interface.get(f"TD{group}")
        if last is None:
            break
        protocols.append(last & 0x0F)
        announced = last >> 4
        group += 1
    return interface, protocols, position


def parse_atr(raw: bytes) -> Atr:
    """Read an ATR. Raises AtrError if it is cut short, too long, has bytes left over, or its TCK does not match."""
    if len(raw) > MAX_ATR:
        raise AtrError(f"ATR of {len(raw)} bytes; {MAX_ATR} are the most")
    found = _read_announced(raw)
    if len(raw) != found.end + found.has_tck:
        raise AtrError(f"ATR {raw.hex()} has {len(raw)} bytes instead of {found.end + found.has_tck}")
    if found.has_tck and reduce(xor, raw[1:]):
        raise AtrError(f"ATR {raw.hex()} fails its check byte TCK")
    offered = tuple(dict.fromkeys(protocol for protocol in found.protocols if protocol != 15)) or (0,)
    historical = bytes(raw[found.historical : found.end])
    return Atr(bytes(raw), _CONVENTIONS[raw[0]], found.interface, historical, offered)


def mend_atr(raw: bytes) -> bytes:
    """The ATR that a reader delivered with a wrong or no TCK, or with bytes behind its announced end; others as it is.

    For whatever must read an ATR to change it. Raises AtrError if it is cut short, or none at all.
    """
    found = _read_announced(raw)
    body = bytes(raw[: found.end])
    mended = body + bytes((reduce(xor, body[1:]),)) if found.has_tck else body
    if len(mended) > MAX_ATR:
        raise AtrError(f"ATR of {len(mended)} bytes; {MAX_ATR} are the most")
    return mended


class _Announced(NamedTuple):
    """What T0 and the TDi announce: where the historical bytes begin and end, and whether TCK follows."""

    interface: dict[str, int]
    protocols: list[int]
    historical: int
    end: int

    @property
    def has_tck(self) -> bool:
        """Clause 8.2.5: TCK is absent if T=0 is the only protocol named, present in all other cases."""
        return any(protocol != 0 for protocol in self.protocols)


def _read_announced(raw: bytes) -> _Announced:
    if len(raw) < 2:
        raise AtrError(f"ATR of {len(raw)} bytes; TS and T0 are the least")
    if raw[0] not in _CONVENTIONS:
        raise AtrError(f"ATR begins with TS {raw[0]:02X}; it is 3B or 3F")
    interface, protocols, position = _take_interface(raw)
    end = position + (raw[1] & 0x0F)
    if end > len(raw):
        raise AtrError(f"ATR {raw.hex()} announces {raw[1] & 0x0F} historical bytes and has {len(raw) - position}")
    return _Announced(interface, protocols, position, end)

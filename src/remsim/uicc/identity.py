# SPDX-License-Identifier: Apache-2.0
"""Whose card it is: IMSI, ICCID and number on the test network 001/01, and their codings in files.

Card ``n`` of a bank is derived from card 0 by adding ``n`` to the subscriber part, so that no two are alike.
"""

from dataclasses import replace
from typing import Final

from remsim.core.values import dataclass
from remsim.uicc.errors import ProfileError

_MAX_INDEX: Final = 9_999


@dataclass(frozen=True, slots=True)
class SubscriberIdentity:
    """Digits as text. ``iccid`` lacks its Luhn digit, which ``iccid_digits`` adds (ITU-T E.118)."""

    imsi: str = "001010000000001"
    iccid: str = "890010100000000001"
    msisdn: str = "0010100000001"

    def __post_init__(self) -> None:
        for what, digits, length in (("IMSI", self.imsi, 15), ("ICCID", self.iccid, 18)):
            if len(digits) != length or not _is_number(digits):
                raise ProfileError(f"{what} is not {length} digits")
        if not self.imsi.startswith("00101"):
            raise ProfileError("IMSI is not of the test network 001/01")
        if not 1 <= len(self.msisdn) <= 20 or not _is_number(self.msisdn):
            raise ProfileError("MSISDN is not 1 to 20 digits")

    def derive(self, index: int) -> "SubscriberIdentity":
        """The identity of card ``index`` (0..9999). Raises ProfileError outside."""
        if not 0 <= index <= _MAX_INDEX:
            raise ProfileError(f"card number {index} is outside 0..{_MAX_INDEX}")
        return replace(
            self,
            imsi=_add(self.imsi, index),
            iccid=_add(self.iccid, index),
            msisdn=_add(self.msisdn, index),
        )

    @property
    def iccid_digits(self) -> str:
        """All 19 digits of the ICCID."""
        return self.iccid + luhn_digit(self.iccid)

    def tokens(self) -> dict[str, bytes]:
        """Contents that a profile may name: ``{iccid}``, ``{imsi}``, ``{msisdn}``, ``{ki}`` excepted."""
        number = bcd(self.msisdn)
        return {
            # ETSI TS 102 221, clause 13.2: swapped nibbles, filled with F.
            "iccid": bcd(self.iccid_digits.ljust(20, "F")),
            # 3GPP TS 31.102, clause 4.2.2: length, then parity nibble 9 (odd number of digits) and the digits.
            "imsi": b"\x08" + bcd("9" + self.imsi),
            # 3GPP TS 31.102, clause 4.2.26: length of number and TON/NPI, TON/NPI, ten bytes, capability, extension.
            "msisdn": bytes((len(number) + 1, 0x91)) + number.ljust(10, b"\xff") + b"\xff\xff",
        }


def _is_number(digits: str) -> bool:
    return digits.isascii() and digits.isdecimal()


def bcd(digits: str) -> bytes:
    """Digits with nibbles swapped, an odd one filled up with F."""
    even = digits if len(digits) % 2 == 0 else digits + "F"
    return bytes(int(even[i + 1] + even[i], 16) for i in range(0, len(even), 2))


def luhn_digit(digits: str) -> str:
    """The check digit of ITU-T E.118 (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _add(digits: str, index: int) -> str:
    # The country and network digits stay: the subscriber part is wide enough for every index allowed.
    return str(int(digits) + index).zfill(len(digits))

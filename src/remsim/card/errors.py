# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with bytes that claim to be an ATR, an APDU, a TPDU, a PPS or a TLV.

::

    CardDataError
    ├── AtrError
    ├── ApduError      a command or response APDU of impossible length
    ├── TpduError      a T=0 command that is not header, or header and P3 bytes
    ├── PpsError
    ├── ApduCaseError  a header that is none, or an override that cannot be read
    └── TlvError
"""

from remsim.core.errors import RemsimError


class CardDataError(RemsimError, ValueError):
    """Base of this branch."""


class AtrError(CardDataError):
    """Not an answer to reset as ISO/IEC 7816-3, clause 8, describes it."""


class ApduError(CardDataError):
    """Not a short command or response APDU (ISO/IEC 7816-3, clause 12)."""


class TpduError(CardDataError):
    """Not a T=0 command TPDU (ISO/IEC 7816-3, clause 10.3)."""


class PpsError(CardDataError):
    """Not a protocol and parameters selection (ISO/IEC 7816-3, clause 9)."""


class ApduCaseError(CardDataError):
    """Not a command header of five bytes, or not an override of the direction tables."""


class TlvError(CardDataError):
    """Not BER-TLV (ISO/IEC 8825-1; tags of at most three bytes as ETSI TS 101 220 uses them)."""

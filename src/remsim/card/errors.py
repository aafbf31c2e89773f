# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with bytes that claim to be an ATR, an APDU, a TPDU or a TLV.

::

    CardDataError
    ├── AtrError
    ├── ApduError      a command or response APDU of impossible length
    ├── TpduError      a T=0 command that is not header, or header and P3 bytes
    └── TlvError
"""

from remsim.errors import RemsimError


class CardDataError(RemsimError, ValueError):
    """Base of this branch."""


class AtrError(CardDataError):
    """Not an answer to reset as ISO/IEC 7816-3, clause 8, describes it."""


class ApduError(CardDataError):
    """Not a short command or response APDU (ISO/IEC 7816-3, clause 12)."""


class TpduError(CardDataError):
    """Not a T=0 command TPDU (ISO/IEC 7816-3, clause 10.3)."""


class TlvError(CardDataError):
    """Not BER-TLV (ISO/IEC 8825-1; tags of at most three bytes as ETSI TS 101 220 uses them)."""

# SPDX-License-Identifier: Apache-2.0
"""asn1tools, compiled from our own schema file: the codec that ours is held against.

It differs from ours where it cannot help it: it ignores bytes behind the PDU, loses the number of an unknown
enumeration value or alternative, checks ranges only when asked, and raises more than its own errors on some input.
``decode`` here makes up for that, so that "it accepts" means the same on both sides.
"""

from functools import cache
from typing import Any

import asn1tools
from asn1tools.compiler import Specification

from remsim.wire.messages.rspro import RsproPdu
from tests.doubles import notation
from tests.reference import ROOT

SCHEMA_FILE = ROOT / "src" / "remsim" / "wire" / "messages" / "rspro.asn"


@cache
def compiled() -> Specification:
    """The compiled schema."""
    return asn1tools.compile_files(str(SCHEMA_FILE), "ber")


@cache
def parsed() -> dict[str, Any]:
    """The types of the schema as the parser sees them."""
    found: dict[str, Any] = asn1tools.parse_files(str(SCHEMA_FILE))["RSPRO"]
    return found


def encode(pdu: RsproPdu) -> bytes:
    """DER of ``pdu``."""
    return compiled().encode("RsproPDU", notation.to_asn1tools(pdu), check_constraints=True)


def decode(raw: bytes) -> RsproPdu | None:
    """The PDU; None if the bytes are refused, or hold what asn1tools cannot represent."""
    try:
        value, used = compiled().decode_with_length("RsproPDU", raw, check_constraints=True)
        return notation.from_asn1tools(value) if used == len(raw) else None
    except (
        asn1tools.DecodeError,
        asn1tools.ConstraintsError,
        TypeError,
        ValueError,
        KeyError,
        IndexError,
        RecursionError,
        OverflowError,
    ):
        # KeyError: a number that no member has. The others are its known ways to fail on damaged input.
        return None

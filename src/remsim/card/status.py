# SPDX-License-Identifier: Apache-2.0
"""Status words as a table: their names for programs, their meaning for people.

Sources: ETSI TS 102 221, clause 10.2 (UICC); 3GPP TS 51.011, clause 9.4 (class A0, 94xx 98xx 9Fxx); 3GPP TS 31.102,
clause 7.3 (98xx of AUTHENTICATE); ISO/IEC 7816-4, clause 5.6.
"""

from enum import Enum
from typing import Final

SW_OK: Final = 0x9000
SW_PROACTIVE: Final = 0x9100
SW_MORE_DATA: Final = 0x6100
SW_GSM_RESPONSE: Final = 0x9F00
SW_CORRECT_LENGTH: Final = 0x6C00
SW_UNSUCCESSFUL_SEARCH: Final = 0x6282
SW_FILE_DEACTIVATED: Final = 0x6283
SW_MORE_DATA_AVAILABLE: Final = 0x62F1
SW_TRIES_LEFT: Final = 0x63C0
SW_MORE_DATA_EXPECTED: Final = 0x63F1
SW_WRONG_LENGTH: Final = 0x6700
SW_NO_CHANNEL: Final = 0x6881
SW_NO_SECURE_MESSAGING: Final = 0x6882
SW_WRONG_FILE_STRUCTURE: Final = 0x6981
SW_SECURITY_NOT_SATISFIED: Final = 0x6982
SW_METHOD_BLOCKED: Final = 0x6983
SW_DATA_INVALIDATED: Final = 0x6984
SW_CONDITIONS_NOT_SATISFIED: Final = 0x6985
SW_NO_EF_SELECTED: Final = 0x6986
SW_WRONG_DATA: Final = 0x6A80
SW_FUNCTION_NOT_SUPPORTED: Final = 0x6A81
SW_FILE_NOT_FOUND: Final = 0x6A82
SW_RECORD_NOT_FOUND: Final = 0x6A83
SW_NOT_ENOUGH_SPACE: Final = 0x6A84
SW_WRONG_P1_P2: Final = 0x6A86
SW_DATA_NOT_FOUND: Final = 0x6A88
SW_WRONG_OFFSET: Final = 0x6B00
SW_INS_NOT_SUPPORTED: Final = 0x6D00
SW_CLA_NOT_SUPPORTED: Final = 0x6E00
SW_TECHNICAL_PROBLEM: Final = 0x6F00
SW_MAX_VALUE_REACHED: Final = 0x9850
SW_WRONG_MAC: Final = 0x9862
SW_GSM_NO_EF_SELECTED: Final = 0x9400
SW_GSM_OUT_OF_RANGE: Final = 0x9402
SW_GSM_NOT_FOUND: Final = 0x9404
SW_GSM_WRONG_FILE: Final = 0x9408
SW_GSM_NO_CHV: Final = 0x9802
SW_GSM_ACCESS_DENIED: Final = 0x9804
SW_GSM_CHV_CONTRADICTION: Final = 0x9808
SW_GSM_INVALIDATED: Final = 0x9810
SW_GSM_BLOCKED: Final = 0x9840


class SwKind(Enum):
    """What a status word means for the flow of commands."""

    OK = "ok"
    MORE = "more"  # data waits for GET RESPONSE
    LENGTH = "length"  # the same command again with P3 = SW2
    WARNING = "warning"
    ERROR = "error"


_EXACT: Final[dict[int, str]] = {
    0x6200: "no information given, memory unchanged",
    0x6281: "part of the returned data may be corrupted",
    0x6282: "end of file or record reached, or nothing found",
    0x6283: "selected file is deactivated",
    0x6285: "selected file is in termination state",
    0x62F1: "more data available",
    0x62F2: "more data available and a proactive command pending",
    0x62F3: "response data available",
    0x63F1: "more data expected",
    0x63F2: "more data expected and a proactive command pending",
    0x6400: "no information given, memory unchanged",
    0x6500: "no information given, memory changed",
    0x6581: "memory problem",
    0x6700: "wrong length",
    0x6800: "function of this class not supported",
    0x6881: "logical channel not supported",
    0x6882: "secure messaging not supported",
    0x6900: "command not allowed",
    0x6981: "command does not fit the file's structure",
    0x6982: "security status not satisfied",
    0x6983: "PIN or PUK blocked",
    0x6984: "referenced data invalidated",
    0x6985: "conditions of use not satisfied",
    0x6986: "no EF selected",
    0x6989: "secure channel: security not satisfied",
    0x6A80: "wrong parameters in the data field",
    0x6A81: "function not supported",
    0x6A82: "file not found",
    0x6A83: "record not found",
    0x6A84: "not enough memory",
    0x6A86: "wrong P1 or P2",
    0x6A87: "Lc does not fit P1 and P2",
    0x6A88: "referenced data not found",
    0x6B00: "wrong P1 or P2, or offset outside the file",
    0x6D00: "instruction not supported",
    0x6E00: "class not supported",
    0x6F00: "technical problem",
    0x9000: "ok",
    0x9300: "busy with the application toolkit",
    0x9400: "no EF selected",
    0x9402: "out of range",
    0x9404: "file or pattern not found",
    0x9408: "file does not fit the command",
    0x9802: "no CHV initialised",
    0x9804: "access condition not fulfilled, or CHV wrong",
    0x9808: "contradicts the CHV's status",
    0x9810: "contradicts the file's invalidation",
    0x9840: "CHV or UNBLOCK CHV blocked",
    0x9850: "increase impossible, maximum reached",
    0x9862: "authentication failed, wrong MAC",
    0x9863: "security session or association expired",
    0x9864: "authentication failed, minimum UE key length",
    0x9865: "authentication failed, key freshness",
}

#: By SW1, for status words whose SW2 is a number: text with the place for it.
_BY_SW1: Final[dict[int, str]] = {
    0x61: "ok, {n} bytes to fetch",
    0x67: "wrong length, {n} expected",
    0x6C: "wrong length, {n} expected",
    0x91: "ok, proactive command of {n} bytes pending",
    0x92: "ok after {n} internal retries",
    0x9E: "SIM data download error, {n} bytes to fetch",
    0x9F: "ok, {n} bytes to fetch",
}

_KINDS: Final[dict[int, SwKind]] = {
    0x61: SwKind.MORE,
    0x62: SwKind.WARNING,
    0x63: SwKind.WARNING,
    0x6C: SwKind.LENGTH,
    0x90: SwKind.OK,
    0x91: SwKind.OK,
    0x92: SwKind.OK,
    0x9F: SwKind.MORE,
}


def sw_kind(sw: int) -> SwKind:
    """Classify ``sw`` by its first byte; 9240 (memory problem) is an error among the 92xx."""
    if sw == 0x9240:
        return SwKind.ERROR
    return _KINDS.get(sw >> 8, SwKind.ERROR)


def describe_sw(sw: int) -> str:
    """The meaning of ``sw`` in a few words, without its number."""
    text = _EXACT.get(sw)
    if text is not None:
        return text
    if sw == 0x9240:
        return "memory problem"
    if sw & 0xFFF0 == SW_TRIES_LEFT:
        tries = sw & 0x0F
        return f"not verified, {tries} {'try' if tries == 1 else 'tries'} left"
    text = _BY_SW1.get(sw >> 8)
    if text is not None:
        number = sw & 0xFF
        # In a length, 00 stands for 256 (ISO/IEC 7816-3, clause 10.3.2).
        return text.format(n=number if sw >> 8 == 0x92 else number or 256)
    if sw_kind(sw) is SwKind.WARNING:
        return "warning"
    return "unknown error"

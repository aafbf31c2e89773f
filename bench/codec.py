# SPDX-License-Identifier: Apache-2.0
"""Encoding and decoding of messages: our codec next to asn1tools, compiled from the same schema, in the same run.

Both start from a finished message object and end with one. Noise of the machine hits both, so the ratio is the result;
each figure is the best of several short runs, taken in turns.
"""

import argparse
import timeit
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from bench import tables
from bench.frames import BANKD, CLIENT
from bench.tables import Cell
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.abilities import ABILITIES
from remsim.wire.messages import rspro
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.fast_codec import SessionCodec
from remsim.wire.messages.rspro import NO_FLAGS, Message, ResultCode, RsproPdu, TpduCardToModem, TpduModemToCard
from tests.doubles import asn1, notation

_CLIENT, _BANK = ClientSlot(7, 0), BankSlot(1, 3)
_TAG: Final = 4711

#: What is measured: the two messages of every exchange with a card in two sizes, and some of the others.
MESSAGES: Final[dict[str, Message]] = {
    "tpduModemToCard, 7 bytes": TpduModemToCard(_CLIENT, _BANK, NO_FLAGS, bytes.fromhex("00a40004023f00")),
    "tpduModemToCard, 260 bytes": TpduModemToCard(_CLIENT, _BANK, NO_FLAGS, bytes(260)),
    "tpduCardToModem, 2 bytes": TpduCardToModem(_BANK, _CLIENT, NO_FLAGS, bytes.fromhex("9000")),
    "tpduCardToModem, 258 bytes": TpduCardToModem(_BANK, _CLIENT, NO_FLAGS, bytes(258)),
    "setAtrReq": rspro.SetAtrReq(_CLIENT, bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")),
    "clientSlotStatusInd": rspro.ClientSlotStatusInd(
        _CLIENT,
        _BANK,
        rspro.SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True, card_present=True),
    ),
    "createMappingReq": rspro.CreateMappingReq(_CLIENT, _BANK),
    "createMappingRes": rspro.CreateMappingRes(ResultCode.OK),
    "configClientBankReq": rspro.ConfigClientBankReq(_BANK, rspro.IpPort(IPv4Address("192.0.2.1"), 9999)),
    "connectClientReq": rspro.ConnectClientReq(CLIENT.with_abilities(ABILITIES), _CLIENT),
    "connectBankReq": rspro.ConnectBankReq(BANKD, 1, 8),
}


def measure(seconds: float, rounds: int) -> list[dict[str, Cell]]:
    """A row for each message; ``seconds`` is the length of one run of one function."""
    return [_row(name, RsproPdu(_TAG, message), seconds, rounds) for name, message in MESSAGES.items()]


def _row(name: str, pdu: RsproPdu, seconds: float, rounds: int) -> dict[str, Cell]:
    raw, value, other = encode_pdu(pdu), notation.to_asn1tools(pdu), asn1.compiled()
    # Both do the same work: equal bytes, equal values.
    assert other.encode("RsproPDU", value) == raw
    assert other.decode("RsproPDU", raw) == value
    assert decode_pdu(raw) == pdu
    encode, decode, other_encode, other_decode = _best_us(
        [
            lambda: encode_pdu(pdu),
            lambda: decode_pdu(raw),
            lambda: other.encode("RsproPDU", value),
            lambda: other.decode("RsproPDU", raw),
        ],
        seconds,
        rounds,
    )
    return {
        "message": name,
        "raw": len(raw),
        "encode µs": encode,
        "decode µs": decode,
        "asn1tools encode µs": other_encode,
        "asn1tools decode µs": other_decode,
        "ratio": (other_encode + other_decode) / (encode + decode),
    }


def _best_us(functions: list[Callable[[], object]], seconds: float, rounds: int) -> list[float]:
    """Microseconds per call of each function: the best of ``rounds`` runs, in turns."""
    counts = []
    for function in functions:
        number, taken_s = timeit.Timer(function).autorange()
        counts.append(max(1, round(number * seconds / taken_s)))
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for index, (function, count) in enumerate(zip(functions, counts, strict=True)):
            best[index] = min(best[index], timeit.timeit(function, number=count) / count * 1e6)
    return best


def session_row(seconds: float, rounds: int) -> list[dict[str, Cell]]:
    """The bankd's codec of a session, which goes from bytes to bytes: one command in, one response out."""
    bank = SessionCodec(_CLIENT, _BANK, is_bank=True)
    command = SessionCodec(_CLIENT, _BANK, is_bank=False).encode(_TAG, bytes(7))
    encode, decode = _best_us([lambda: bank.encode(_TAG, b"\x90\0"), lambda: bank.decode(command)], seconds, rounds)
    return [{"session": "command of 7 bytes, response of 2", "encode µs": encode, "decode µs": decode}]


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench codec", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.1, help="length of one run of one function (default: 0.1)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each; the best counts (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    rows = measure(given.seconds, given.rounds)
    session = session_row(given.seconds, given.rounds)
    tables.show("One message; the ratio is asn1tools' encode + decode to ours", rows)
    tables.show("The codec of a session, with the frame around the message", session)
    tables.save(given.json, {"bench": "codec", "machine": tables.machine(), "rows": rows, "session": session})
    return 0

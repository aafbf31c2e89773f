# SPDX-License-Identifier: Apache-2.0
"""What a host sends to a SIMtrace2 device, read the device's way: recorded messages, and those of the emulator."""

from typing import Final

from remsim.emulators.simtrace2.header import Code, Message, UnknownBoardMessage, split_message
from remsim.emulators.simtrace2.info import BoardInfoRequest, ModemStatusRequest
from remsim.emulators.simtrace2.messages import (
    BoardSetAtr,
    CardInsert,
    Config,
    ModemReset,
    SimSelect,
    StatisticsRequest,
    StatusRequest,
    TxData,
)
from remsim.emulators.simtrace2.stream import PACKET_SIZE, OutTransfer

_CLASSES: Final[tuple[type[Message], ...]] = (
    TxData,
    BoardSetAtr,
    StatisticsRequest,
    StatusRequest,
    CardInsert,
    Config,
    ModemReset,
    SimSelect,
    BoardInfoRequest,
    ModemStatusRequest,
)
#: By code; some mean something else in what a device sends.
FROM_HOST: Final[dict[Code, type[Message]]] = {kind.CODE: kind for kind in _CLASSES}


def decode_from_host(raw: bytes) -> Message | UnknownBoardMessage:
    """Read one whole message of a host. Raises BoardFrameError."""
    code, payload = split_message(raw)
    kind = FROM_HOST.get(code)
    return UnknownBoardMessage(code, payload) if kind is None else kind.from_payload(payload)


def packets_sent(transfer: OutTransfer) -> list[bytes]:
    """What goes over the bus for one bulk OUT transfer."""
    cut = [transfer.data[at : at + PACKET_SIZE] for at in range(0, len(transfer.data), PACKET_SIZE)]
    return [*cut, b""] if transfer.has_zero_packet else cut

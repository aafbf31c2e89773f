# SPDX-License-Identifier: Apache-2.0
"""RSPRO frames for peers that only exist to measure others."""

from typing import Final

from remsim.wire import ipa
from remsim.wire.messages.codec import encode_pdu
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, Message, RsproPdu

CLIENT: Final = ComponentIdentity(ComponentType.REMSIM_CLIENT, "bench", "remsim-bench", "1")
SERVER: Final = ComponentIdentity(ComponentType.REMSIM_SERVER, "bench", "remsim-bench", "1")
BANKD: Final = ComponentIdentity(ComponentType.REMSIM_BANKD, "bench", "remsim-bench", "1")


def frame(message: Message, tag: int = 1) -> bytes:
    """The whole frame of one message."""
    return ipa.encode_rspro(encode_pdu(RsproPdu(tag, message)))

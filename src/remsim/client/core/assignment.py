# SPDX-License-Identifier: Apache-2.0
"""What the server has given a client slot. The coordinator writes it; session, server link and notices read it."""

from dataclasses import dataclass

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.messages.rspro import IpPort


@dataclass(slots=True)
class Assignment:
    """The slot's number, and where the card is that it is mapped to."""

    #: None: the server has still to say.
    client_slot: ClientSlot | None
    bank_slot: BankSlot | None = None
    #: Where the bankd listens; None if the slot is not mapped.
    bankd: IpPort | None = None


def address_text(address: IpPort) -> str:
    """``192.0.2.1:9999`` or ``[2001:db8::1]:9999``."""
    return f"[{address.ip}]:{address.port}" if address.ip.version == 6 else f"{address.ip}:{address.port}"

# SPDX-License-Identifier: Apache-2.0
"""Who a certificate says its holder is: a bank, a client (all its slots or one), or a server.

The name stands in the certificate as a URI, ``remsim://bank/1``, ``remsim://client/23``, ``remsim://client/23/0`` or
``remsim://server/lab``; people write it without the scheme. There is exactly one spelling of each identity, so that
two certificates with different texts never mean the same peer. Knows no certificate; see ``remsim.pki``.
"""

import re
from enum import Enum
from typing import Final, Self

from remsim.core.errors import RemsimError
from remsim.core.ids import BankSlot, ClientSlot, check_id
from remsim.core.values import dataclass

#: What the URI of every identity begins with.
SCHEME: Final = "remsim://"

_HINT: Final = "write bank/1, client/23, client/23/0 or server/NAME"
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
#: A server's name goes into file names and log lines.
_SERVER_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)


class IdentityError(RemsimError, ValueError):
    """A text that names no identity, or parts that make none."""

    exit_status = 2


class Role(Enum):
    """What the holder of an identity does in the system."""

    BANK = "bank"
    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity. Build it with ``bank``, ``client``, ``server`` or ``parse``.

    ``number`` is the bank or client id, None for a server; ``slot_nr`` limits a client to one slot; ``name`` is a
    server's. Raises IdentityError, or IdRangeError for a number outside 0..1023.
    """

    role: Role
    number: int | None = None
    slot_nr: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        is_server = self.role is Role.SERVER
        if is_server != (self.number is None) or is_server != bool(self.name):
            raise IdentityError(f"a {self.role.value} has {'a name' if is_server else 'a number'}", hint=_HINT)
        if self.slot_nr is not None and self.role is not Role.CLIENT:
            raise IdentityError("only a client can be limited to one slot", hint=_HINT)
        if is_server and _SERVER_NAME.fullmatch(self.name) is None:
            raise IdentityError(
                f"{self.name!r} is no name of a server", hint="use 1..63 letters, digits, dots, dashes or underscores"
            )
        if self.number is not None:
            check_id(self.number, f"{self.role.value} id")
        if self.slot_nr is not None:
            check_id(self.slot_nr, "client slot number")

    @classmethod
    def bank(cls, bank_id: int) -> Self:
        """The bankd of one bank."""
        return cls(Role.BANK, bank_id)

    @classmethod
    def client(cls, client_id: int, slot_nr: int | None = None) -> Self:
        """A client: with all its slots, or with one only."""
        return cls(Role.CLIENT, client_id, slot_nr)

    @classmethod
    def server(cls, name: str) -> Self:
        """A server."""
        return cls(Role.SERVER, name=name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``bank/1`` or ``remsim://bank/1`` and the like. Raises IdentityError or IdRangeError."""
        role, slash, rest = text.removeprefix(SCHEME).partition("/")
        if role == Role.SERVER.value and slash:
            return cls.server(rest)
        numbers = rest.split("/") if slash else []
        if all(_NUMBER.fullmatch(number) for number in numbers):
            if role == Role.BANK.value and len(numbers) == 1:
                return cls.bank(int(numbers[0]))
            if role == Role.CLIENT.value and len(numbers) in (1, 2):
                return cls.client(*(int(number) for number in numbers))
        raise IdentityError(f"{text!r} is no identity", hint=_HINT)

    def __str__(self) -> str:
        """``client/23/0``: what people read and write."""
        parts = [self.role.value, self.name if self.number is None else str(self.number)]
        if self.slot_nr is not None:
            parts.append(str(self.slot_nr))
        return "/".join(parts)

    @property
    def uri(self) -> str:
        """``remsim://client/23/0``: what stands in the certificate."""
        return f"{SCHEME}{self}"

    def covers(self, what: "BankSlot | ClientSlot | Identity") -> bool:
        """Whether the holder may speak for this bank slot, client slot or identity."""
        if isinstance(what, BankSlot):
            return self.covers_bank(what.bank_id)
        if isinstance(what, ClientSlot):
            return self._covers_client(what.client_id, what.slot_nr)
        if self.role is Role.CLIENT and what.role is Role.CLIENT and what.number is not None:
            return self._covers_client(what.number, what.slot_nr)
        return self == what

    def covers_bank(self, bank_id: int) -> bool:
        """Whether the holder is the bankd of this bank; any integer may be asked about."""
        return self.role is Role.BANK and self.number == bank_id

    def _covers_client(self, client_id: int, slot_nr: int | None) -> bool:
        is_this_client = self.role is Role.CLIENT and self.number == client_id
        return is_this_client and (self.slot_nr is None or self.slot_nr == slot_nr)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a peer has proven with a certificate: who it is, and by which certificate (its serial number)."""

    identity: Identity
    serial: int


__all__ = ["SCHEME", "Identity", "IdentityError", "Proof", "Role"]

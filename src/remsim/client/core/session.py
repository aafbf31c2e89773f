# SPDX-License-Identifier: Apache-2.0
"""What a client slot remembers of its links and of commands under way, and how it refuses what it cannot read."""

from dataclasses import dataclass, field

from remsim.wire.errors import DecodeError
from remsim.wire.link.actions import LinkId
from remsim.wire.messages import rspro
from remsim.wire.messages.revocation import ListParts
from remsim.wire.messages.rspro import ResultCode
from remsim.wire.messages.schema import ALTERNATIVES


@dataclass(slots=True)
class Link:
    """What is known of one of the two links."""

    id: LinkId
    is_accepted: bool = False
    #: The peer named abilities, so it is a program of ours.
    is_own: bool = False
    #: Our connect request was sent on it.
    is_introduced: bool = False
    #: A status was sent on it, so the bankd's idea of our lines is ours.
    has_shown_lines: bool = False
    #: Of the server's revocation list.
    list_parts: ListParts = field(default_factory=ListParts)


@dataclass(slots=True)
class Command:
    """A command that the bankd has and has not answered."""

    request: rspro.TpduModemToCard
    #: The modem was reset meanwhile and does not wait for the answer any more.
    is_void: bool = False


def refusal_of_undecodable(error: DecodeError) -> rspro.ConfigClientBankRes | rspro.ConfigClientIdRes | None:
    """The answer to a server's order that is out of range or malformed; None if it was something else.

    known-limits.md, 22 and 35: the server learns that the client did not obey.
    """
    if error.alternative is None or error.tag is None:
        return None
    kind = ALTERNATIVES[error.alternative].cls
    if kind is rspro.ConfigClientIdReq:
        return rspro.ConfigClientIdRes(_result(error, ResultCode.ILLEGAL_CLIENT_ID))
    if kind is rspro.ConfigClientBankReq:
        return rspro.ConfigClientBankRes(_result(error, ResultCode.ILLEGAL_BANK_ID))
    return None


def _result(error: DecodeError, otherwise: ResultCode) -> ResultCode:
    return ResultCode.ILLEGAL_SLOT_ID if error.field.endswith("slotNr") else otherwise

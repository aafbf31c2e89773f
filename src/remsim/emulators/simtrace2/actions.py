# SPDX-License-Identifier: Apache-2.0
"""What a SIMtrace2 slot asks of the I/O around it, and what it tells."""

from enum import Enum

from remsim.card.pps import Speed
from remsim.card.reset import ResetKind
from remsim.core.values import dataclass
from remsim.emulators.base import Lines
from remsim.emulators.simtrace2.header import Message
from remsim.emulators.simtrace2.messages import Status


@dataclass(frozen=True, slots=True)
class SendBulk:
    """One bulk OUT transfer. ``generation`` names the command that it belongs to, None for control messages."""

    message: Message
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class DropUnsent:
    """Cancel the OUT transfers of that command that the device has not taken yet."""

    generation: int


@dataclass(frozen=True, slots=True)
class ForwardTpdu:
    """A whole command for the card; ``generation`` goes with the answer. At most the newest one is waited for."""

    generation: int
    tpdu: bytes


@dataclass(frozen=True, slots=True)
class ShowLines:
    """The modem changed a line. ``reset`` is given when the card has come into operation."""

    lines: Lines
    reset: ResetKind | None
    millivolt: int


@dataclass(frozen=True, slots=True)
class ShowSpeed:
    """The speed in use. Not ``is_applied``: the device granted it and cannot follow (its divider has 11 bits)."""

    speed: Speed
    is_applied: bool


@dataclass(frozen=True, slots=True)
class BoardReady:
    """The device is configured, and everything that it says from now on is new."""

    status: Status


class FactKind(Enum):
    """What is worth a line in the log. The value is the event's name there."""

    STALE_DROPPED = "stale_message_dropped"
    NO_ANSWER = "device_does_not_answer"
    LEFT_ENABLED = "emulator_was_left_enabled"
    BAD_MESSAGE = "bad_message_from_device"
    UNEXPECTED_MESSAGE = "unexpected_message_from_device"
    BAD_HEADER = "bad_command_header"
    UNKNOWN_COMMAND = "unknown_command_refused"
    UNKNOWN_RECEIVED = "unknown_command_received"
    UNEXPECTED_DATA = "unexpected_command_data"
    WRONG_DATA_LENGTH = "command_data_of_wrong_length"
    COMMAND_REPLACED = "command_replaced_without_reset"
    COMMAND_CANCELLED = "command_cancelled"
    COMMAND_IN_DOUBT = "command_may_be_newer_than_reset"
    COMMAND_RESUMED = "command_was_newer_than_reset"
    LATE_ANSWER = "late_answer_suppressed"
    BAD_ANSWER = "answer_is_none"
    WRONG_ANSWER_LENGTH = "answer_of_wrong_length"
    NO_CARD_ANSWER = "command_without_answer"
    ATR_REFUSED = "atr_refused"
    RESET_NEEDED = "modem_must_be_reset_by_hand"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something to log. ``data`` is the header of a command or what came from the device, never more of a command."""

    kind: FactKind
    text: str = ""
    data: bytes = b""


Action = SendBulk | DropUnsent | ForwardTpdu | ShowLines | ShowSpeed | BoardReady | Fact

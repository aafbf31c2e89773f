# SPDX-License-Identifier: Apache-2.0
"""What is noted of one bank slot, from which its health is told: counts, faults, and how its card answers. No I/O."""

from typing import Final

from remsim.bankd.core.actions import FaultKind
from remsim.core.recent import RecentCount, RecentDurations
from remsim.wire.messages.health import CardErrorKind

#: First bytes of status words with which a card says that it cannot do what it is asked for (ETSI TS 102 221, 10.2.1):
#: memory problem, instruction or class not supported, technical problem. A modem meets one now and then; a card that
#: answers each command so is broken.
CANNOT: Final = frozenset({0x65, 0x6D, 0x6E, 0x6F})

_KINDS: Final = {
    FaultKind.NO_READER: CardErrorKind.NO_READER,
    FaultKind.BUSY: CardErrorKind.READER_BUSY,
    FaultKind.NO_CARD: CardErrorKind.NO_CARD,
    FaultKind.MUTE: CardErrorKind.MUTE,
    FaultKind.PROTOCOL: CardErrorKind.PROTOCOL,
    FaultKind.TRANSMISSION: CardErrorKind.TRANSMISSION,
}


class SlotRecord:
    """Counts and faults of one slot since the start of the program."""

    __slots__ = (
        "_before_busy",
        "atr",
        "card_times",
        "commands",
        "last_error",
        "last_error_at",
        "mutes",
        "other_errors",
        "presence_since",
        "recent_mutes",
        "recent_transmission_errors",
        "recoveries",
        "resets",
        "same_count",
        "same_since",
        "same_status",
        "transmission_errors",
    )

    def __init__(self) -> None:
        #: What the card took for its last commands.
        self.card_times = RecentDurations()
        #: What the card answered to reset last, also while it has no power; empty: it was not powered since it came.
        self.atr = b""
        self.commands = self.resets = self.recoveries = 0
        self.mutes = self.transmission_errors = self.other_errors = 0
        self.recent_mutes = RecentCount()
        self.recent_transmission_errors = RecentCount()
        self.last_error: CardErrorKind | None = None
        self.last_error_at = 0.0
        self._before_busy: tuple[CardErrorKind | None, float] = (None, 0.0)
        #: The status word of CANNOT with which the card answered the last ``same_count`` commands; and since when, None
        #: until somebody has looked.
        self.same_status = 0
        self.same_count = 0
        self.same_since: float | None = None
        #: Since when there is a card, or none; None: since the start.
        self.presence_since: float | None = None

    def on_answered(self, response: bytes) -> None:
        """The card has answered a command: data, SW1, SW2."""
        # Once for each command, so written out.
        self.commands += 1
        if response[-2] in CANNOT:
            status = response[-2] << 8 | response[-1]
            if status != self.same_status:
                self.same_status, self.same_count, self.same_since = status, 0, None
            self.same_count += 1
        elif self.same_count:
            self.forget_status()

    def on_fault(self, kind: FaultKind, now: float) -> None:
        """An operation of the card failed."""
        if self.last_error is not CardErrorKind.READER_BUSY:
            self._before_busy = self.last_error, self.last_error_at
        self.last_error, self.last_error_at = _KINDS[kind], now
        if kind is FaultKind.MUTE:
            self.mutes += 1
            self.recent_mutes.add(now)
        elif kind is FaultKind.TRANSMISSION:
            self.transmission_errors += 1
            self.recent_transmission_errors.add(now)
        else:
            self.other_errors += 1

    def on_opened(self, atr: bytes) -> None:
        """The card is powered."""
        self.atr = atr
        self.on_free()

    def on_free(self) -> None:
        """If another program had the reader, it has let go of it, which ends that trouble."""
        if self.last_error is CardErrorKind.READER_BUSY:
            self.last_error, self.last_error_at = self._before_busy

    def on_exchange(self, now: float) -> None:
        """A card came or went: how the one before answered says nothing of this one. What its contacts did, stays."""
        self.presence_since = now
        self.atr = b""
        self.forget_status()
        self.card_times.clear()

    def forget_status(self) -> None:
        """The card does what it is asked for."""
        self.same_status, self.same_count, self.same_since = 0, 0, None

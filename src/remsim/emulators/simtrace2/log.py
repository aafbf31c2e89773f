# SPDX-License-Identifier: Apache-2.0
"""What a SIMtrace2 slot has to tell, as lines of the log: without the bytes that pass, and not without end."""

from collections import Counter
from typing import Final

from remsim.card.apdu_case import Case, CaseOverride
from remsim.emulators.simtrace2.actions import Fact, FactKind
from remsim.logs import Logger

#: The same kind of trouble is a warning so often per connection to a device; then it is told at debug level.
MAX_WARNINGS: Final = 3
_HEADER: Final = 5
#: Facts about a whole command, of which the header is given.
_OF_COMMANDS: Final = frozenset(
    {
        FactKind.WRONG_DATA_LENGTH,
        FactKind.COMMAND_REPLACED,
        FactKind.COMMAND_CANCELLED,
        FactKind.COMMAND_IN_DOUBT,
        FactKind.COMMAND_RESUMED,
        FactKind.BAD_ANSWER,
        FactKind.WRONG_ANSWER_LENGTH,
        FactKind.NO_CARD_ANSWER,
    }
)

#: The others happen in ordinary operation.
_WARNINGS: Final = frozenset(
    {
        FactKind.NO_ANSWER,
        FactKind.LEFT_ENABLED,
        FactKind.BAD_MESSAGE,
        FactKind.UNEXPECTED_MESSAGE,
        FactKind.BAD_HEADER,
        FactKind.UNEXPECTED_DATA,
        FactKind.WRONG_DATA_LENGTH,
        FactKind.BAD_ANSWER,
        FactKind.WRONG_ANSWER_LENGTH,
        FactKind.ATR_REFUSED,
        FactKind.RESET_NEEDED,
    }
)

#: How many kinds of unknown commands get a line of their own; a modem that tries numbers would fill the log.
MAX_UNKNOWN_TOLD: Final = 32
UNKNOWN: Final = frozenset({FactKind.UNKNOWN_COMMAND, FactKind.UNKNOWN_RECEIVED})
#: What decides between the cases, for the person who adds the line.
_CASE_NOTE: Final = "3 if the modem sends P3 bytes of data, 2 if it waits for P3 bytes"


class UnknownCommands:
    """Which unknown commands have been told. Outlives a connection to a device: unplugging it makes them no newer."""

    def __init__(self) -> None:
        self._told: set[bytes] = set()

    def is_new(self, header: bytes) -> bool:
        """Whether this class and instruction is worth a line: the first time, and only so many."""
        kind = header[:2]
        if kind in self._told or len(self._told) >= MAX_UNKNOWN_TOLD:
            return False
        self._told.add(kind)
        return True

    @property
    def is_full(self) -> bool:
        """Whether further ones are counted without a line."""
        return len(self._told) >= MAX_UNKNOWN_TOLD


def setting_for(header: bytes) -> str:
    """The line of a configuration that makes a command known, as one that brings data."""
    return f'command_cases = ["{CaseOverride(header[0], 0xFF, header[1], Case.TO_CARD)}"]'


class SlotLog:
    """What one connection to a device has to tell."""

    def __init__(self, log: Logger, unknown: UnknownCommands | None = None) -> None:
        self._log = log
        self._unknown = UnknownCommands() if unknown is None else unknown
        self._told: Counter[str] = Counter()

    def tell(self, fact: Fact) -> None:
        """A fact from the state machine."""
        if fact.kind in UNKNOWN:
            self._tell_unknown(fact)
            return
        fields: dict[str, object] = {"detail": fact.text} if fact.text else {}
        if fact.kind in _OF_COMMANDS and len(fact.data) == _HEADER:
            fields["header"] = fact.data
        elif fact.kind is FactKind.ATR_REFUSED:
            fields["atr"] = fact.data
        elif fact.data:
            # Whatever else came may be the end of a command whose beginning was lost: a PIN.
            fields["bytes"] = len(fact.data)
        self.say(fact.kind.value, is_warning=fact.kind in _WARNINGS, **fields)

    def _tell_unknown(self, fact: Fact) -> None:
        if not self._unknown.is_new(fact.data):
            self._log.debug(fact.kind.value, header=fact.data)
            return
        self._log.warning(fact.kind.value, header=fact.data, add=setting_for(fact.data), case=_CASE_NOTE)
        if self._unknown.is_full:
            self._log.warning("further_unknown_commands_only_counted", metric="unknown_commands")

    def say(self, event: str, *, is_warning: bool, **fields: object) -> None:
        """One line."""
        self._told[event] += 1
        say = self._log.warning if is_warning and self._told[event] <= MAX_WARNINGS else self._log.debug
        say(event, **fields)

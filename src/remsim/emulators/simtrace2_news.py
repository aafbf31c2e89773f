# SPDX-License-Identifier: Apache-2.0
"""What a SIMtrace2 slot has to tell, as lines of the log: without the octets that pass, and not without end."""

from collections import Counter
from typing import Final

from remsim.emulators.simtrace2_actions import Fact, FactKind
from remsim.logs import Logger

#: The same kind of trouble is a warning so often per connection to a device; then it is told at debug level.
MAX_WARNINGS: Final = 3
_HEADER: Final = 5
#: Facts about a whole command, of which the header is given.
_OF_COMMANDS: Final = frozenset(
    {
        FactKind.UNKNOWN_COMMAND,
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


class SlotNews:
    """The news of one connection to a device."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._told: Counter[str] = Counter()

    def tell(self, fact: Fact) -> None:
        """A fact from the state machine."""
        fields: dict[str, object] = {"detail": fact.text} if fact.text else {}
        if fact.kind in _OF_COMMANDS and len(fact.data) == _HEADER:
            fields["header"] = fact.data
        elif fact.kind is FactKind.ATR_REFUSED:
            fields["atr"] = fact.data
        elif fact.data:
            # Whatever else came may be the end of a command whose beginning was lost: a PIN.
            fields["octets"] = len(fact.data)
        self.say(fact.kind.value, is_warning=fact.kind in _WARNINGS, **fields)

    def say(self, event: str, *, is_warning: bool, **fields: object) -> None:
        """One line."""
        self._told[event] += 1
        say = self._log.warning if is_warning and self._told[event] <= MAX_WARNINGS else self._log.debug
        say(event, **fields)

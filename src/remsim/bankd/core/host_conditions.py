# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the bank's host, as it was found last: for the log, once, and for a server that wants to know."""

from collections.abc import Sequence

from remsim.bankd.core.actions import BankdAction
from remsim.core.log_event import Level, LogEvent
from remsim.wire.messages.health import MAX_CODE, MAX_CONDITION, MAX_CONDITIONS, HostCondition, HostConditionsInd


class HostConditions:
    """What is wrong with the host, told when it begins and ends. ``out`` takes the lines for the log."""

    def __init__(self, out: list[BankdAction]) -> None:
        self._out = out
        #: The message that tells it; None: nobody has looked yet.
        self.message: HostConditionsInd | None = None

    @property
    def codes(self) -> frozenset[str]:
        """The names of all that is wrong."""
        return frozenset() if self.message is None else frozenset(one.code for one in self.message.conditions)

    def on_found(self, found: Sequence[HostCondition]) -> HostConditionsInd | None:
        """All that is wrong now. Returned if it is to be told.

        Errors come first; what is more than a message takes is not told.
        """
        known = self.codes
        plain = sorted((_plain(one) for one in found), key=lambda one: not one.is_error)
        message = HostConditionsInd(tuple(plain[:MAX_CONDITIONS]))
        if message == self.message:
            return None
        self.message = message
        said = set(known)
        for one in message.conditions:
            if one.code not in said:
                said.add(one.code)
                level: Level = "error" if one.is_error else "warning"
                self._out.append(LogEvent(level, "host_condition", fields={"code": one.code, "text": one.detail}))
        self._out += [LogEvent("info", "host_condition_over", fields={"code": code}) for code in known - self.codes]
        return message


def _plain(condition: HostCondition) -> HostCondition:
    """With printable ASCII, which the message can carry, and no more than that."""
    detail = "".join(c if " " <= c <= "~" else "?" for c in condition.detail)
    return HostCondition(condition.code[:MAX_CODE], condition.is_error, detail[:MAX_CONDITION] or "?")

# SPDX-License-Identifier: Apache-2.0
"""What a check is, which checks there are, and how they are run one after the other.

A check looks at one thing, takes a few seconds at most, changes nothing, and never raises: whatever it finds becomes a
``Finding`` with its mend. To add one, write a function like those in ``host`` and put it into ``CHECKS``.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, cast

from remsim.config import ClientRunConfig, ClientSlotConfig, HostPort
from remsim.core.installation import install_command
from remsim.logs import get_logger

#: A check that has not ended by then is given up.
DEADLINE_S: Final = 20.0


class CheckOutcome(Enum):
    """How bad it is."""

    OK = "ok"
    #: Worth knowing; the program works all the same.
    NOTE = "note"
    #: Something is wrong; the exit status tells.
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at. ``mend`` says what to do, with the command where there is one."""

    check: str
    outcome: CheckOutcome
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the client on this host is meant to do, as far as its configuration can be read."""

    server: HostPort
    slots: tuple[ClientSlotConfig, ...] = ()
    #: What was read, for people; empty if there is no file.
    source: str = ""
    #: Why the configuration cannot be used, and what to do.
    trouble: str = ""
    trouble_mend: str = ""

    @classmethod
    def of_run(cls, config: ClientRunConfig, source: str) -> "Situation":
        """What ``remsim client run`` would do."""
        return cls(config.server, config.slot, source)

    def slots_with(self, emulator: str) -> list[ClientSlotConfig]:
        """The slots whose card is played by this emulator."""
        return [slot for slot in self.slots if slot.emulator == emulator]


#: Looks at one thing.
Check = Callable[[Situation], Awaitable[Sequence[CheckResult]]]

#: Name to module and function, in the order in which a person would look.
CHECKS: Final[dict[str, tuple[str, str]]] = {
    "configuration": ("remsim.doctor.configuration", "check_configuration"),
    "clock": ("remsim.doctor.host", "check_clock"),
    "server": ("remsim.doctor.host", "check_server"),
    "usb": ("remsim.doctor.usb", "check_usb"),
    "vpcd": ("remsim.doctor.vpcd", "check_vpcd"),
}


async def examine(situation: Situation, checks: dict[str, tuple[str, str]] | None = None) -> AsyncIterator[CheckResult]:
    """Run all checks and yield what they find, as it is found."""
    for name, (module, attribute) in (CHECKS if checks is None else checks).items():
        for finding in await _run(name, module, attribute, situation):
            yield finding


async def _run(name: str, module: str, attribute: str, situation: Situation) -> Sequence[CheckResult]:
    try:
        check = cast(Check, getattr(importlib.import_module(module), attribute))
        async with asyncio.timeout(DEADLINE_S):
            return await check(situation)
    except TimeoutError:
        return [
            CheckResult(
                name, CheckOutcome.PROBLEM, f"not done within {DEADLINE_S:g} s", "try again; is the host overloaded?"
            )
        ]
    except ModuleNotFoundError as error:
        mend = f"install what brings it: {install_command('all')}"
        return [CheckResult(name, CheckOutcome.PROBLEM, f"{error.name} is not installed", mend)]
    except Exception as error:  # noqa: BLE001  # a check must not hide the findings of the others
        get_logger("doctor").error("check_crashed", check=name, exc_info=error)
        text = f"the check itself failed: {type(error).__name__}: {error}"
        return [CheckResult(name, CheckOutcome.PROBLEM, text, "please report it with the log lines above")]

# SPDX-License-Identifier: Apache-2.0
"""What a check is, which checks there are, and how they are run one after the other.

A check looks at one thing, takes a few seconds at most, changes nothing, and never raises: whatever it finds becomes a
``Finding`` with its mend. To add one, write a function like those in ``host`` and put it into ``CHECKS``.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, cast

from remsim.config import BankdConfig, ClientSlotConfig, HostPort, ServerConfig
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Role
from remsim.core.installation import install_command
from remsim.core.values import dataclass
from remsim.logs import get_logger

#: A check that has not ended by then is given up.
DEADLINE_S: Final = 20.0


class RestCalls(Protocol):
    """What is asked of a server's REST interface."""

    def get_warnings(self) -> list[dict[str, object]]:
        """What is wrong, as far as the server knows. Blocks for a few seconds at most. Raises RemsimError."""
        ...

    def get_list(self, name: str) -> list[dict[str, object]]:
        """All of ``banks`` or ``clients``. Blocks for a few seconds at most. Raises RemsimError."""
        ...


@dataclass(frozen=True, slots=True)
class Situation:
    """What one program on this host is meant to do, as far as its configuration can be read."""

    #: Whom client and bankd connect to; for a server, itself.
    server: HostPort
    #: Those of a client.
    slots: tuple[ClientSlotConfig, ...] = ()
    #: What was read, for people; empty if there is no file.
    source: str = ""
    #: Why the configuration cannot be used, and what to do.
    trouble: str = ""
    trouble_mend: str = ""
    role: Role = Role.CLIENT
    #: Where key and certificate are, if anywhere.
    tls_dir: Path | None = None
    #: The directory was named: then there must be a certificate in it.
    is_tls_demanded: bool = False
    #: RSPRO over plain TCP is allowed.
    is_plain_allowed: bool = False
    bankd: BankdConfig | None = None
    server_config: ServerConfig | None = None
    #: Makes calls to the server's REST interface; None: there is no token for it.
    open_rest: Callable[[], RestCalls] | None = None

    def slots_with(self, emulator: str) -> list[ClientSlotConfig]:
        """The slots whose card is played by this emulator."""
        return [slot for slot in self.slots if slot.emulator == emulator]


#: Looks at one thing.
Check = Callable[[Situation], Awaitable[Sequence[Finding]]]

#: Name to module and function, in the order in which a person would look: what each program needs.
_COMMON: Final[dict[str, tuple[str, str]]] = {
    "configuration": ("remsim.doctor.configuration", "check_configuration"),
    "clock": ("remsim.doctor.host", "check_clock"),
    "certificate": ("remsim.doctor.certificate", "check_certificate"),
}
_WARNINGS: Final[dict[str, tuple[str, str]]] = {"warnings": ("remsim.doctor.warnings", "check_warnings")}
#: What a client needs.
CHECKS: Final[dict[str, tuple[str, str]]] = {
    **_COMMON,
    "server": ("remsim.doctor.links", "check_server"),
    "bankd": ("remsim.doctor.links", "check_bankd"),
    "usb": ("remsim.doctor.usb", "check_usb"),
    "vpcd": ("remsim.doctor.vpcd", "check_vpcd"),
    **_WARNINGS,
}
ROLE_CHECKS: Final[dict[Role, dict[str, tuple[str, str]]]] = {
    Role.CLIENT: CHECKS,
    Role.BANK: {
        **_COMMON,
        "server": ("remsim.doctor.links", "check_server"),
        "port": ("remsim.doctor.links", "check_own_ports"),
        "pcscd": ("remsim.doctor.bank", "check_pcscd"),
        "power": ("remsim.doctor.power", "check_power"),
        "disk": ("remsim.doctor.server", "check_disk"),
        **_WARNINGS,
    },
    Role.SERVER: {
        **_COMMON,
        "port": ("remsim.doctor.links", "check_own_ports"),
        "database": ("remsim.doctor.server", "check_database"),
        "disk": ("remsim.doctor.server", "check_disk"),
        "authority": ("remsim.doctor.server", "check_authority"),
        **_WARNINGS,
    },
}


async def examine(situation: Situation, checks: dict[str, tuple[str, str]] | None = None) -> AsyncIterator[Finding]:
    """Run all checks of the situation's role, or ``checks``, and yield what they find, as it is found."""
    for name, (module, attribute) in (ROLE_CHECKS[situation.role] if checks is None else checks).items():
        for finding in await _run(name, module, attribute, situation):
            yield finding


async def _run(name: str, module: str, attribute: str, situation: Situation) -> Sequence[Finding]:
    try:
        check = cast(Check, getattr(importlib.import_module(module), attribute))
        async with asyncio.timeout(DEADLINE_S):
            return await check(situation)
    except TimeoutError:
        return [
            Finding(name, Outcome.PROBLEM, f"not done within {DEADLINE_S:g} s", "try again; is the host overloaded?")
        ]
    except ModuleNotFoundError as error:
        mend = f"install what brings it: {install_command('all')}"
        return [Finding(name, Outcome.PROBLEM, f"{error.name} is not installed", mend)]
    except Exception as error:  # noqa: BLE001  # a check must not hide the findings of the others
        get_logger("doctor").error("check_crashed", check=name, exc_info=error)
        text = f"the check itself failed: {type(error).__name__}: {error}"
        return [Finding(name, Outcome.PROBLEM, text, "please report it with the log lines above")]

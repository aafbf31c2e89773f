# SPDX-License-Identifier: Apache-2.0
"""The guard's rules in their file. What the rules do is in ``core.guarding``."""

from remsim.config import BankdConfig, TextError, read_text
from remsim.core.errors import StartError
from remsim.logs import Logger
from remsim.net.runtime.tasks import in_thread
from remsim.policy.fields import PolicyError
from remsim.policy.guard import DEFAULT, PRESETS, GuardPolicy, parse_guard_policy


def read_guard_policy(config: BankdConfig) -> GuardPolicy:
    """The rules of the guard file, or the shipped ones, which only note. Raises StartError and PolicyError."""
    if config.guard is None:
        return DEFAULT
    try:
        text = read_text(config.guard)
    except (OSError, TextError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StartError(f"the guard file {config.guard} cannot be read: {reason}", hint="see --guard FILE") from error
    return parse_guard_policy(text, str(config.guard), PRESETS)


async def reread_guard_policy(config: BankdConfig, log: Logger) -> GuardPolicy | None:
    """The rules that the guard file has now. None: there is no file, or none that can be used, which is reported."""
    if config.guard is None:
        return None
    try:
        return await in_thread(read_guard_policy, config)
    except (PolicyError, StartError) as error:
        log.error("guard_not_reloaded", error=str(error), hint=error.hint)
        return None

# SPDX-License-Identifier: Apache-2.0
"""The policy file of a running server: read at its start, and again when it is told to.

The rules themselves are in ``remsim.policy.mapping``; the runtime asks them before a mapping is stored.
"""

from remsim.config import ServerConfig, TextError, read_text
from remsim.core.errors import StartError
from remsim.logs import Logger
from remsim.net.runtime.tasks import in_thread
from remsim.policy.fields import PolicyError
from remsim.policy.mapping import OPEN, MappingPolicy, parse_mapping_policy
from remsim.server.runtime import ServerRuntime
from remsim.server.store.writer import StoreError


def read_policy(config: ServerConfig) -> MappingPolicy:
    """The rules of the policy file; without one, everything is allowed. Raises PolicyError and StartError."""
    if config.policy is None:
        return OPEN
    try:
        text = read_text(config.policy)
    except (OSError, TextError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StartError(f"the policy {config.policy} cannot be read: {reason}", hint="see --policy FILE") from error
    return parse_mapping_policy(text, str(config.policy))


async def reload_policy(config: ServerConfig, runtime: ServerRuntime, *, log: Logger) -> None:
    """Let the rules hold that the file has now, and delete what they no longer allow.

    A file that cannot be used is reported, and the rules stay as they are.
    """
    if config.policy is None:
        return
    try:
        policy = await in_thread(read_policy, config)
    except (PolicyError, StartError) as error:
        log.error("policy_not_reloaded", error=str(error), hint=error.hint)
        return
    try:
        await runtime.change_policy(policy)
    except StoreError as error:
        # The rules hold for what is mapped from now on; what is stored is looked at again at the next reload or start.
        log.error("policy_not_enforced", error=str(error), hint=error.hint)
        return
    log.info("policy_reloaded", rules=len(policy.rules), by_default="allow" if policy.is_open else "deny")

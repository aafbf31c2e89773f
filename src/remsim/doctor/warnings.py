# SPDX-License-Identifier: Apache-2.0
"""What the server itself finds wrong, where the doctor can ask it."""

from collections.abc import Sequence
from typing import Final

from remsim.core.errors import RemsimError
from remsim.core.finding import Finding, Outcome
from remsim.doctor.check import Situation
from remsim.net.runtime.tasks import in_thread

_NAME: Final = "warnings"


async def check_warnings(situation: Situation) -> Sequence[Finding]:
    """The warnings of the server; nothing without a token for it."""
    if situation.open_rest is None:
        return []
    try:
        found = await in_thread(situation.open_rest().get_warnings)
    except RemsimError as error:
        return [Finding(_NAME, Outcome.NOTE, f"the server's warnings are not known: {error}", error.hint)]
    if not found:
        return [Finding(_NAME, Outcome.OK, "the server has no warnings")]
    return [
        Finding(
            _NAME,
            Outcome.PROBLEM if each.get("severity") == "error" else Outcome.NOTE,
            f"{each.get('about')}, since {each.get('since')}: {each.get('text')}",
            str(each.get("hint") or ""),
        )
        for each in found
    ]

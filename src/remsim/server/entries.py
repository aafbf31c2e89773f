# SPDX-License-Identifier: Apache-2.0
"""What stands in the audit log: one entry as a value. ``audit`` stores it; the coordinator and REST make it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: ``who`` names a token, a user, a bankd or the server itself; ``source`` is an address."""

    who: str
    source: str


#: What the server does by itself, following its rules.
SERVER: Final = Actor("server", "-")

DONE: Final = "done"
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log, before it has a number and a time."""

    actor: Actor
    #: For example ``mapping.create``; at most 32 characters.
    action: str
    target: str = ""
    outcome: str = DONE
    detail: str = ""

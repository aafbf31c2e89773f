# SPDX-License-Identifier: Apache-2.0
"""The registry of abilities, and how they stand in a version string, where no decoder stumbles over them.

Decoders of other makers may refuse elements that their schema does not list, extensible or not. So a program names its
abilities in the build metadata (semantic versioning 2.0.0, item 10) of its ``softwareVersion``: ``0.3.0+x7f`` is
version 0.3.0 with the abilities of bits 0 to 6. It counts together with a ``software`` that begins with ``remsim-``.
"""

import re
from typing import Final

ECHO: Final = "echo.1"
ADVERTISE: Final = "advertise.1"
SLOTS: Final = "slots.1"
REVOKE: Final = "revoke.1"
AUDIT: Final = "audit.1"
CERTIFIED: Final = "certified.1"
CARDS: Final = "cards.1"
RESUME: Final = "resume.1"
SESSIONS: Final = "sessions.1"
AHEAD: Final = "ahead.1"
SLOTS_2: Final = "slots.2"
CLIENT: Final = "client.1"
INVENTORY: Final = "inventory.1"
TRACE: Final = "trace.1"
TIMES: Final = "times.1"
CONDITIONS: Final = "conditions.1"
#: Every ability of this version, with what it means. Its place is its bit, so new ones go to the end.
MEANINGS: Final = {
    ECHO: "answers carry the operation tag of their request",
    ADVERTISE: "a bankd says at which addresses clients reach it",
    SLOTS: "a bankd reports presence and faults of a slot at each change",
    REVOKE: "a server pushes the authority's revocation list",
    AUDIT: "a bankd tells what belongs into the audit log",
    CERTIFIED: "a server tells a bankd which clients have a certificate",
    CARDS: "a bankd tells the numbers of its cards",
    RESUME: "a card session goes on over another link, within its hold time",
    SESSIONS: "a bankd reports the state of its card sessions at each change",
    AHEAD: "a bankd sends answers to commands that the modem has not sent yet",
    SLOTS_2: "a bankd tells how each of its slots stands",
    CLIENT: "a client tells how its slot stands",
    INVENTORY: "a bankd tells what cards say of themselves without a PIN",
    TRACE: "bankd and client tell of each command while somebody watches their slot",
    TIMES: "a bankd says with each answer how long it had the command; a client tells what the network took",
    CONDITIONS: "a bankd tells what is wrong with its host",
}
REGISTRY: Final = tuple(MEANINGS)
#: What a program names on any link. The others are named where the settings of the program allow it.
ABILITIES: Final = tuple(name for name in REGISTRY if name not in (RESUME, AHEAD))

#: What ``software`` of a program with abilities begins with.
SOFTWARE: Final = "remsim-"
#: Characters of a ComponentName, and thus of a version with abilities.
MAX_VERSION: Final = 32

#: 64 bits are enough for a while, and leave room for the version itself.
_NAMED: Final = re.compile(r"\+x(0|[1-9a-f][0-9a-f]{0,15})", re.ASCII)


def named_abilities(software: str, version: str) -> tuple[str, ...] | None:
    """The abilities that a program names, without those that this version does not know; None if it names none."""
    found = _NAMED.fullmatch(version, version.find("+")) if "+" in version else None
    if found is None or not software.startswith(SOFTWARE):
        return None
    bits = int(found[1], 16)
    return tuple(name for bit, name in enumerate(REGISTRY) if bits >> bit & 1)


def plain_version(version: str) -> str:
    """The version without the abilities."""
    return version.partition("+")[0] if "+" in version and _NAMED.fullmatch(version, version.find("+")) else version


def version_with(version: str, abilities: tuple[str, ...] | None) -> str:
    """The version with these abilities in place of those that it names; without any if they are None."""
    version = plain_version(version)
    if abilities is None:
        return version
    suffix = f"+x{sum(1 << REGISTRY.index(name) for name in set(abilities)):x}"
    # Build metadata of another kind, such as Python's local versions have, makes room.
    return version.partition("+")[0][: MAX_VERSION - len(suffix)] + suffix

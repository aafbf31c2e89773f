# SPDX-License-Identifier: Apache-2.0
"""What an examination of a host has found, in words: one value for ``remsim doctor`` and for a bankd that watches its
host. Nothing is looked at here.
"""

from enum import Enum

from remsim.core.values import dataclass


class Outcome(Enum):
    """How bad it is."""

    OK = "ok"
    #: Worth knowing; the program works all the same.
    NOTE = "note"
    #: Something is wrong; the exit status of the doctor tells.
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    ``check`` names what has looked. ``mend`` says what to do, with the command where there is one. ``code`` is how a
    bankd tells its server of it (``host_codes``); it is empty where nothing is wrong, and for what no bankd tells.
    """

    check: str
    outcome: Outcome
    text: str
    mend: str = ""
    code: str = ""

# SPDX-License-Identifier: Apache-2.0
"""Which reader source a bank uses where its settings leave that open, and why. No I/O.

Where the settings and what is installed do not decide, pcscd is asked (``bankd.readers``): ``pcscd`` is used if it
answers with a version that is known. It is used, too, where it does not answer, or refuses: the PC/SC library speaks to
the same pcscd, and would hang or fail without knowing why. Else, ``pcsc`` is used: pcscd is of an unknown version, or
there is none, and the library may be one that needs none.
"""

from typing import Final, NamedTuple

from remsim.config import BankdConfig

PCSCD: Final = "pcscd"
PCSC: Final = "pcsc"


class Choice(NamedTuple):
    """``reader`` is the name of a reader source; ``why`` is for people."""

    reader: str
    why: str


def choose_without_asking(config: BankdConfig | None, *, has_pyscard: bool) -> Choice | None:
    """The reader source, if it does not depend on what pcscd answers; else None. ``config``: None if it is unknown."""
    if config is not None and config.reader is not None:
        return Choice(config.reader, "the setting reader names it")
    if config is not None and config.pcscd:
        return Choice(PCSCD, "[[pcscd]] names its sockets")
    if not has_pyscard:
        return Choice(PCSCD, "pyscard is not installed, so there is no other")
    return None

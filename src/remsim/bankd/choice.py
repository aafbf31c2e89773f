# SPDX-License-Identifier: Apache-2.0
"""Which reader source a bank uses where its settings leave that open, and why. No I/O."""

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


def choose_by_answer(trouble: str) -> Choice:
    """pcscd if it can be used (``trouble`` is empty), else pcsc, because of the trouble."""
    return Choice(PCSC, trouble) if trouble else Choice(PCSCD, "pcscd answers with a version that is known")

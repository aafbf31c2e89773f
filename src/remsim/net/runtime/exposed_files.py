# SPDX-License-Identifier: Apache-2.0
"""Notices at start what other users can read or write in a state directory, and says how to fix it.

Such files are made with mode 0600; copies and restored backups often are not. Keys are refused like that
(``pki.files``). Databases and states of cards are not, because the program can go on: a user who could read the hashes
of tokens, card numbers and PINs in them has had the time to do so already.
"""

import contextlib
import shlex
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from remsim.logs import Logger

#: Databases with their journals, what software cards remember, which clients may not use plain TCP.
PATTERNS: Final = ("*.sqlite", "*.sqlite-*", "*.state", "certified.json")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
#: A line of the log names so many.
_NAMED: Final = 8


def warn_of_exposed(folder: Path, log: Logger, *, also: Iterable[Path] = ()) -> None:
    """One line in the log if files in ``folder`` that are for this user only, or ``also``, are open to others."""
    found = sorted({path for path in (*_candidates(folder), *also) if _is_exposed(path)})
    if not found:
        return
    named = [str(path) for path in found[:_NAMED]]
    log.warning(
        "files_open_to_others",
        files=named,
        count=len(found),
        hint=f"run: chmod 600 {shlex.join(named)}" + (", and so for the others" if len(found) > _NAMED else ""),
    )


def _candidates(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):  # there is none yet, or the program will say what is wrong with it
        for pattern in PATTERNS:
            yield from folder.glob(pattern)


def _is_exposed(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & _OTHERS)

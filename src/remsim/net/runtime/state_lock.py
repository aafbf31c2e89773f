# SPDX-License-Identifier: Apache-2.0
"""One program at a time for a directory: two that share a certificate would take each other's place for ever.

A lock of the kernel (flock), which ends with the program however it ends. What is written into the file is for people.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

from remsim.core.errors import StartError
from remsim.logs import Logger

#: More than a process id and a name are not read.
_MAX_NOTE: Final = 100


class StateLock:
    """``path`` is the lock's file; its directory is made if need be. ``what`` names what it protects, for people.

    ``must_exist``: without a place for the file the program is of no use. Otherwise it goes on without the lock.
    """

    def __init__(self, path: Path, *, what: str, must_exist: bool = False) -> None:
        self._path = path
        self._what = what
        self._must_exist = must_exist
        self._descriptor: int | None = None

    def take(self, log: Logger) -> None:
        """Take it. Raises StartError if another program has it, or if there is no place for its file but must be."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if self._must_exist:
                raise StartError(
                    f"cannot write to {self._what}: {error.strerror}",
                    hint="let this user write to it, or name another one with --state DIR",
                ) from error
            log.info("not_locked", file=str(self._path), reason=error.strerror)
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, _MAX_NOTE).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StartError(
                f"{self._what} is in use by another program" + (f" (pid {holder})" if holder.isdecimal() else ""),
                hint="stop that one first, or give this one a directory of its own",
            ) from None
        except OSError as error:
            # Some network file systems have no locks.
            os.close(descriptor)
            log.info("not_locked", file=str(self._path), reason=error.strerror)
            return
        # On a full disk there is a lock all the same, which does not say whose it is.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back. The file stays: to remove it would take it from somebody who is just opening it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

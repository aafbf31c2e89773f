# SPDX-License-Identifier: Apache-2.0
"""Captures of a slot in files that roll: a new file by size or age, and the oldest ones removed.

``B1-3_20261129T140300_0001.pcapng``: the slot, when the file began (UTC), and a number that counts on. Only files of
this form are removed, in the folder that was named, of the slot that was named. A file consists of whole packets at any
time, even where its program is killed or the disk is full. Before its head is written it is called ``.B1-3.part``.
"""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from remsim.core.values import dataclass
from remsim.trace.pcapng import CapturePacket, file_header, packet_block

_SUFFIX: Final = ".pcapng"
#: What a file is called before its head is written.
_DRAFT_SUFFIX: Final = ".part"
#: Captures hold what passes between a modem and its card: for their owner only.
_MODE: Final = 0o600
_STAMP: Final = "%Y%m%dT%H%M%S"


@dataclass(frozen=True, slots=True)
class Rolling:
    """When a new file begins, and what is kept. None: whatever comes."""

    max_bytes: int | None = None
    max_age_s: float | None = None
    #: Files of one slot, the one that is being written included.
    keep: int | None = None
    #: Files that were written last so long ago are removed.
    keep_s: float | None = None


class RollingCapture:
    """The files of one slot in one folder. Each method may raise OSError."""

    def __init__(
        self,
        folder: Path,
        name: str,
        limits: Rolling,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``name`` is the slot's, ``B1:3``. Nothing is opened before the first packet."""
        self._folder = folder
        self._name = name
        self._stem = name.replace(":", "-")
        self._limits = limits
        self._now = now
        self._file: int | None = None
        self._path: Path | None = None
        self._began = 0.0
        self._size = 0
        self._number = 0
        self._pattern = re.compile(rf"{re.escape(self._stem)}_[0-9]{{8}}T[0-9]{{6}}_([0-9]{{4,}}){_SUFFIX}", re.ASCII)

    def write(self, packet: CapturePacket) -> None:
        """Append one packet, to a new file if it is time for one. If that fails, the file is as it was."""
        block = packet_block(packet)
        if self._path is not None and self._is_due(len(block)):
            self.close()
        file = self._file
        if file is None:
            file = self._begin() if self._path is None else self._open_again(self._path)
        self._append(file, block)

    def rest(self) -> None:
        """Close the file for now; what comes next is still appended to it."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def close(self) -> None:
        """End the present file. Idempotent."""
        self.rest()
        self._path = None

    def files(self) -> list[Path]:
        """The files that there are, oldest first."""
        found = [
            (int(match[1]), path) for path in self._folder.iterdir() if (match := self._pattern.fullmatch(path.name))
        ]
        return [path for _, path in sorted(found)]

    def _is_due(self, more: int) -> bool:
        limits = self._limits
        is_full = limits.max_bytes is not None and self._size + more > limits.max_bytes
        # The clock may be set back, by years: then the age is not known.
        is_old = limits.max_age_s is not None and not 0 <= self._now() - self._began < limits.max_age_s
        return is_full or is_old

    def _begin(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = [int(match[1]) for path in self.files() if (match := self._pattern.fullmatch(path.name))]
        self._number = max([self._number, *numbers]) + 1
        self._remove_old()
        self._began = self._now()
        stamp = time.strftime(_STAMP, time.gmtime(self._began))
        path = self._folder / f"{self._stem}_{stamp}_{self._number:04d}{_SUFFIX}"
        # It gets its name when its head is written: whenever this program is killed, an empty file is no capture.
        draft = self._folder / f".{self._stem}{_DRAFT_SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(draft, flags, _MODE)
        self._file, self._path, self._size = file, path, 0
        try:
            self._append(file, file_header(self._name))
            draft.rename(path)
        except OSError:
            self.close()
            draft.unlink(missing_ok=True)
            raise
        return file

    def _open_again(self, path: Path) -> int:
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            # Somebody has taken it away.
            self.close()
            return self._begin()
        return self._file

    def _append(self, file: int, block: bytes) -> None:
        """All of ``block`` at once, or nothing of it: a reader never finds a part before another packet."""
        done = 0
        try:
            while done < len(block):
                done += os.write(file, block[done:])
        except OSError:
            os.ftruncate(file, self._size)
            raise
        self._size += len(block)

    def _remove_old(self) -> None:
        limits, files = self._limits, self.files()
        # The new one counts, too.
        surplus = [] if limits.keep is None else files[: max(0, len(files) - limits.keep + 1)]
        oldest = None if limits.keep_s is None else self._now() - limits.keep_s
        for path in files:
            if path in surplus or (oldest is not None and path.stat().st_mtime < oldest):
                path.unlink(missing_ok=True)

# SPDX-License-Identifier: Apache-2.0
"""A disk of a few pages, which can be filled and made read-only: a tmpfs in a mount namespace of its own.

The test reaches it as ``folder``; a program that is to find it at its own place (``inside``) must run in the namespace,
see ``command``. Without root a user namespace is made as well, where the kernel allows it.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.doubles.programs import PATIENCE_S, TIED_TO_US, ProgramError

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
#: Waits at its end until our side of its input is closed: then the namespace goes.
_HOLDER: Final = 'mount -t tmpfs -o mode=700,size="$1" tmpfs "$0" && echo ready && { read -r _ || true; }'


class SmallDisk:
    """A disk of ``pages`` pages; files take whole ones, folders and empty files none."""

    def __init__(self, inside: Path, holder: int) -> None:
        self.inside = inside
        self._holder = holder
        #: The same folder, as everybody reaches it.
        self.folder = Path(f"/proc/{holder}/root{inside}")
        self._ballast = self.folder / "ballast"

    def command(self, argv: Sequence[str]) -> list[str]:
        """``argv`` as a command line that runs inside."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        there = ["nsenter", "--target", str(self._holder), *user, "--mount", f"--wd={Path.cwd()}", "--"]
        return [*there, *TIED_TO_US, *argv]

    def fill(self, *, leaving: int = 0) -> None:
        """Let there be room for just so many pages."""
        self._ballast.unlink(missing_ok=True)
        free = os.statvfs(self.folder).f_bavail - leaving
        if free < 0:
            raise ProgramError(f"{leaving} pages cannot be left: {-free} are missing")
        self._ballast.write_bytes(bytes(free * PAGE))
        assert os.statvfs(self.folder).f_bavail == leaving

    def make_room(self) -> None:
        """Take away what fills it."""
        self._ballast.unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        """``ro`` or ``rw``. It must have no file open for writing."""
        subprocess.run(self.command(["mount", "-o", f"remount,{how}", str(self.inside)]), check=True)


@contextmanager
def small_disk(folder: Path, *, pages: int) -> Iterator[SmallDisk]:
    """Mount one over ``folder``, which is made. Raises ProgramError if that is not to be had."""
    folder.mkdir()
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    with subprocess.Popen(
        ["unshare", *user, "--mount", "--propagation", "private", "sh", "-c", _HOLDER, str(folder), str(pages * PAGE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C at the terminal is for us.
        process_group=0,
    ) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "ready":
            raise ProgramError(f"no disk of our own here: {holder.communicate(timeout=PATIENCE_S)[1].strip()}")
        try:
            yield SmallDisk(folder, holder.pid)
        finally:
            holder.communicate(timeout=PATIENCE_S)

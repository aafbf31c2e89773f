# SPDX-License-Identifier: Apache-2.0
"""Software cards and their state files: what a card remembers is on disk before its answer leaves.

Each card has two files that are written in turn, each with a generation number and a checksum: a process killed
while it writes leaves the other one whole. Replacing one file by renaming would do the same, but costs file systems
up to milliseconds, and a modem waits for the answer meanwhile. Nothing is synced to the medium: a power failure may
cost the last changes of what is a test card.
"""

import os
import re
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from remsim.core.errors import reason_of
from remsim.core.installation import install_command
from remsim.readers.errors import CardTransmissionError, ReaderUnavailableError
from remsim.uicc import Profile, StateError, SubscriberIdentity, Uicc, UiccState

#: First line of a file: generation, length and CRC-32 of the state that follows; what follows that is left over.
_HEADER: Final = re.compile(rb"remsim-card ([0-9]{1,15}) ([0-9]{1,9}) ([0-9a-f]{8})\n")
_SUFFIXES: Final = ("-a.state", "-b.state")


class _Stored(NamedTuple):
    """A whole file."""

    generation: int
    state: bytes


class StoredCard:
    """One software card with its state files, or without where ``path`` (their common beginning) is None."""

    def __init__(self, profile: Profile, identity: SubscriberIdentity, path: Path | None, *, is_fresh: bool) -> None:
        """Load the card. Raises ReaderUnavailableError if its state cannot be used or stored."""
        self._files = [] if path is None else [path.with_name(path.name + suffix) for suffix in _SUFFIXES]
        self._generation = 0
        state = None if is_fresh else self._load(profile)
        self.uicc = Uicc(profile, state, identity)
        self._saved = self.uicc.revision
        if self._files and state is None:
            self._begin()

    def transmit(self, tpdu: bytes) -> bytes:
        """Answer a TPDU. Raises CardTransmissionError if the new state cannot be stored."""
        answer = self.uicc.transmit(tpdu)
        if self.uicc.revision != self._saved:
            if self._files:
                try:
                    self._save()
                except OSError as error:
                    raise CardTransmissionError(
                        f"cannot store the state of a software card: {reason_of(error)}"
                    ) from error
            self._saved = self.uicc.revision
        return answer

    def _begin(self) -> None:
        try:
            self._files[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file in self._files:
                file.unlink(missing_ok=True)
            self._save()
        except OSError as error:
            raise ReaderUnavailableError(
                f"cannot store card state: {reason_of(error)}", hint="choose another folder"
            ) from error

    def _save(self) -> None:
        state = self.uicc.state.to_bytes()
        generation = self._generation + 1
        whole = f"remsim-card {generation} {len(state)} {zlib.crc32(state):08x}\n".encode() + state
        # PINs are in it: nobody else may read it.
        descriptor = os.open(self._files[generation % 2], os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            written = os.write(descriptor, whole)
        finally:
            os.close(descriptor)
        if written != len(whole):
            raise OSError("disk full")
        self._generation = generation

    def _load(self, profile: Profile) -> UiccState | None:
        """The newest whole state, None if there is no file."""
        try:
            contents = [file.read_bytes() for file in self._files if file.exists()]
            stored = [found for content in contents if (found := _whole(content)) is not None]
            if contents and not stored:
                raise StateError("no whole state in it")
            newest = max(stored, default=None)
            if newest is None:
                return None
            self._generation = newest.generation
            return UiccState.from_bytes(newest.state, profile)
        except (OSError, StateError) as error:
            raise ReaderUnavailableError(
                f"cannot use card state {self._files[0]} and {self._files[1].name}: {reason_of(error)}",
                hint="remove these files to start with a fresh card",
            ) from error


def _whole(content: bytes) -> _Stored | None:
    header = _HEADER.match(content)
    if header is None:
        return None
    state = content[header.end() : header.end() + int(header[2])]
    if len(state) != int(header[2]) or zlib.crc32(state) != int(header[3], 16):
        return None
    return _Stored(int(header[1]), state)


def state_path(folder: Path, number: int) -> Path:
    """The common beginning of the state files of card ``number``."""
    return folder / f"sim-{number:02d}"


def check_cryptography() -> None:
    """Raises ReaderUnavailableError where AES, and so authentication, is not to be had."""
    if find_spec("cryptography") is None:
        raise ReaderUnavailableError(
            "software cards need the Python package 'cryptography'", hint=f"install it: {install_command('sim')}"
        )

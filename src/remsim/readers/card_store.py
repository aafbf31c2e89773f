# SPDX-License-Identifier: Apache-2.0
"""Software cards and their state files: what a card remembers is on disk before its answer leaves.

A file is replaced as a whole, so that a process killed at any moment leaves the old or the new state. Nothing is
synced to the medium: a power failure may cost the last changes of what is a test card.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from remsim.readers.errors import CardTransmissionError, ReaderUnavailableError
from remsim.uicc import CardState, Identity, Profile, StateError, Uicc


class StoredCard:
    """One software card with its state file, or without one where ``path`` is None."""

    def __init__(self, profile: Profile, identity: Identity, path: Path | None, *, is_fresh: bool) -> None:
        """Load the card. Raises ReaderUnavailableError if its state file cannot be used."""
        self._path = path
        state = None if path is None or is_fresh else _load(path, profile)
        self.uicc = Uicc(profile, state, identity)
        self._saved = self.uicc.revision
        if path is not None and state is None:
            self._save(path)

    def transmit(self, tpdu: bytes) -> bytes:
        """Answer a TPDU. Raises CardTransmissionError if the new state cannot be stored."""
        answer = self.uicc.transmit(tpdu)
        if self.uicc.revision != self._saved:
            if self._path is not None:
                self._save(self._path)
            self._saved = self.uicc.revision
        return answer

    def _save(self, path: Path) -> None:
        new = path.with_suffix(".new")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Keys are not in the file, but PINs are: nobody else may read it.
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.uicc.state.to_bytes())
            new.replace(path)
        except OSError as error:
            raise CardTransmissionError(f"cannot store the state of a software card: {error}") from error


def state_path(folder: Path, number: int) -> Path:
    """Where card ``number`` keeps its state."""
    return folder / f"sim-{number:02d}.json"


def check_cryptography() -> None:
    """Raises ReaderUnavailableError where AES, and so authentication, is not to be had."""
    if find_spec("cryptography") is None:
        raise ReaderUnavailableError(
            "software cards need the Python package 'cryptography'", hint="install 'remsim[sim]'"
        )


def _load(path: Path, profile: Profile) -> CardState | None:
    try:
        return CardState.from_bytes(path.read_bytes(), profile)
    except FileNotFoundError:
        return None
    except (OSError, StateError) as error:
        raise ReaderUnavailableError(
            f"cannot use card state {path}: {error}", hint="remove the file to start with a fresh card"
        ) from error

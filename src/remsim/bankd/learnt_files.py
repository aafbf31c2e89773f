# SPDX-License-Identifier: Apache-2.0
"""Files of what was learnt for answering ahead, one for each card and modem, in the folder ``ahead`` of the state.

A file is replaced as a whole, so a process that is killed, or a disk that is full, leaves the old one. A damaged file
is set aside and its card learnt anew: nothing here is worth a bankd that does not start.
"""

import contextlib
import hashlib
import os
from importlib import resources
from pathlib import Path
from typing import Final

from remsim.ahead.context_model import ContextModel
from remsim.ahead.library import MAX_PAIRS, MAX_TEXT, LearntError, Library, Pair, from_text, to_text
from remsim.logs import Logger

FOLDER: Final = "ahead"
_SUFFIX: Final = ".learnt"
_DRAFT: Final = ".new"
_DAMAGED: Final = ".damaged"


def shipped_recordings() -> list[tuple[bytes, ...]]:
    """What each bank begins with: the order of commands of recorded starts, one a line."""
    text = resources.files("remsim.ahead").joinpath("shipped.txt").read_text(encoding="ascii")
    return [tuple(map(bytes.fromhex, line.split())) for line in text.splitlines() if not line.startswith("#")]


class LearntFiles:
    """The files of one bank."""

    def __init__(self, folder: Path, log: Logger) -> None:
        self._folder = folder
        self._log = log
        self._is_failing = False

    def path(self, pair: Pair | None) -> Path:
        """The file of a card and a modem; None: of what is for all. Another ATR in the slot has another file."""
        if pair is None:
            return self._folder / f"all{_SUFFIX}"
        digest = hashlib.sha256(pair.atr).hexdigest()[:8]
        name = f"B{pair.card.bank_id}-{pair.card.slot_nr}_C{pair.modem.client_id}-{pair.modem.slot_nr}_{digest}"
        return self._folder / f"{name}{_SUFFIX}"

    def load_all(self, library: Library) -> None:
        """Put what all files hold into ``library``, the files written last at the end; the most recent are kept."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}"), key=_written_at)[-MAX_PAIRS:]:
            found = self._read(path)
            if found is not None:
                library.put(*found)

    def load_general(self) -> ContextModel:
        """What is for all; nothing if there is no such file."""
        path = self.path(None)
        found = self._read(path) if path.exists() else None
        return ContextModel() if found is None else found[1]

    def save(self, pair: Pair | None, model: ContextModel) -> bool:
        """Write what was learnt, all or nothing. False: a failure was logged, and the old file stays."""
        path = self.path(pair)
        draft = path.with_suffix(_DRAFT)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with draft.open("w", encoding="ascii") as stream:
                stream.write(to_text(pair, model.recordings))
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            if not self._is_failing:
                self._log.warning("learnt_not_stored", file=str(path), error=error.strerror or type(error).__name__)
            self._is_failing = True
            return False
        self._is_failing = False
        return True

    def _read(self, path: Path) -> tuple[Pair | None, ContextModel] | None:
        try:
            with path.open("rb") as stream:
                return from_text(stream.read(MAX_TEXT + 1).decode("ascii"))
        except OSError as error:
            self._log.warning("learnt_unreadable", file=str(path), error=error.strerror or type(error).__name__)
        except (LearntError, UnicodeDecodeError) as error:
            aside = path.with_suffix(_DAMAGED)
            self._log.warning("learnt_damaged", file=str(path), error=str(error), kept_as=str(aside))
            with contextlib.suppress(OSError):
                path.replace(aside)
        return None


def _written_at(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:
        # It went meanwhile; reading it says so.
        return 0, path.name

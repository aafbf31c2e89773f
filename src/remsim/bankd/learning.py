# SPDX-License-Identifier: Apache-2.0
"""``remsim bankd learn``: recorded starts of modems, learnt for cards and modems that a bank does not know yet."""

import sys
from collections.abc import Sequence
from pathlib import Path

from remsim.ahead.bank_side import symbols
from remsim.ahead.context_model import ContextModel
from remsim.bankd.learnt_files import FOLDER, LearntFiles
from remsim.core.errors import ConfigError
from remsim.core.text import counted
from remsim.emulators.script.recording import RecordedCommand, load_recording
from remsim.logs import get_logger


def learn_files(files: Sequence[Path], state_dir: Path) -> int:
    """Add the starts in ``files`` to what is stored, and say how much that is; the exit status.

    A file may hold several starts; each reset begins one. Raises ConfigError for a file that cannot be read.
    """
    if not files:
        raise ConfigError("no file to learn from", hint="name recorded starts, such as client script --dump writes")
    starts = [start for path in files for start in _starts(path)]
    store = LearntFiles(state_dir / FOLDER, get_logger("bankd"))
    model: ContextModel = store.load_general()
    new = sum(model.learn(symbols(start)) for start in starts)
    if new and not store.save(None, model):
        return 1
    commands = counted(model.size, "command")
    sys.stdout.write(f"{counted(len(starts), 'start')} read, {new} of them new; {commands} are known for all cards\n")
    return 0


def _starts(path: Path) -> list[list[bytes]]:
    """The commands of each start in a recording."""
    starts: list[list[bytes]] = [[]]
    for step in load_recording(path):
        if isinstance(step, RecordedCommand):
            starts[-1].append(step.tpdu)
        elif starts[-1]:
            starts.append([])
    return [start for start in starts if start]

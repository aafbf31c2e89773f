# SPDX-License-Identifier: Apache-2.0
"""``remsim bankd learn``: recorded starts of modems, learnt for cards and modems that a bank does not know yet."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remsim.ahead.context_model import MIN_RECORDING, ContextModel
from remsim.bankd.learnt_files import FOLDER, LearntFiles
from remsim.bankd.recorded_starts import RecordedFile, read_starts
from remsim.core.errors import ConfigError
from remsim.core.text import counted
from remsim.logs import get_logger

_TOO_SHORT: Final = f"starts of fewer than {MIN_RECORDING} commands"
_KNOWN: Final = "starts that were known"
_READABLE: Final = "JSON lines of client script --dump or trace --json, and captures of GSMTAP, can be read"

#: File, bytes read so far, bytes in all.
Progress = Callable[[Path, int, int], None]


@dataclass(slots=True)
class Learnt:
    """What became of one file."""

    file: RecordedFile
    starts: int = 0
    new: int = 0
    #: What is stored is not what it was.
    has_changed: bool = False


def _show_nothing(_path: Path, _done: int, _size: int) -> None:
    return


def learn_files(
    files: Sequence[Path], state_dir: Path, *, as_json: bool = False, progress: Progress = _show_nothing
) -> int:
    """Add the starts in ``files`` to what is stored, and say how much that is; the exit status.

    A file may hold several starts; each reset begins one. Raises ConfigError for a file that cannot be read; then
    nothing is stored.
    """
    if not files:
        raise ConfigError("no file to learn from", hint="name recorded starts, such as client script --dump writes")
    store = LearntFiles(state_dir / FOLDER, get_logger("bankd"))
    model: ContextModel = store.load_general()
    learnt = [_learn(path, model, progress) for path in files]
    if any(each.has_changed for each in learnt) and not store.save(None, model):
        return 1
    (_say_json if as_json else _say)(learnt, model)
    return 0


def _learn(path: Path, model: ContextModel, progress: Progress) -> Learnt:
    """Add the starts of one file. Raises ConfigError."""
    learnt = Learnt(RecordedFile(path))
    file = learnt.file
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            for start in read_starts(stream, file, lambda: progress(path, stream.tell(), size)):
                learnt.starts += 1
                if len(start) < MIN_RECORDING:
                    file.left_out[_TOO_SHORT] += 1
                    continue
                if any(known[: len(start)] == start for known in model.recordings):
                    file.left_out[_KNOWN] += 1
                else:
                    learnt.new += 1
                # One that was known counts as the newest.
                learnt.has_changed |= model.learn(start)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from None
    if not file.commands:
        reasons = f": {', '.join(_reasons(file))}" if file.left_out else ""
        raise ConfigError(f"{path} has no command of a modem{reasons}", hint=_READABLE)
    return learnt


def _reasons(file: RecordedFile) -> list[str]:
    remark = [file.remark] if file.remark else []
    return [f"{reason} ({count})" for reason, count in file.left_out.items()] + remark


def _say(learnt: Sequence[Learnt], model: ContextModel) -> None:
    for each in learnt:
        file = each.file
        what = f"{counted(file.commands, 'command')} in {counted(each.starts, 'start')}"
        sys.stdout.write(f"{file.path}: {what}, {each.new or 'none'} of them new\n")
        for reason in _reasons(file):
            sys.stdout.write(f"  left out: {reason}\n" if reason != file.remark else f"  {reason}\n")
    starts, new = sum(each.starts for each in learnt), sum(each.new for each in learnt)
    commands = counted(model.size, "command")
    sys.stdout.write(f"{counted(starts, 'start')} read, {new} of them new; {commands} are known for all cards\n")


def _say_json(learnt: Sequence[Learnt], model: ContextModel) -> None:
    report = {
        "files": [
            {
                "file": str(each.file.path),
                "format": each.file.kind,
                "commands": each.file.commands,
                "starts": each.starts,
                "new": each.new,
                "left_out": dict(each.file.left_out),
                "remark": each.file.remark or None,
            }
            for each in learnt
        ],
        "starts": sum(each.starts for each in learnt),
        "new": sum(each.new for each in learnt),
        "known_commands": model.size,
    }
    sys.stdout.write(json.dumps(report) + "\n")

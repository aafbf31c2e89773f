# SPDX-License-Identifier: Apache-2.0
"""Plays targets under atheris, each in a child of its own; ``tests.fuzz.guided`` starts it and reads what is left.

``python -m tests.fuzz.instrumented FOLDER JOBS TARGET…``: ``FOLDER/TARGET/flags`` has libFuzzer's flags, one a line;
standard output and error of the child go to ``FOLDER/TARGET/log``, its exit status to ``FOLDER/TARGET/status``.

Our modules are instrumented when they are imported, which takes seconds; so that is done once, and what is forked
afterwards has them. libFuzzer ends its process with each find, and after the last run.
"""

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import atheris


def _play(name: str, folder: Path) -> NoReturn:
    """In the child; what is raised in here ends it."""
    with (folder / "log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    from tests.fuzz.targets import target_named

    accepts = target_named(name).accepts

    def play(raw: bytes) -> None:
        try:
            accepts(raw)
        except BaseException:
            # libFuzzer writes it down, too, but only at the very end, which its own alarm may come before.
            (folder / "crash-input").write_bytes(raw)
            raise

    atheris.Setup([name, *(folder / "flags").read_text(encoding="utf-8").splitlines()], play)
    atheris.Fuzz()
    sys.exit(0)


def play_all(folder: Path, jobs: int, names: Sequence[str]) -> None:
    """Play all targets, ``jobs`` at a time."""
    waiting = list(reversed(names))
    running: dict[int, str] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop()
            process = os.fork()
            if process == 0:
                _play(name, folder / name)
            running[process] = name
        process, status = os.wait()
        (folder / running.pop(process) / "status").write_text(str(os.waitstatus_to_exitcode(status)), encoding="ascii")


def main() -> None:
    """Instrument, then play."""
    folder, jobs, *names = sys.argv[1:]
    # Each instruction becomes an object for a moment: to look for garbage all the time takes a quarter of it.
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 50, 50)
    with atheris.instrument_imports(include=["remsim"], enable_loader_override=False):
        import tests.fuzz.targets  # noqa: F401  # for the children
    # What is there now stays, in the children, too.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*usual)
    play_all(Path(folder), int(jobs), names)


if __name__ == "__main__":
    main()

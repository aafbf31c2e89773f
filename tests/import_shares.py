# SPDX-License-Identifier: Apache-2.0
"""Each process of xdist collects all tests. Where none is compiled yet, each would compile all, at the same time.

Here each process first imports a share of the test modules, the last one first, and then collects as usual: it finds
what the others have compiled meanwhile. Two meet inside a share, so next to nothing is compiled twice.
"""

import importlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tests.reference import ROOT

_T = TypeVar("_T")


def share(things: Sequence[_T], number: int, of: int) -> Sequence[_T]:
    """Share ``number``, counted from 0, of ``of`` shares that are alike in size; its last thing comes first."""
    begin, end = (len(things) * place // of for place in (number, number + 1))
    return things[begin:end][::-1]


def modules(arguments: Iterable[str], root: Path = ROOT) -> list[str]:
    """The names of the test modules in the files and folders below ``root`` that pytest was given."""
    paths = [root / argument.partition("::")[0] for argument in arguments]
    files = {file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else (path,))}
    return [".".join(file.relative_to(root).with_suffix("").parts) for file in sorted(files)]


def import_share(arguments: Iterable[str]) -> None:
    """Import the share of this process; nothing is done where there is only one."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    for name in share(modules(arguments), int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])):
        # pytest imports it again, and reports what was wrong.
        with suppress(Exception):
            importlib.import_module(name)

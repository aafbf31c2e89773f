# SPDX-License-Identifier: Apache-2.0
"""Chooses which inputs of a hunt are worth keeping: a few small ones that take ways which no other one takes."""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import remsim
from tests.fuzz.seeds import FOUND, seeds
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from _typeshed import TraceFunction

#: A way from one line to another, in one of our files.
Arc = tuple[str, int, int]

#: All kept inputs of a target together; larger ones are left out.
MOST_BYTES: Final = 4096

_OURS: Final = str(Path(remsim.__file__).parent)


class _Walk:
    """Notes the ways that a thread takes through our code."""

    def __init__(self) -> None:
        self.ways: set[Arc] = set()

    def on_call(self, frame: FrameType, _event: str, _argument: object) -> "TraceFunction | None":
        """A function begins."""
        file = frame.f_code.co_filename
        if not file.startswith(_OURS):
            return None
        last = -frame.f_lineno

        def on_line(frame: FrameType, event: str, _argument: object) -> "TraceFunction":
            nonlocal last
            if event == "line":
                self.ways.add((file, last, frame.f_lineno))
                last = frame.f_lineno
            return on_line

        return on_line


def ways(target: Target, raw: bytes) -> set[Arc]:
    """Which ways through our code the input takes."""
    walk, before = _Walk(), sys.gettrace()
    sys.settrace(walk.on_call)
    try:
        target.accepts(raw)
    except AssertionError:
        # A find is kept by hand, with the test that goes with its mending.
        return set()
    finally:
        sys.settrace(before)
    return walk.ways


def choose(target: Target, known: Iterable[bytes], new: Iterable[bytes]) -> list[bytes]:
    """Those of ``new`` that take ways which neither ``known`` nor smaller ones take."""
    taken: set[Arc] = set()
    for raw in known:
        taken |= ways(target, raw)
    chosen = []
    for raw in sorted(new, key=lambda one: (len(one), one)):
        found = ways(target, raw)
        if not found <= taken:
            taken |= found
            chosen.append(raw)
    return chosen


def keep(name: str, new: Iterable[bytes], folder: Path = FOUND) -> None:
    """Add what is worth it to the target's file."""
    target = TARGETS[name]
    file = folder / f"{name}.hex"
    lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
    room = MOST_BYTES - sum(len(line) // 2 for line in lines)
    for raw in choose(target, seeds(name, target.longest), new):
        if len(raw) <= room:
            room -= len(raw)
            lines.append(raw.hex())
    if lines:
        folder.mkdir(exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")

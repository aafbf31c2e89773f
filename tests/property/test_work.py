# SPDX-License-Identifier: Apache-2.0
"""Every parser of text and bytes from outside takes work in proportion to its input: steps are counted, not time.

Input that repeats one thing finds what is looked at again and again: a line joined to what was read so far, a search
that begins anew behind each hit, a list that is gone through for each entry. What regular expressions do within one
step, ``tests/unit/test_patterns.py`` counts.
"""

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import pytest

import remsim
from tests.fuzz.seeds import seeds
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

SOURCES: Final = str(Path(remsim.__file__).parent)
#: Inputs of these sizes; squares show in the second doubling at the latest.
SIZES: Final = (128, 256, 512)
#: Where it grows too much between these, it may have begun to be read in earnest; squares go on like that.
LATER_SIZES: Final = (1024, 2048)
#: A doubled input may take so many times as many steps, and some more for what is done once.
MOST: Final = 2.5
ONCE: Final = 500
#: Where the end of an input cuts something in two decides how far it is read: its neighbours are asked, too.
NEIGHBOURS: Final = 4
#: What is repeated: each of these, a target's words, and what its seeds begin with.
SIGNS: Final = tuple(bytes((sign,)) for sign in b'\0\x01\x7f\xff \na"[{')
SEEDS: Final = 4
LONGEST_FRAGMENT: Final = 64
#: It stands behind nothing, behind a byte that says to many targets how they are played, or behind a whole seed.
LONGEST_HEAD: Final = 256


class Steps:
    """Counts lines of our code that are executed, and calls of other Python code."""

    def __init__(self) -> None:
        self.count = 0
        self._is_ours: dict[CodeType, bool] = {}

    def of(self, play: Callable[[], object]) -> int:
        """How many it takes."""
        self.count, before = 0, sys.gettrace()
        sys.settrace(self._on_call)
        try:
            play()
        finally:
            sys.settrace(before)
        return self.count

    def _on_call(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        self.count += 1
        code = frame.f_code
        is_ours = self._is_ours.get(code)
        if is_ours is None:
            is_ours = self._is_ours[code] = code.co_filename.startswith(SOURCES)
        if not is_ours:
            return None
        frame.f_trace_lines = True
        return self._on_line

    def _on_line(self, _frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        self.count += event == "line"
        return self._on_line


def fragments(name: str) -> Iterator[bytes]:
    """What is repeated."""
    yield from SIGNS
    yield from TARGETS[name].words
    yield from (seed[:LONGEST_FRAGMENT] for seed in chosen(name, TARGETS[name].longest))
    yield from (b'k%s = "v"\n' % word for word in (b"", b"1"))


def chosen(name: str, longest: int) -> list[bytes]:
    """A few of a target's seeds."""
    found = [seed for seed in seeds(name, longest) if seed]
    return found[:: max(1, len(found) // SEEDS)][:SEEDS]


def heads(name: str) -> list[bytes]:
    """What stands before it."""
    return [b"", b"\0", *chosen(name, LONGEST_HEAD)[:1]]


def excess(target: Target, head: bytes, fragment: bytes) -> float:
    """How many more steps a doubled input takes than it may; not above 0 if all is well."""

    def steps(size: int) -> int:
        raw = head + (fragment * (size // len(fragment) + 1))[:size]
        return Steps().of(lambda: target.accepts(raw))

    steps(SIZES[0])  # what is made once, and kept
    worst = over(list(map(steps, SIZES)))
    if worst > 0:
        worst = over([max(map(steps, range(size, size + NEIGHBOURS))) for size in LATER_SIZES])
    return worst


def over(counts: list[int]) -> float:
    """By how much the last of these exceeds what the ones before allow."""
    return max(after - MOST * before - ONCE for before, after in pairwise(counts))


@pytest.mark.parametrize("name", TARGETS)
def test_repetitions_take_linear_work(name: str) -> None:
    tried = dict.fromkeys((head, fragment) for head in heads(name) for fragment in fragments(name))
    found = {(head, fragment): excess(TARGETS[name], head, fragment) for head, fragment in tried}
    worst = max(found, key=found.__getitem__)
    assert found[worst] <= 0, f"{worst[1]!r} again and again behind {worst[0]!r}: {found[worst]:.0f} steps too many"


def looks_back(raw: bytes) -> None:
    """What must not be: for each line it looks at all that were read before."""

    def is_new(line: bytes, before: list[bytes]) -> bool:
        return all(map(line.__ne__, before))

    seen: list[bytes] = []
    for line in raw.split(b"\n"):
        for at in range(len(seen)):
            is_new(line, seen[at : at + 1])
        seen.append(line)


def test_work_that_grows_with_the_square_is_found() -> None:
    assert excess(Target(looks_back), b"", b"1234567\n") > 0
    assert excess(Target(looks_back), b"", b"1234567") <= 0

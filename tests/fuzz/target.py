# SPDX-License-Identifier: Apache-2.0
"""What a target is: a function of bytes that fails if one of our parsers does what it must not do.

A target takes the bytes apart by itself, so that any source of inputs (a coverage-guided fuzzer, hypothesis, a person)
needs to know nothing about it. ``cut`` and ``portions`` are the two ways that most of them use.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from remsim.core.errors import RemsimError

#: Most pieces that ``cut`` makes.
_MOST_CUTS: Final = 8


@dataclass(frozen=True, slots=True)
class Target:
    """``play`` may raise nothing but ``refusals``; it asserts what else must hold."""

    play: Callable[[bytes], None]
    #: The documented errors of what is played.
    refusals: tuple[type[Exception], ...] = ()
    #: Longer inputs find nothing more here.
    longest: int = 512
    #: What about a second is enough for.
    plays_a_second: int = 5000
    #: Words that the input is made of, for the fuzzer to try.
    words: tuple[bytes, ...] = ()

    def accepts(self, raw: bytes) -> bool:
        """Play; False: refused as documented. Raises whatever is a find."""
        try:
            self.play(raw)
        except self.refusals as refusal:
            check_text(refusal)
            return False
        return True


def check_text(refusal: Exception) -> None:
    """A person is told something, in one line, and in characters that an answer over REST can hold."""
    texts = [str(refusal), refusal.hint if isinstance(refusal, RemsimError) else ""]
    assert texts[0], f"{type(refusal).__name__} says nothing"
    for text in texts:
        assert "\n" not in text and "\r" not in text, f"more than one line: {text!r}"  # noqa: PT018  # one property
        text.encode()


def cut(raw: bytes) -> list[bytes]:
    """A stream as it arrives: the first byte says how many pieces follow, as many bytes how long they are."""
    if not raw:
        return []
    count = raw[0] % _MOST_CUTS
    sizes, stream = raw[1 : 1 + count], raw[1 + count :]
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    return [*pieces, stream]


def portions(raw: bytes) -> Iterator[bytes]:
    """Portions that are preceded by a byte with their length; the last one may be cut short."""
    at = 0
    while at < len(raw):
        yield raw[at + 1 : at + 1 + raw[at]]
        at += 1 + raw[at]


def joined(*parts: bytes) -> bytes:
    """What ``portions`` takes apart into these, which have at most 255 bytes."""
    return b"".join(bytes((len(part),)) + part for part in parts)

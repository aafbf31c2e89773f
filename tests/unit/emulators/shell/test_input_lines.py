# SPDX-License-Identifier: Apache-2.0
"""Lines from a pipe, however they arrive."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.emulators.shell.input_lines import MAX_LINE, InputLine, InputLines, LineSplitter


def split(*pieces: bytes) -> list[InputLine]:
    splitter = LineSplitter()
    for piece in pieces:
        splitter.feed(piece)
    splitter.end()
    return list(iter(splitter.pop, None))


def test_lines_end_in_any_of_the_usual_ways() -> None:
    """known-limits.md, 8."""
    lines = split(b"one\ntwo\r\nthree\rfour\r", b"\n\nsix")
    assert lines == [
        InputLine(1, "one"),
        InputLine(2, "two"),
        InputLine(3, "three"),
        InputLine(4, "four"),
        InputLine(5, ""),
        InputLine(6, "six"),
    ]


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    assert split(*pieces) == split(b"".join(pieces))


def test_overlong_line_is_cut_and_the_next_one_is_sound() -> None:
    first, second = split(b"0" * (MAX_LINE + 5), b"\nshort")
    assert first.is_cut
    assert len(first.text) == MAX_LINE
    assert second == InputLine(2, "short")


def test_bytes_beyond_ascii_are_no_hex() -> None:
    assert split("00é\n".encode()) == [InputLine(1, "00??")]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


async def test_pipe_is_read_as_it_comes(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = InputLines(reader)
    os.write(writer, b"one\ntw")
    assert (await anext(lines)).text == "one"
    os.write(writer, b"o\n")
    assert (await anext(lines)).text == "two"
    os.close(writer)
    assert [line async for line in lines] == []


async def test_waiting_for_a_line_can_be_given_up(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = InputLines(reader)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(lines)
    os.write(writer, b"later\n")
    assert (await anext(lines)).text == "later"
    os.close(writer)


async def test_file_and_device_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo")
    for name, texts in ((path, ["one", "two"]), (Path(os.devnull), [])):
        descriptor = os.open(name, os.O_RDONLY)
        assert [line.text async for line in InputLines(descriptor)] == texts
        os.close(descriptor)


def test_lines_so_far_become_stale_and_so_does_the_one_that_has_begun() -> None:
    splitter = LineSplitter()
    splitter.feed(b"one\ntw")
    splitter.make_stale()
    splitter.feed(b"o\nthree\n")
    assert list(iter(splitter.pop, None)) == [
        InputLine(1, "one", is_stale=True),
        InputLine(2, "two", is_stale=True),
        InputLine(3, "three"),
    ]


@pytest.mark.parametrize("typed", [b"two\nthree\n", b"two\nthr"])
async def test_what_waits_in_the_pipe_is_stale_although_nobody_has_read_it(pipe: tuple[int, int], typed: bytes) -> None:
    reader, writer = pipe
    lines = InputLines(reader)
    os.write(writer, b"one\n")
    assert not (await anext(lines)).is_stale
    os.write(writer, typed)
    lines.make_stale()
    os.write(writer, b"four\nfive\n")
    os.close(writer)
    stale = {line.text: line.is_stale async for line in lines}
    assert stale.pop("five") is False
    assert stale.pop("four", False) is False
    assert all(stale.values())


async def test_rest_of_a_file_is_stale_and_a_device_that_tells_no_size_is_not(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\n" * 3)
    for name, count in ((path, 3), (Path(os.devnull), 0)):
        descriptor = os.open(name, os.O_RDONLY)
        lines = InputLines(descriptor)
        lines.make_stale()
        assert [line.is_stale async for line in lines] == [True] * count
        os.close(descriptor)

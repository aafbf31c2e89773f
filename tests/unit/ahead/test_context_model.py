# SPDX-License-Identifier: Apache-2.0
"""Predictions from recordings: longest context, position, bounds, and always the same."""

import tracemalloc

from remsim.ahead.context_model import MAX_COMMANDS, MAX_RECORDING, ContextModel, Cursor, Prediction
from remsim.ahead.symbols import START


def _text(letters: str) -> tuple[bytes, ...]:
    return tuple(f"00b0{ord(letter):06x}".encode() for letter in letters)


def _expected(letter: str, order: int) -> Prediction:
    return Prediction(_text(letter)[0], order)


def _next(model: ContextModel, letters: str) -> Prediction | None:
    return model.by_context((START, *_text(letters)))


def test_longest_context_wins() -> None:
    model = ContextModel([_text("abcdXbcY")])
    assert _next(model, "abc") == _expected("d", 4)
    assert _next(model, "Xbc") == _expected("Y", 3)


def test_of_equally_long_contexts_the_more_frequent_wins_and_then_the_newest() -> None:
    model = ContextModel([_text("1abc"), _text("2abc"), _text("3abd"), _text("4abd")])
    found = _next(model, "5ab")
    assert found is not None
    assert found.symbol == _text("d")[0]


def test_without_a_common_pair_there_is_no_context() -> None:
    assert _next(ContextModel([_text("abcd")]), "xy") is None
    assert ContextModel().by_context((START,)) is None


def test_end_of_a_recording_predicts_nothing() -> None:
    assert _next(ContextModel([_text("abcd"), _text("efgh")]), "cd") is None


def _follow(model: ContextModel, letters: str) -> str:
    """What is predicted by position after these."""
    cursor = Cursor()
    history: tuple[bytes, ...] = (START,)
    for symbol in _text(letters):
        history = (*history, symbol)
        cursor = model.follow(cursor, history)
    found = model.followed(cursor)
    return "" if found is None else chr(int(found.symbol[4:], 16))


def test_modem_is_followed_past_what_it_leaves_out_adds_or_swaps() -> None:
    model = ContextModel([_text("abcdefghijkl")])
    assert _follow(model, "abcd") == "e"
    assert _follow(model, "abceg") == "h"
    assert _follow(model, "abcXY") == "d"
    assert _follow(model, "abdc") == "e"
    assert _follow(model, "abcdefghijkl") == ""


def test_beginning_of_a_recording_gives_way_to_the_whole() -> None:
    model = ContextModel()
    assert model.learn(_text("abcd"))
    assert model.learn(_text("abcdef"))
    assert not model.learn(_text("abcdef"))
    assert not model.learn(_text("abcde"))
    assert model.recordings == (_text("abcdef"),)


def test_too_short_a_recording_says_nothing() -> None:
    assert not ContextModel().learn(_text("abc"))


def test_old_recordings_make_room() -> None:
    model = ContextModel()
    for number in range(5):
        model.learn([bytes((0, 0xB0, number, at >> 8, at & 0xFF)) for at in range(3000)])
    assert model.size <= MAX_COMMANDS
    assert {recording[0][2] for recording in model.recordings} == {3, 4}
    assert all(len(recording) == MAX_RECORDING for recording in model.recordings)


def test_full_model_takes_less_than_a_megabyte() -> None:
    tracemalloc.start()
    model = ContextModel(
        [[bytes((0, 0xA4, number, at >> 8, at & 0xFF)) + bytes(16) for at in range(2048)] for number in range(2)]
    )
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert model.size == MAX_COMMANDS
    assert used < 1 << 20

# SPDX-License-Identifier: Apache-2.0
"""Numbers of spans: the same at both ends, different for all commands, and fairly sampled."""

from remsim.spans.ids import SpanIds, span_ids
from remsim.trace.tap import NO_ID, CommandId

SESSION = bytes.fromhex("0a1b2c3d4e5f")


def made(tag: int, index: int = 0, session: bytes = SESSION) -> SpanIds:
    ids = span_ids(CommandId(session, tag, index))
    assert ids is not None
    return ids


def test_same_command_has_the_same_numbers_and_no_other_has() -> None:
    assert made(17) == made(17)
    several = {made(tag, index, session) for tag in range(50) for index in range(3) for session in (SESSION, b"other!")}
    assert len({ids.trace_id for ids in several}) == len({ids.span_id for ids in several}) == 300
    # Digits of one do not run into those of the other.
    assert made(1, 11) != made(11, 1)
    assert all(0 < ids.trace_id < 1 << 128 and 0 < ids.span_id < 1 << 64 for ids in several)


def test_command_without_a_unique_name_has_no_numbers() -> None:
    assert span_ids(NO_ID) is None
    assert span_ids(CommandId(b"", 17)) is None
    assert span_ids(CommandId(SESSION, None)) is None


def test_share_that_is_sampled_is_what_was_asked_for() -> None:
    several = [made(tag) for tag in range(4000)]
    assert all(ids.is_sampled(1.0) for ids in several)
    assert 300 < sum(ids.is_sampled(0.1) for ids in several) < 500
    # What a smaller share takes, a larger one takes, too.
    assert all(ids.is_sampled(0.5) for ids in several if ids.is_sampled(0.1))


def test_only_the_random_bits_decide() -> None:
    assert SpanIds((1 << 127) | 1, 1).is_sampled(0.001)
    assert not SpanIds((1 << 56) - 1, 1).is_sampled(0.999)

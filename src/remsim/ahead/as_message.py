# SPDX-License-Identifier: Apache-2.0
"""Where the time of a slot's commands goes, as programs tell it their server: figures to the element of the message."""

from remsim.ahead.figures import LatencyFigures
from remsim.wire.messages.health import MAX_COUNT, Latency


def as_message(figures: LatencyFigures) -> Latency | None:
    """The element; None if there is nothing to tell. Values beyond the limits of the message count as these."""
    if figures.commands == 0 and figures.ahead.guesses == 0:
        return None
    ahead = figures.ahead
    return Latency(
        commands=_count(figures.commands),
        round_trips=_count(figures.round_trips),
        hold_ms=_ms(figures.hold_s),
        guesses=_count(ahead.guesses),
        hits=_count(ahead.hits),
        misses=_count(ahead.misses),
        undone=_count(ahead.undone),
        restores=_count(ahead.restores),
        saved_ms=max(-MAX_COUNT, min(MAX_COUNT, round(ahead.saved_s * 1000))),
        waited_ms=None if figures.waited_s is None else _ms(figures.waited_s),
        card_ms=None if figures.card_s is None else _ms(figures.card_s),
        round_trip_ms=None if figures.round_trip_s is None else _ms(figures.round_trip_s),
    )


def _count(number: int) -> int:
    return max(0, min(MAX_COUNT, number))


def _ms(seconds: float) -> int:
    return _count(round(seconds * 1000))

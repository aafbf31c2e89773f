# SPDX-License-Identifier: Apache-2.0
"""Thousands of commands with cuts between; ``python -m tests.soak`` sends a million."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak.loop import Sample, SoakError, SoakPlan, SoakReport, soak

_PLAN = SoakPlan(6000, slots=4, rounds=3, warm_up=1)
_SAMPLE = Sample(
    commands=1, cuts=1, seconds=1.0, memory_kb=90_000, objects=100_000, descriptors=70, tasks=30, threads=2
)


async def test_nothing_grows_while_links_are_cut(tmp_path: Path) -> None:
    report = await soak(tmp_path, _PLAN)
    report.check(memory=False)
    first, *_, last = report.samples
    assert last.commands >= _PLAN.commands
    # At least one cut of all links in each round.
    assert first.cuts >= _PLAN.slots
    assert last.cuts >= _PLAN.slots * _PLAN.rounds


@pytest.mark.parametrize(
    "grown",
    [
        replace(_SAMPLE, memory_kb=95_000),
        replace(_SAMPLE, objects=102_000),
        replace(_SAMPLE, descriptors=71),
        replace(_SAMPLE, tasks=31),
        replace(_SAMPLE, threads=2 + 33),
    ],
)
def test_growth_is_found(grown: Sample) -> None:
    SoakReport(_PLAN, [_SAMPLE, grown, _SAMPLE]).check()
    with pytest.raises(SoakError, match="have grown"):
        SoakReport(_PLAN, [_SAMPLE, _SAMPLE, grown]).check()

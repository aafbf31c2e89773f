# SPDX-License-Identifier: Apache-2.0
"""One command ahead in each round of the loop."""

import asyncio

from remsim.bankd.ahead_turns import AheadTurns


async def test_each_round_of_the_loop_has_one_turn() -> None:
    loop, rounds, seen = asyncio.get_running_loop(), 0, list[tuple[int, int]]()
    enough = asyncio.Event()

    def count() -> None:
        nonlocal rounds
        rounds += 1
        if rounds < 10:
            loop.call_soon(count)
        else:
            enough.set()

    def run(slot_nr: int) -> None:
        seen.append((slot_nr, rounds))
        # One that goes on comes behind the others.
        if slot_nr == 3 and len(seen) < 4:
            turns.want(3)

    turns = AheadTurns(run)
    count()
    for slot_nr in (3, 4, 5):
        turns.want(slot_nr)
    await enough.wait()
    assert [slot_nr for slot_nr, _ in seen] == [3, 4, 5, 3]
    assert len({number for _, number in seen}) == 4


async def test_turn_may_be_put_off() -> None:
    loop, seen = asyncio.get_running_loop(), list[tuple[int, float]]()
    done = asyncio.Event()

    def run(slot_nr: int) -> None:
        seen.append((slot_nr, loop.time()))
        if slot_nr == 1:
            done.set()

    turns = AheadTurns(run)
    began = loop.time()
    turns.want(1, 0.02)
    turns.want(2)
    await done.wait()
    assert [slot_nr for slot_nr, _ in seen] == [2, 1]
    assert seen[1][1] - began >= 0.019

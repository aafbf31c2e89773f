# SPDX-License-Identifier: Apache-2.0
"""A short run of the mutated conversations, always the same ones; ``make fuzz`` plays many more."""

from pathlib import Path

import pytest

from bench.loops import run
from tests.fuzz.campaign import Campaign, CampaignError, run_campaign
from tests.fuzz.conversation import conversation
from tests.fuzz.house import House

_SEED = 20261123


# Takes seconds by itself; under coverage, on a machine with other work, several times that.
@pytest.mark.timeout(240)
def test_mutated_conversations_harm_no_program_and_no_other_session(tmp_path: Path) -> None:
    report = run_campaign(tmp_path, seed=_SEED, numbers=range(2000), log_level="info", is_quiet=True)
    assert report.conversations == 2000
    assert all(report.by_part.values())
    assert report.canary_commands > 0


def test_program_that_dies_is_noticed_and_told_how_to_play_again(tmp_path: Path) -> None:
    async def kill_and_play(house: House) -> None:
        next(tenant for tenant in house.tenants if tenant.name == "lonely-bankd").stop()
        await Campaign(house, seed=_SEED, numbers=range(5000), is_quiet=True).run()

    with House(tmp_path, log_level="info") as house, pytest.raises(CampaignError) as caught:
        run(kill_and_play(house))
    assert f"--seed {_SEED} --only " in str(caught.value)


def test_conversation_is_the_same_every_time() -> None:
    first = [conversation(_SEED, number) for number in range(200)]
    assert first == [conversation(_SEED, number) for number in range(200)]
    assert first != [conversation(_SEED + 1, number) for number in range(200)]

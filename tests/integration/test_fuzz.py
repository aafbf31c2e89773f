# SPDX-License-Identifier: Apache-2.0
"""A short run of the mutated conversations, always the same ones; ``make fuzz`` plays many more."""

from pathlib import Path

import pytest

from bench.loops import run
from tests.fuzz import client_victim
from tests.fuzz.campaign import Campaign, CampaignError, run_campaign
from tests.fuzz.client_victim import VictimError, attack_client
from tests.fuzz.conversation import conversation
from tests.fuzz.programs import Programs

_SEED = 20261123


# Takes seconds by itself; under coverage, on a machine with other work, several times that.
@pytest.mark.timeout(240)
def test_mutated_conversations_harm_no_program_and_no_other_session(tmp_path: Path) -> None:
    report = run_campaign(tmp_path, seed=_SEED, numbers=range(2000), log_level="info", is_quiet=True)
    assert report.conversations == 2000
    assert all(report.by_part.values())
    assert report.canary_commands > 0


def test_program_that_dies_is_noticed_and_told_how_to_play_again(tmp_path: Path) -> None:
    async def kill_and_play(programs: Programs) -> None:
        next(tenant for tenant in programs.tenants if tenant.name == "lonely-bankd").stop()
        await Campaign(programs, seed=_SEED, numbers=range(5000), is_quiet=True).run()

    with Programs(tmp_path, log_level="info") as programs, pytest.raises(CampaignError) as caught:
        run(kill_and_play(programs))
    assert f"--seed {_SEED} --only " in str(caught.value)


def test_conversation_is_the_same_every_time() -> None:
    first = [conversation(_SEED, number) for number in range(200)]
    assert first == [conversation(_SEED, number) for number in range(200)]
    assert first != [conversation(_SEED + 1, number) for number in range(200)]


# The client waits longer and longer for peers that turn it away, so a conversation takes its time.
@pytest.mark.timeout(240)
async def test_hostile_server_and_bankd_harm_neither_the_client_nor_its_other_slot(tmp_path: Path) -> None:
    report = await attack_client(tmp_path, seed=_SEED, conversations=60)
    assert min(report.as_server, report.as_bankd) >= 60
    assert report.live_commands > 0


async def test_client_that_does_not_end_well_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other slot's card answers with something else than it should.
    monkeypatch.setattr(client_victim, "ANSWER", b"\x07\x91\x00")
    monkeypatch.setattr(client_victim, "live_card", lambda _tpdu: b"\x07\x90\x00")
    with pytest.raises(VictimError, match=f"the live card answered .*seed {_SEED}"):
        await attack_client(tmp_path, seed=_SEED, conversations=1)

# SPDX-License-Identifier: Apache-2.0
"""The guard's rules in their file."""

from pathlib import Path

import pytest

from remsim.bankd.guard import read_guard_policy, reread_guard_policy
from remsim.config import BankdConfig
from remsim.core.errors import StartError
from remsim.policy.fields import PolicyError
from remsim.policy.guard import DEFAULT
from tests.doubles.noted_log import NotedLog


def config(folder: Path, rules: str | None) -> BankdConfig:
    guard = None
    if rules is not None:
        guard = folder / "guard.toml"
        guard.write_text(rules)
    return BankdConfig(state_dir=folder, reader="sim", guard=guard)


def test_without_a_file_the_shipped_rules_hold(tmp_path: Path) -> None:
    assert read_guard_policy(config(tmp_path, None)) is DEFAULT


def test_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="pin-chance"):
        read_guard_policy(config(tmp_path, '[presets]\npin-chance = "block"\n'))
    missing = BankdConfig(state_dir=tmp_path, reader="sim", guard=tmp_path / "none")
    with pytest.raises(StartError, match="cannot be read"):
        read_guard_policy(missing)


async def test_file_is_read_again(tmp_path: Path) -> None:
    log = NotedLog()
    settings = config(tmp_path, '[presets]\npin-change = "log"\n')
    (tmp_path / "guard.toml").write_text('[[rule]]\nname = "mine"\naction = "block"\nins = "D6"\n')
    policy = await reread_guard_policy(settings, log.logger)
    assert policy is not None
    assert policy.rules[0].name == "mine"
    assert log.is_empty()


@pytest.mark.parametrize("rules", ['[presets]\npin-chance = "block"\n', None])
async def test_file_that_cannot_be_used_any_more_is_reported(tmp_path: Path, rules: str | None) -> None:
    log = NotedLog()
    settings = config(tmp_path, '[presets]\npin-change = "log"\n')
    assert settings.guard is not None
    if rules is None:
        settings.guard.unlink()
    else:
        settings.guard.write_text(rules)
    assert await reread_guard_policy(settings, log.logger) is None
    told = await log.next("guard_not_reloaded")
    assert "guard.toml" in told["error"]
    assert told["hint"]


async def test_without_a_file_there_is_nothing_to_read(tmp_path: Path) -> None:
    log = NotedLog()
    assert await reread_guard_policy(config(tmp_path, None), log.logger) is None
    assert log.is_empty()

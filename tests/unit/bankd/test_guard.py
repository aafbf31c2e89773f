# SPDX-License-Identifier: Apache-2.0
"""The guard's rules in their file, and the mask over traces."""

from pathlib import Path

import pytest

from remsim.bankd.guard import TraceMask, read_guard_policy, reread_guard_policy
from remsim.config import BankdConfig
from remsim.core.errors import StartError
from remsim.policy.fields import PolicyError
from remsim.policy.guard import DEFAULT
from remsim.trace.gsmtap import AtrRecord, TpduMark, TpduRecord
from tests.doubles.noted_log import NotedLog

SELECT_MF = bytes.fromhex("00a40004023f00")


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


def test_trace_hides_pins_and_authentication() -> None:
    mask = TraceMask()
    verify = TpduRecord(0, bytes.fromhex("0020000108") + b"1234\xff\xff\xff\xff", b"\x90\x00")
    assert mask(verify) == TpduRecord(0, bytes.fromhex("0020000108") + b"\xff" * 8, b"\x90\x00")
    authenticate = TpduRecord(0, bytes.fromhex("0088008110") + bytes(16), bytes(4) + b"\x90\x00")
    assert mask(authenticate) == TpduRecord(0, bytes.fromhex("0088008110") + b"\xff" * 16, b"\xff" * 4 + b"\x90\x00")
    plain = TpduRecord(0, SELECT_MF, b"\x61\x20")
    assert mask(plain) == plain
    assert mask(AtrRecord(0, b"\x3b\x00")) == AtrRecord(0, b"\x3b\x00")


def test_trace_follows_each_card_and_its_resets() -> None:
    mask = TraceMask()
    select = [bytes.fromhex("00a40004023f00"), bytes.fromhex("00a40004022fe2")]
    read = bytes.fromhex("00b000000a")
    number = bytes.fromhex("98100101000000000019") + b"\x90\x00"
    for command in select:
        mask(TpduRecord(0, command, b"\x61\x20"))
    shown = mask(TpduRecord(0, read, number))
    assert isinstance(shown, TpduRecord)
    assert shown.response == bytes.fromhex("981001ffffffffff0019") + b"\x90\x00"
    mask.on_reset(0)
    again = mask(TpduRecord(0, read, number))
    assert isinstance(again, TpduRecord)
    # The MF is selected, of which nothing is secret.
    assert again.response == number


def test_trace_knows_what_guesses_have_selected_and_what_the_modem_believes() -> None:
    """The card is ahead of the modem: each is hidden by what is selected where it was run, or is believed to be."""
    mask = TraceMask()
    select = {name: bytes.fromhex(f"00a4000402{name}") for name in ("3f00", "2fe2", "2f00")}
    read, content = bytes.fromhex("00b000000a"), bytes(range(0x10, 0x1A)) + b"\x90\x00"

    def shown(tpdu: bytes, response: bytes, mark: TpduMark = TpduMark.MODEM, *, was_run: bool = True) -> bytes:
        record = mask(TpduRecord(0, tpdu, response, mark, was_run=was_run))
        assert isinstance(record, TpduRecord)
        assert record.mark is mark
        return record.response

    ok = b"\x61\x20"
    shown(select["3f00"], ok)
    shown(select["2f00"], ok)
    # The guess selects the card's number; the modem still has another file.
    shown(select["2fe2"], ok, TpduMark.GUESS)
    assert shown(read, content, TpduMark.GUESS) != content
    assert shown(read, content, was_run=False) == content
    # It is brought back, and the modem's own commands are followed, too.
    shown(select["2f00"], ok, TpduMark.RESTORE)
    assert shown(read, content, TpduMark.GUESS) == content
    shown(select["2fe2"], ok)
    assert shown(read, content, TpduMark.GUESS) != content
    mask.on_reset(0)
    assert shown(read, content, TpduMark.GUESS) == content

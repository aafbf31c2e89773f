# SPDX-License-Identifier: Apache-2.0
"""Where the plan of slots comes from, and the file that keeps found readers in their slots."""

from pathlib import Path

import pytest

from remsim.bankd.slots import AutoPlan, OrderPlan, RulePlan
from remsim.bankd.slots_csv import CSV_NAME
from remsim.bankd.slots_file import load_auto, make_plan, save_auto
from remsim.config import BankdConfig, SlotReader
from remsim.errors import ConfigError, StartError


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "slots.json"
    plan = AutoPlan(8, {"b ?? 00": 3, "a ?? 00": 0}, is_changed=True)
    save_auto(path, plan)
    assert not plan.is_changed
    assert load_auto(path, 8).known == plan.known
    assert load_auto(tmp_path / "none.json", 8).known == {}


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"version": 2, "slots": {}}', '{"version": 1, "slots": []}', '{"version": 1, "slots": {"x": "a"}}',
     '{"version": 1, "slots": {"0": 1}}', '{"version": 1, "slots": {"0": "a", "1": "a"}}', "[" * 100_000,
     '{"version": 1, "slots": {"%s": "a"}}' % ("9" * 5000)],
)  # fmt: skip
def test_file_that_is_none_of_ours_is_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "slots.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"slots\.json cannot be used") as caught:
        load_auto(path, 8)
    assert "delete it" in caught.value.hint
    assert path.read_text(encoding="utf-8") == text


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StartError, match="cannot write"):
        save_auto(tmp_path / "file" / "slots.json", AutoPlan(1))


def test_sources_of_slots(tmp_path: Path) -> None:
    state = tmp_path / "state"
    csv = tmp_path / CSV_NAME
    assert isinstance(make_plan(BankdConfig(state_dir=state), folder=tmp_path)[0], AutoPlan)
    csv.write_text("1,0,x\n1,0,y\n", encoding="utf-8")
    plan, warnings = make_plan(BankdConfig(state_dir=state), folder=tmp_path)
    assert isinstance(plan, RulePlan)
    assert len(warnings) == 1
    assert isinstance(make_plan(BankdConfig(state_dir=state, csv=csv), folder=state)[0], RulePlan)
    assert isinstance(make_plan(BankdConfig(state_dir=state, auto=True), folder=tmp_path)[0], AutoPlan)
    assert isinstance(make_plan(BankdConfig(state_dir=state, reader="sim"), folder=tmp_path)[0], OrderPlan)
    table = BankdConfig(state_dir=state, slot=(SlotReader(slot=0, reader="a"),))
    assert isinstance(make_plan(table, folder=tmp_path)[0], RulePlan)


def test_named_csv_file_must_be_readable(tmp_path: Path) -> None:
    config = BankdConfig(state_dir=tmp_path, csv=tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="No such file"):
        make_plan(config, folder=tmp_path)
    (tmp_path / "none.csv").write_bytes(b"1,0,\xff\xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        make_plan(config, folder=tmp_path)

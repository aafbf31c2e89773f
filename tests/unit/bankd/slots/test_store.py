# SPDX-License-Identifier: Apache-2.0
"""Where the plan of slots comes from, and the file that keeps found readers in their slots."""

from pathlib import Path

import pytest

from remsim.bankd.slots.auto import AutoPlan, KnownReader
from remsim.bankd.slots.csv import CSV_NAME
from remsim.bankd.slots.plan import OrderPlan, RulePlan
from remsim.bankd.slots.store import load_auto, make_plan, save_auto
from remsim.config import BankdConfig, SlotReader
from remsim.core.errors import ConfigError, StartError


@pytest.mark.parametrize(
    ("places", "version"), [({}, 1), ({4: KnownReader("c ?? 00", "1-2.3", 1), 5: KnownReader("c ?? 00", "1-2.3")}, 2)]
)
def test_what_was_kept_is_read_again(tmp_path: Path, places: dict[int, KnownReader], version: int) -> None:
    path = tmp_path / "state" / "slots.json"
    known = {3: KnownReader("b ?? 00"), 0: KnownReader("a ?? 00")} | places
    plan = AutoPlan(8, known, is_changed=True)
    save_auto(path, plan)
    assert f'"version": {version},' in path.read_text(encoding="utf-8")
    assert not plan.is_changed
    assert load_auto(path, 8).known == plan.known
    assert load_auto(tmp_path / "none.json", 8).known == {}


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"version": 3, "slots": {}}', '{"version": 2, "slots": {"0": {"reader": "a"}}}',
     '{"version": 2, "slots": {"0": {"reader": "a", "usb": "1-1", "interface": true}}}',
     '{"version": 2, "slots": {"0": {"reader": "a", "usb": 1, "interface": 0}}}',
     '{"version": 1, "slots": {"0": "a", "00": "b"}}',
     '{"version": 1, "slots": []}', '{"version": 1, "slots": {"x": "a"}}',
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


def test_file_that_a_person_edited_has_a_mark_at_its_beginning_or_is_named_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "slots.json"
    text = '{"version": 1, "slots": {"1": "a ?? 00"}}'
    path.write_text(text, encoding="utf-8-sig")
    assert load_auto(path, 8).known == {1: KnownReader("a ?? 00")}
    path.write_text(text, encoding="utf-16")
    with pytest.raises(ConfigError, match=r"slots\.json cannot be used: it is UTF-16 text, not UTF-8"):
        load_auto(path, 8)


def test_kept_slots_that_the_bank_does_not_have_are_warned_about(tmp_path: Path) -> None:
    save_auto(tmp_path / "slots.json", AutoPlan(8, {0: KnownReader("a ?? 00"), 6: KnownReader("b ?? 00")}))
    plan, (warning,) = make_plan(BankdConfig(state_dir=tmp_path, slots=4), folder=tmp_path / "empty")
    assert isinstance(plan, AutoPlan)
    assert warning == (
        f"{tmp_path}/slots.json: b ?? 00: slot 6 does not exist in a bank of 4 slots; it is passed over (see --slots)"
    )


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
    (tmp_path / "none.csv").write_text("1,0,x\n", encoding="utf-16")
    with pytest.raises(ConfigError, match="it is UTF-16 text"):
        make_plan(config, folder=tmp_path)


def test_csv_file_of_a_spreadsheet_has_a_mark_at_its_beginning(tmp_path: Path) -> None:
    csv = tmp_path / "sheet.csv"
    csv.write_text('"1","0","x"\n', encoding="utf-8-sig")
    plan, warnings = make_plan(BankdConfig(state_dir=tmp_path, csv=csv), folder=tmp_path)
    assert isinstance(plan, RulePlan)
    assert [rule.text for rule in plan.rules] == ["x"]
    assert not warnings


def test_slots_that_the_bank_does_not_have_are_warned_about_alike_in_csv_and_toml(tmp_path: Path) -> None:
    csv = tmp_path / "slots.csv"
    csv.write_text("1,0,x\n1,4,y\n", encoding="utf-8")
    entries = (SlotReader(slot=0, reader="x"), SlotReader(slot=4, reader="y"))
    for config in (
        BankdConfig(state_dir=tmp_path, slots=4, csv=csv),
        BankdConfig(state_dir=tmp_path, slots=4, slot=entries),
    ):
        plan, (warning,) = make_plan(config, folder=tmp_path)
        assert isinstance(plan, RulePlan)
        assert [rule.slot_nr for rule in plan.rules] == [0]
        assert warning.endswith("2: slot 4 does not exist in a bank of 4 slots; it is passed over (see --slots)")


def test_file_that_describes_no_slot_of_this_bank_is_warned_about(tmp_path: Path) -> None:
    csv = tmp_path / "slots.csv"
    for text, has in (("7,0,x\n3,0,x\n", "it has lines of bank 3, 7"), ("# empty\n", "it has no line of any bank")):
        csv.write_text(text, encoding="utf-8")
        _, warnings = make_plan(BankdConfig(state_dir=tmp_path, csv=csv), folder=tmp_path)
        assert warnings[-1].startswith(f"{csv}: no line is about a slot of bank 1: no reader is used; {has}")
    table = BankdConfig(state_dir=tmp_path, slots=1, slot=(SlotReader(slot=4, reader="y"),))
    assert make_plan(table, folder=tmp_path)[1][-1].startswith("no [[slot]] table is about a slot of this bank")

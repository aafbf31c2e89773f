# SPDX-License-Identifier: Apache-2.0
"""Slots and readers kept together while readers come and go."""

import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from remsim.bankd.driver import CardDeadlines, CardDriver
from remsim.bankd.readers import SlotReaders, make_source
from remsim.bankd.slots.auto import AutoPlan
from remsim.bankd.slots.plan import RulePlan, SlotPlan, table_rules
from remsim.bankd.slots.store import load_auto
from remsim.bankd.stuck import StuckReaders
from remsim.config import BankdConfig, SlotReader
from remsim.core.errors import StartError
from remsim.logs import get_logger, setup_logging
from remsim.net.runtime.tasks import TaskOwner
from remsim.readers.base import Presence, ReaderSource
from remsim.readers.errors import ReaderUnavailableError
from remsim.readers.pcsc import PcscSource
from remsim.readers.pcscd import PcscdSource, PcscdUnwillingError
from remsim.readers.pcscd.channel import VersionUnknownError
from remsim.readers.sim.source import SimSource
from tests.doubles.readers import ScriptedReader, ScriptedSource
from tests.doubles.scard import FakeScard
from tests.unit.bankd.test_driver import Events

A, B = "ACS 00 00", "HID 01 00"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    setup_logging(level="info", log_format="text", stream=stream)
    yield stream
    setup_logging(level="info", log_format="text")


class Stand:
    """A bank's slots, and what is said about their readers."""

    def __init__(self, tasks: TaskOwner, folder: Path, source: ScriptedSource, plan: SlotPlan) -> None:
        self.config = BankdConfig(state_dir=folder, slots=3)
        self.source = source
        self.slots = [
            CardDriver(
                nr,
                events=Events(),
                tasks=tasks,
                observe=lambda _s: None,
                deadlines=CardDeadlines(),
                stuck=StuckReaders(readers=lambda: 3, log=get_logger("bankd")),
            )
            for nr in range(3)
        ]
        self.said: list[tuple[int, bool, str, str]] = []
        self.readers = SlotReaders(
            self.config, source, plan, self.slots, on_presence=self._on_presence, log=get_logger("bankd")
        )

    def _on_presence(self, slot_nr: int, *, is_present: bool, reader: str, cause: str) -> None:
        self.said.append((slot_nr, is_present, reader, cause))

    def names(self) -> list[str | None]:
        return [None if slot.reader is None else slot.reader.name for slot in self.slots]


@pytest.fixture
async def tasks() -> AsyncIterator[TaskOwner]:
    async with TaskOwner("test") as tasks:
        yield tasks


async def test_found_readers_get_slots_that_are_kept(tasks: TaskOwner, tmp_path: Path, log: io.StringIO) -> None:
    source = ScriptedSource(ScriptedReader(A))
    stand = Stand(tasks, tmp_path, source, AutoPlan(3))
    await stand.readers.start()
    source.tell(A, Presence.PRESENT)
    source.tell(B, Presence.ABSENT)
    source.tell(B, Presence.PRESENT)
    source.tell(A, Presence.ABSENT)
    assert stand.names() == [A, B, None]
    assert stand.said == [
        (0, False, A, ""),
        (0, True, A, ""),
        (1, False, B, "reader plugged in"),
        (1, False, B, "reader plugged in"),
        (1, True, B, "card inserted"),
        (0, False, A, "card removed"),
    ]
    kept = json.loads((tmp_path / "slots.json").read_text(encoding="utf-8"))
    assert kept["slots"] == {"0": "ACS ?? 00", "1": "HID ?? 00"}
    assert "readers_found readers=1 slots_with_reader=1" in log.getvalue()
    await stand.readers.stop()
    assert source.is_stopped


async def test_reader_that_is_unplugged_leaves_its_slot(tasks: TaskOwner, tmp_path: Path) -> None:
    source = ScriptedSource(ScriptedReader(A), ScriptedReader(B))
    stand = Stand(tasks, tmp_path, source, AutoPlan(3))
    await stand.readers.start()
    stand.said.clear()
    source.tell(B, Presence.UNKNOWN, "PC/SC service gone")
    source.tell(B, Presence.UNKNOWN)
    assert stand.names() == [A, None, None]
    assert stand.said == [(1, False, "", "PC/SC service gone"), (1, False, "", "another reader")]
    stand.said.clear()
    source.tell(B, Presence.PRESENT, "PC/SC service back")
    assert stand.names() == [A, B, None]
    # The first that is said of the card is what the log and the server hear.
    assert stand.said[0] == (1, True, B, "PC/SC service back")


async def test_card_that_comes_with_its_reader_is_told_with_the_cause(tasks: TaskOwner, tmp_path: Path) -> None:
    source = ScriptedSource(ScriptedReader(A))
    stand = Stand(tasks, tmp_path, source, AutoPlan(3))
    await stand.readers.start()
    source.tell(A, Presence.PRESENT)
    assert {said[3] for said in stand.said} == {""}, "so it stood at the start"
    stand.said.clear()
    source.tell(B, Presence.PRESENT)
    assert stand.said[0] == (1, True, B, "reader plugged in")


async def test_problems_are_told_once(tasks: TaskOwner, tmp_path: Path, log: io.StringIO) -> None:
    entries = (SlotReader(slot=0, reader=A), SlotReader(slot=1, reader="missing"))
    plan = RulePlan(table_rules(BankdConfig(state_dir=tmp_path, slot=entries)))
    source = ScriptedSource(ScriptedReader(A))
    stand = Stand(tasks, tmp_path, source, plan)
    await stand.readers.start()
    source.tell(B, Presence.PRESENT)
    source.tell(A, Presence.UNKNOWN)
    (line,) = [line for line in log.getvalue().splitlines() if "no_such_reader" in line]
    assert "[B1:1] wanted=missing" in line


async def test_twins_are_reported_for_the_bank(tasks: TaskOwner, tmp_path: Path, log: io.StringIO) -> None:
    source = ScriptedSource(ScriptedReader("ACS 00 00"), ScriptedReader("ACS 01 00"))
    stand = Stand(tasks, tmp_path, source, AutoPlan(3))
    await stand.readers.start()
    assert stand.names() == [None, None, None]
    assert log.getvalue().count("readers_indistinguishable") == 1


async def test_reader_whose_port_is_known_late_gets_its_slot(
    tasks: TaskOwner, tmp_path: Path, log: io.StringIO
) -> None:
    # Another program held it when it was asked.
    first, second = "ACS 00 00", "ACS 01 00"
    source = ScriptedSource(ScriptedReader(first), ScriptedReader(second))
    source.places[first] = "1-1"
    stand = Stand(tasks, tmp_path, source, AutoPlan(3))
    await stand.readers.start()
    source.tell(first, Presence.PRESENT)
    source.tell(second, Presence.PRESENT)
    assert stand.names() == [first, None, None]
    assert log.getvalue().count("readers_indistinguishable") == 1
    stand.said.clear()
    source.places[second] = "1-2"
    source.tell(second, Presence.PRESENT, "its USB port is known")
    assert stand.names() == [first, second, None]
    # Nothing happened at the other one.
    assert set(stand.said) == {(1, True, second, "its USB port is known")}
    source.tell(second, Presence.ABSENT)
    assert stand.names() == [first, second, None]


async def test_readers_that_a_source_gives_one_name_are_not_used(
    tasks: TaskOwner, tmp_path: Path, log: io.StringIO
) -> None:
    source = ScriptedSource(ScriptedReader(A), ScriptedReader(B), at_start=(A, B, A))
    entries = (SlotReader(slot=0, reader=A), SlotReader(slot=1, reader=B))
    plan = RulePlan(table_rules(BankdConfig(state_dir=tmp_path, slot=entries)))
    stand = Stand(tasks, tmp_path, source, plan)
    await stand.readers.start()
    source.tell(A, Presence.PRESENT)
    assert stand.names() == [None, B, None]
    assert not [said for said in stand.said if said[0] == 0]
    (line,) = [line for line in log.getvalue().splitlines() if "readers_of_one_name" in line]
    assert f'reader="{A}"' in line


async def test_equal_readers_get_slots_by_where_they_are_plugged_in(tasks: TaskOwner, tmp_path: Path) -> None:
    first, second = "ACS 00 00", "ACS 01 00"
    source = ScriptedSource(ScriptedReader(first), ScriptedReader(second))
    source.places |= {first: "1-1", second: "1-2"}
    stand = Stand(tasks, tmp_path, source, AutoPlan(3))
    await stand.readers.start()
    assert stand.names() == [first, second, None]
    await stand.readers.stop()
    swapped = ScriptedSource(ScriptedReader(first), ScriptedReader(second))
    swapped.places |= {first: "1-2", second: "1-1"}
    stand = Stand(tasks, tmp_path, swapped, load_auto(tmp_path / "slots.json", 3))
    await stand.readers.start()
    assert stand.names() == [second, first, None]


async def test_source_that_can_never_work_stops_the_start(tasks: TaskOwner, tmp_path: Path) -> None:
    source = ScriptedSource()
    source.start_error = ReaderUnavailableError("no driver", hint="install it")
    with pytest.raises(StartError, match="no driver") as caught:
        await Stand(tasks, tmp_path, source, AutoPlan(3)).readers.start()
    assert caught.value.hint == "install it"


async def test_source_is_made_as_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, ReaderSource] = {}
    monkeypatch.setattr("remsim.readers.pcsc.source.load_scard", FakeScard)
    for name in ("pcscd", "pcsc", "sim"):
        config = BankdConfig(state_dir=tmp_path, reader=name)
        made[name] = await make_source(config, AutoPlan(8), get_logger("bankd"))
    assert isinstance(made["pcscd"], PcscdSource)
    assert made["pcscd"]._finds_places
    assert isinstance(made["pcsc"], PcscSource)
    assert made["pcsc"]._finds_places
    described = await make_source(BankdConfig(state_dir=tmp_path, reader="pcsc"), RulePlan([]), get_logger("bankd"))
    assert isinstance(described, PcscSource)
    assert not described._finds_places, "where slots are described, readers are not touched"
    assert isinstance(made["sim"], SimSource)
    with pytest.raises(StartError, match="no reader driver 'foo'"):
        await make_source(BankdConfig(state_dir=tmp_path, reader="foo"), AutoPlan(8), get_logger("bankd"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (None, PcscdSource),
        (PcscdUnwillingError("pcscd does not answer"), PcscdSource),
        (ReaderUnavailableError("cannot connect to pcscd"), PcscSource),
        (VersionUnknownError("it speaks 4:9"), PcscSource),
    ],
)
async def test_library_is_used_where_there_is_no_pcscd_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, kind: type[ReaderSource]
) -> None:
    """One that hangs or refuses is waited for: the library would speak to the same."""

    async def protocol_of(_socket: Path) -> str:
        if error is not None:
            raise error
        return "4:4"

    monkeypatch.setattr("remsim.readers.pcscd.protocol_of", protocol_of)
    monkeypatch.setattr("remsim.bankd.readers.find_spec", lambda _name: object())
    monkeypatch.setattr("remsim.readers.pcsc.source.load_scard", FakeScard)
    source = await make_source(BankdConfig(state_dir=tmp_path), AutoPlan(8), get_logger("bankd"))
    assert isinstance(source, kind)


async def test_source_of_another_package_is_made_without_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remsim.bankd.readers.source_factory", lambda _name: ScriptedSource)
    source = await make_source(BankdConfig(state_dir=tmp_path, reader="outside"), AutoPlan(8), get_logger("bankd"))
    assert isinstance(source, ScriptedSource)


@pytest.mark.parametrize(("whole_bank", "name", "expected"), [(False, A, True), (True, A, True), (True, B, False)])
@pytest.mark.parametrize("reader", ["pcscd", "pcsc"])
async def test_sharing_is_decided_per_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_bank: bool, name: str, expected: bool, reader: str
) -> None:
    monkeypatch.setattr("remsim.readers.pcsc.source.load_scard", FakeScard)
    entries = (SlotReader(slot=0, reader=A, shared=True), SlotReader(slot=1, reader=B, shared=False))
    config = BankdConfig(state_dir=tmp_path, slot=entries, shared_access=whole_bank, reader=reader)
    source = await make_source(config, RulePlan(table_rules(config)), get_logger("bankd"))
    assert isinstance(source, PcscSource | PcscdSource)
    assert source._is_shared(name) is expected
    assert source._is_shared("another") is whole_bank

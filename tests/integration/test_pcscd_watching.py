# SPDX-License-Identifier: Apache-2.0
"""Readers of a pcscd that come, go, have one name or another, and where they are plugged in."""

from pathlib import Path

import pytest

from remsim.readers.base import Presence
from remsim.readers.pcsc_common import usb
from remsim.readers.pcscd import PcscdDaemon, PcscdSource
from remsim.readers.pcscd.protocol import PcscdCommand
from tests.doubles.pcscd_rig import Watched, started, until
from tests.doubles.scripted_pcscd import ATR, scripted_pcscd

PRESENT, EMPTY, STARTING = 0x34, 0x02, 0x01


async def test_two_readers_of_one_name_are_noticed_and_neither_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scripted_pcscd(tmp_path / "s", ("R", PRESENT)) as pcscd, started(tmp_path / "s") as source:
        watched = Watched()
        source.watch(watched)
        await until(lambda: watched.latest == {"R": Presence.PRESENT})
        pcscd.change(("R", PRESENT), ("R", EMPTY), ("S", EMPTY))
        await until(lambda: watched.latest == {"R": Presence.UNKNOWN, "S": Presence.ABSENT})
        assert watched.events[1].cause == "two readers have this name"
        assert await source.names() == ["S"]
        pcscd.change(("R", PRESENT), ("S", EMPTY))
        await until(lambda: watched.latest["R"] is Presence.PRESENT)
    assert capsys.readouterr().err.count("readers_of_one_name") == 1


async def test_reader_that_comes_back_by_another_name_is_another_one(tmp_path: Path) -> None:
    async with scripted_pcscd(tmp_path / "s", ("R 00 00", PRESENT)) as pcscd, started(tmp_path / "s") as source:
        watched = Watched()
        source.watch(watched)
        pcscd.change(("R 01 00", STARTING))
        await until(lambda: watched.latest.get("R 00 00") is Presence.UNKNOWN)
        assert Presence.PRESENT not in [event.presence for event in watched.events if event.reader == "R 01 00"]
        pcscd.change(("R 01 00", PRESENT))
        await until(lambda: watched.latest["R 01 00"] is Presence.PRESENT)
        assert await source.names() == ["R 01 00"]


def usb_device(devices: Path, path: str, bus: int, address: int) -> None:
    (devices / path).mkdir(parents=True)
    (devices / path / "busnum").write_text(f"{bus}\n", encoding="ascii")
    (devices / path / "devnum").write_text(f"{address}\n", encoding="ascii")


async def test_readers_are_found_where_they_are_plugged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usb_device(tmp_path, "1-2.3", 1, 7)
    usb_device(tmp_path, "3-1", 3, 7)
    rows = [(reader, PRESENT) for reader in ("FIRST", "SILENT", "SERIAL", "GONE")]
    async with scripted_pcscd(tmp_path / "s", *rows) as pcscd:
        pcscd.channels = {"FIRST": 0x00200107, "SERIAL": 0x00010001, "GONE": 0x00200109, "LATE": 0x00200307}
        source = PcscdSource(daemons=[PcscdDaemon(tmp_path / "s")], finds_places=True, usb_devices=tmp_path)
        assert source.place("FIRST") == ""
        await source.start()
        assert [source.place(reader) for reader, _ in rows] == ["1-2.3", "", "", ""]
        watched = Watched()
        source.watch(watched)
        pcscd.change(*rows, ("LATE", EMPTY))
        await until(lambda: watched.latest.get("LATE") is Presence.ABSENT)
        assert source.place("LATE") == "3-1"
        # One that blocks, behind another program's transaction, is not waited for.
        monkeypatch.setattr(usb, "PATIENCE_S", 0.1)
        pcscd.blocking.add("BLOCKED")
        pcscd.change(*rows, ("BLOCKED", PRESENT))
        await until(lambda: watched.latest.get("BLOCKED") is Presence.PRESENT)
        assert (source.place("BLOCKED"), source.place("LATE")) == ("", "")
        await source.stop()
        assert PcscdCommand.TRANSMIT not in pcscd.log
        assert PcscdCommand.RECONNECT not in pcscd.log


async def test_reader_that_hangs_leaves_the_places_of_the_others_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It stands before the other in the list. Without places, readers of one model have no slots.
    monkeypatch.setattr(usb, "PATIENCE_S", 0.2)
    usb_device(tmp_path, "1-2", 1, 7)
    async with scripted_pcscd(tmp_path / "s", ("HANGS", PRESENT), ("WORKS", PRESENT)) as pcscd:
        pcscd.channels, pcscd.blocking = {"WORKS": 0x00200107}, {"HANGS"}
        source = PcscdSource(daemons=[PcscdDaemon(tmp_path / "s")], finds_places=True, usb_devices=tmp_path)
        await source.start()
        assert [source.place(reader) for reader in ("HANGS", "WORKS")] == ["", "1-2"]
        await source.stop()


async def test_reader_that_another_program_holds_is_asked_again_when_it_is_free(tmp_path: Path) -> None:
    usb_device(tmp_path, "1-2", 1, 7)
    rows = [("R", PRESENT), ("MUTE", PRESENT)]
    async with scripted_pcscd(tmp_path / "s", *rows) as pcscd:
        pcscd.channels, pcscd.held = {"R": 0x00200107}, {"R"}
        source = PcscdSource(daemons=[PcscdDaemon(tmp_path / "s")], finds_places=True, usb_devices=tmp_path)
        await source.start()
        watched = Watched()
        source.watch(watched)
        pcscd.change(*rows, ("S", EMPTY))
        await until(lambda: watched.latest.get("S") is Presence.ABSENT)
        asked = pcscd.log.count(PcscdCommand.CONNECT)
        assert (source.place("R"), asked) == ("", 3)
        pcscd.held.clear()
        pcscd.change(*rows, ("S", EMPTY))
        await until(lambda: source.place("R") == "1-2" and watched.events[-1].reader == "R")
        assert (watched.events[-1].presence, watched.events[-1].cause) == (Presence.PRESENT, "its USB port is known")
        assert watched.events[-1].atr == ATR
        assert pcscd.log.count(PcscdCommand.CONNECT) == asked + 1
        await source.stop()


async def test_readers_are_not_touched_where_places_do_not_matter(tmp_path: Path) -> None:
    async with scripted_pcscd(tmp_path / "s", ("R", PRESENT)) as pcscd, started(tmp_path / "s") as source:
        assert source.place("R") == ""
        assert PcscdCommand.CONNECT not in pcscd.log

# SPDX-License-Identifier: Apache-2.0
"""What a bankd finds wrong with its host. Sockets of pcscd are in tests/integration/test_bank_host.py."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from remsim.bankd import host_watch
from remsim.bankd.host_watch import HostWatch
from remsim.bankd.stuck import StuckReaders
from remsim.config import BankdConfig
from remsim.core import host_codes
from remsim.logs import get_logger
from remsim.wire.messages.health import HostCondition
from tests.doubles.readers import ScriptedReader

MIB = 1 << 20


class StuckReader(ScriptedReader):
    """Its driver has not returned."""

    is_stuck = True


@pytest.fixture
def stuck() -> StuckReaders:
    return StuckReaders(readers=lambda: 4, log=get_logger("bankd"))


@pytest.fixture
def watch(tmp_path: Path, stuck: StuckReaders) -> HostWatch:
    """That of a bank of software cards."""
    config = BankdConfig.model_validate({"state_dir": tmp_path, "reader": "sim"})
    return HostWatch(config, stuck=stuck, on_found=lambda _found: None)


def usage(free: int) -> Callable[[Path], SimpleNamespace]:
    return lambda _place: SimpleNamespace(free=free, total=10_000 * MIB)


@pytest.mark.parametrize(("free", "is_error"), [(49, True), (499, False)])
async def test_disk_that_is_nearly_full_is_found(
    watch: HostWatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, *, is_error: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", usage(free * MIB))
    text = f"{free} MiB of 10000 MiB are free at {tmp_path}"
    assert await watch.look() == [HostCondition(host_codes.DISK, is_error, text)]


async def test_disk_with_room_is_nothing_to_tell(watch: HostWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", usage(500 * MIB))
    assert await watch.look() == []


async def test_state_directory_that_is_gone_is_found(stuck: StuckReaders, tmp_path: Path) -> None:
    config = BankdConfig.model_validate({"state_dir": tmp_path / "gone", "reader": "sim"})
    (found,) = await HostWatch(config, stuck=stuck, on_found=lambda _found: None).look()
    assert (found.code, found.is_error) == (host_codes.DISK, True)
    assert found.detail == f"{tmp_path}/gone cannot be looked at: No such file or directory"


async def test_readers_that_hang_are_found_until_they_return(
    watch: HostWatch, stuck: StuckReaders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", usage(500 * MIB))
    reader = StuckReader()
    stuck.look_at(reader)
    text = "calls at 1 reader do not return: scripted"
    assert await watch.look() == [HostCondition(host_codes.READERS_STUCK, is_error=True, detail=text)]
    reader.is_stuck = False
    assert await watch.look() == []


async def test_it_looks_again_and_again(tmp_path: Path, stuck: StuckReaders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_watch, "FIRST_S", 0.0)
    monkeypatch.setattr(host_watch, "INTERVAL_S", 0.0)
    monkeypatch.setattr(shutil, "disk_usage", usage(1 * MIB))
    looks: list[list[str]] = []

    class EnoughError(Exception):
        """It has looked often enough."""

    def on_found(found: Sequence[HostCondition]) -> None:
        looks.append([one.code for one in found])
        if len(looks) == 3:
            raise EnoughError

    config = BankdConfig.model_validate({"state_dir": tmp_path, "reader": "sim"})
    with pytest.raises(EnoughError):
        await HostWatch(config, stuck=stuck, on_found=on_found).run()
    assert looks == [["disk"]] * 3

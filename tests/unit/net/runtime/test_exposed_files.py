# SPDX-License-Identifier: Apache-2.0
"""Files of a state directory that others can read are named at start, with what mends them."""

import asyncio
import shlex
from pathlib import Path

import pytest

from remsim.net.runtime.exposed_files import warn_of_exposed
from tests.doubles.noted_log import NotedLog

PRIVATE = ("server.sqlite", "server.sqlite-wal", "ledger.sqlite", "sim-00-a.state", "certified.json")


def make(path: Path, mode: int) -> Path:
    path.write_bytes(b"")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o601])
@pytest.mark.parametrize("name", PRIVATE)
async def test_file_that_others_can_reach_is_named_and_the_hint_mends_it(tmp_path: Path, name: str, mode: int) -> None:
    folder = tmp_path / "state of server"
    folder.mkdir()
    path, log = make(folder / name, mode), NotedLog()
    make(folder / "slots.json", 0o644)
    warn_of_exposed(folder, log.logger)
    event = await log.next("files_open_to_others")
    assert event["level"] == "warning"
    assert (event["files"], event["count"]) == ([str(path)], 1)
    command = shlex.split(event["hint"].removeprefix("run: "))
    assert command[:2] == ["chmod", "600"]
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0
    warn_of_exposed(folder, log.logger)
    assert log.is_empty()


@pytest.mark.parametrize("name", PRIVATE)
def test_file_as_programs_make_it_is_not_worth_a_line(tmp_path: Path, name: str) -> None:
    log = NotedLog()
    make(tmp_path / name, 0o600)
    warn_of_exposed(tmp_path, log.logger)
    warn_of_exposed(tmp_path / "nowhere", log.logger, also=[tmp_path / "gone.db"])
    assert log.is_empty()


async def test_database_elsewhere_and_many_files_are_one_line(tmp_path: Path) -> None:
    log = NotedLog()
    folder = tmp_path / "state"
    folder.mkdir()
    cards = [make(folder / f"sim-{number:02d}-a.state", 0o644) for number in range(20)]
    elsewhere = make(tmp_path / "a.db", 0o644)
    warn_of_exposed(folder, log.logger, also=[elsewhere, cards[0]])
    event = await log.next("files_open_to_others")
    assert event["count"] == 21
    assert event["files"][:2] == [str(elsewhere), str(cards[0])]
    assert len(event["files"]) == 8
    assert event["hint"].endswith(", and so for the others")
    assert log.is_empty()

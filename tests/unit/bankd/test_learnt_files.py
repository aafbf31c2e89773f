# SPDX-License-Identifier: Apache-2.0
"""Files of what was learnt: written as a whole or not at all, and set aside if they are damaged."""

import errno
import os
from pathlib import Path

import pytest

from remsim.ahead.bank_side import symbols
from remsim.ahead.context_model import ContextModel
from remsim.ahead.library import Library, Pair
from remsim.bankd.learnt_files import LearntFiles
from remsim.core.ids import BankSlot, ClientSlot
from tests.doubles.ahead_equivalence import recorded
from tests.doubles.noted_log import NotedLog

_PAIR = Pair(BankSlot(1, 3), ClientSlot(7, 0), bytes.fromhex("3b9f96801f"))
_START = symbols(recorded("iot-modem"))


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    files = LearntFiles(tmp_path / "ahead", NotedLog().logger)
    files.save(_PAIR, ContextModel([_START]))
    library = Library()
    LearntFiles(tmp_path / "ahead", NotedLog().logger).load_all(library)
    assert library.models(_PAIR)[0].recordings == (_START,)


def test_folder_that_is_not_there_is_nothing_to_report(tmp_path: Path) -> None:
    log = NotedLog()
    LearntFiles(tmp_path / "ahead", log.logger).load_all(Library())
    assert log.is_empty()


async def test_damaged_file_is_set_aside_and_the_others_are_read(tmp_path: Path) -> None:
    log = NotedLog()
    files = LearntFiles(tmp_path, log.logger)
    other = Pair(BankSlot(1, 4), _PAIR.modem, _PAIR.atr)
    files.save(_PAIR, ContextModel([_START]))
    files.save(other, ContextModel([_START[:50]]))
    path = files.path(_PAIR)
    path.write_bytes(path.read_bytes()[:-200])
    library = Library()
    files.load_all(library)
    assert (library.knows(_PAIR), library.knows(other)) == (False, True)
    assert not path.exists()
    assert path.with_suffix(".damaged").exists()
    assert (await log.any())["event"] == "learnt_damaged"
    assert log.is_empty()


async def test_full_disk_leaves_the_old_file_and_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = NotedLog()
    files = LearntFiles(tmp_path, log.logger)
    files.save(_PAIR, ContextModel([_START[:50]]))
    before = files.path(_PAIR).read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        files.save(_PAIR, ContextModel([_START]))
        files.save(_PAIR, ContextModel([_START]))
    assert files.path(_PAIR).read_bytes() == before
    assert not files.path(_PAIR).with_suffix(".new").exists()
    assert (await log.any())["event"] == "learnt_not_stored"
    assert log.is_empty()
    files.save(_PAIR, ContextModel([_START]))
    assert files.path(_PAIR).read_bytes() != before

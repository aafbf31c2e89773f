# SPDX-License-Identifier: Apache-2.0
"""``remsim bankd learn``: recorded starts become a model for all cards."""

from pathlib import Path

import pytest

from remsim.ahead.bank_side import symbols
from remsim.ahead.library import Library, Pair
from remsim.bankd.learning import learn_files
from remsim.bankd.learnt_files import FOLDER, LearntFiles
from remsim.core.errors import ConfigError
from remsim.core.ids import BankSlot, ClientSlot
from tests.doubles.ahead_equivalence import recorded
from tests.doubles.noted_log import NotedLog
from tests.reference import reference

_IOT = reference("traces", "iot-modem-boot.jsonl")


def test_starts_are_learnt_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert learn_files([_IOT, reference("traces", "phone-boot.jsonl")], tmp_path) == 0
    assert capsys.readouterr().out == "2 starts read, 2 of them new; 1152 commands are known for all cards\n"
    assert learn_files([_IOT], tmp_path) == 0
    assert "1 start read" in capsys.readouterr().out


def test_bank_uses_what_was_learnt(tmp_path: Path) -> None:
    learn_files([_IOT], tmp_path)
    library = Library()
    LearntFiles(tmp_path / FOLDER, NotedLog().logger).load_all(library)
    unknown = Pair(BankSlot(1, 0), ClientSlot(7, 0), b"\x3b\x00")
    own, by_atr, everything = library.models(unknown)
    assert (own.size, by_atr.size, everything.recordings) == (0, 0, (symbols(recorded("iot-modem")),))


def test_each_reset_begins_a_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.jsonl"
    path.write_text(_IOT.read_text() * 2)
    learn_files([path], tmp_path)
    assert capsys.readouterr().out.startswith("2 starts read, 1 of them new")


def test_without_a_file_there_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        learn_files([], tmp_path)

# SPDX-License-Identifier: Apache-2.0
"""Shares of the test modules: all of them, none twice, by the names that pytest gives them."""

import sys
from pathlib import Path

import pytest

from tests import import_shares


@pytest.mark.parametrize("of", [1, 2, 3, 7, 12])
def test_each_thing_is_in_one_share(of: int) -> None:
    shares = [import_shares.share(range(10), number, of) for number in range(of)]
    assert [thing for one in shares for thing in reversed(one)] == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_share_begins_with_its_last_thing() -> None:
    assert list(import_shares.share("abcdef", 1, 2)) == ["f", "e", "d"]


def test_modules_are_those_of_folders_and_files_once_each(tmp_path: Path) -> None:
    for name in ("tests/unit/a/test_x.py", "tests/unit/test_y.py", "tests/unit/y.py", "tests/vectors/test_z.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    given = ["tests/unit", "tests/unit/a", "tests/vectors/test_z.py::TestZ::test_z"]
    assert import_shares.modules(given, tmp_path) == [
        "tests.unit.a.test_x",
        "tests.unit.test_y",
        "tests.vectors.test_z",
    ]


def test_this_module_has_the_name_under_which_pytest_imports_it() -> None:
    assert __name__ in import_shares.modules(["tests/unit"])
    assert sys.modules[__name__].__file__ == __file__

# SPDX-License-Identifier: Apache-2.0
"""The table of the slowest tests is over all reports together, and one that is not whole is said."""

from pathlib import Path

import pytest

from tools import slowest

_REPORT = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest">{}</testsuite></testsuites>"""
_CASE = '<testcase classname="tests.unit.test_{0}" name="test_{0}" time="{1}" />'


def _write(path: Path, times: dict[str, float]) -> None:
    path.write_text(_REPORT.format("".join(_CASE.format(*item) for item in times.items())), encoding="utf-8")


def test_slowest_of_all_stages_come_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "fast.xml", {f"f{number}": number / 10 for number in range(30)})
    _write(tmp_path / "integration.xml", {"slow": 61.26, "quick": 0.01})
    assert slowest.main([str(tmp_path)]) == 0
    head, first, *others = capsys.readouterr().out.splitlines()
    assert head == "slowest 20 of 32 tests, which took 105 s together:"
    assert first == "    61.3 s  tests.unit.test_slow::test_slow"
    assert len(others) == 19
    assert others[0].endswith("test_f29")


def test_report_that_is_not_whole_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "fast.xml", {"one": 1.0})
    (tmp_path / "integration.xml").write_text("<testsuites><tests", encoding="utf-8")
    assert slowest.main([str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "test_one" in shown.out
    assert shown.err.startswith("integration.xml: ")


def test_cases_that_tests_have_counted_are_added_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counted = _CASE.replace(" />", '><properties><property name="cases" value="{2}" /></properties></testcase>')
    cases = [counted.format("cuts", 1.0, 945), counted.format("cuts", 1.0, 906), _CASE.format("other", 2.0)]
    (tmp_path / "fast.xml").write_text(_REPORT.format("".join(cases)), encoding="utf-8")
    assert slowest.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "    1851 cases  tests.unit.test_cuts"

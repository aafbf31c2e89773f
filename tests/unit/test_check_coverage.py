# SPDX-License-Identifier: Apache-2.0
"""The coverage gate sees gaps in the parts it guards, and only there; files that nobody can read do not stop it."""

from fnmatch import fnmatch
from pathlib import Path

import pytest
from coverage import CoverageData

from tests.sources import PACKAGE
from tools.check_coverage import ASIDE, GATED, NOT_GATED, gaps, gated_files, set_aside, unmeasured


def _report(path: str, lines: list[object], branches: list[object]) -> dict[str, dict[str, dict[str, list[object]]]]:
    return {"files": {path: {"missing_lines": lines, "missing_branches": branches}}}


@pytest.mark.parametrize(
    "name",
    [
        *("wire/messages/ber.py", "card/atr.py", "core/identity.py", "emulators/simtrace2/t0.py"),
        *("server/core/slotmap.py", "server/core/coordinator.py", "bankd/core/coordinator.py"),
    ],
)
def test_gap_in_guarded_part_is_named(name: str) -> None:
    path = f"src/remsim/{name}"
    assert gaps(_report(path, [3], [])) == [f"{path}: 1 lines and 0 branches are not covered"]
    assert gaps(_report(path, [], [[3, 4]])) == [f"{path}: 0 lines and 1 branches are not covered"]
    assert gaps(_report(path, [], [])) == []


@pytest.mark.parametrize("name", ["net/stream.py", "server/service.py", "logs.py", "emulators/simtrace2/libusb.py"])
def test_gap_elsewhere_is_for_reading_only(name: str) -> None:
    assert gaps(_report(f"src/remsim/{name}", [1, 2], [])) == []


def test_guarded_file_that_was_not_measured_is_named() -> None:
    gated = [PACKAGE / "wire" / "ipa.py", PACKAGE / "card" / "atr.py"]
    report = _report("src/remsim/card/atr.py", [], [])
    assert unmeasured(report, gated) == ["src/remsim/wire/ipa.py: no measured test imports it"]


def test_guarded_files_are_found_in_all_depths() -> None:
    names = {path.relative_to(PACKAGE).as_posix() for path in gated_files()}
    assert names >= {"wire/ipa.py", "wire/messages/ber.py", "server/core/coordinator.py", "redaction.py"}
    assert not names & NOT_GATED


def _whole(path: Path) -> bytes:
    data = CoverageData(basename=str(path))
    data.add_lines({f"/src/{number}.py": range(200) for number in range(400)})
    data.write()
    data.close()
    return path.read_bytes()


def test_files_that_are_half_written_are_moved_aside(tmp_path: Path) -> None:
    whole = _whole(tmp_path / "data.host.1")
    for number, length in enumerate((0, 10, 4096, len(whole) // 2, len(whole) - 4096)):
        (tmp_path / f"data.host.half{number}").write_bytes(whole[:length])
    expected = [f"data.host.half{number}" for number in range(5)]
    assert set_aside(tmp_path) == expected
    assert sorted(path.name for path in (tmp_path / ASIDE).iterdir()) == expected
    assert (tmp_path / "data.host.1").read_bytes() == whole
    assert set_aside(tmp_path) == []


def test_each_pattern_and_exception_names_files_that_exist() -> None:
    names = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    assert not [pattern for pattern in GATED if not any(fnmatch(name, pattern) for name in names)]
    assert set(names) >= NOT_GATED

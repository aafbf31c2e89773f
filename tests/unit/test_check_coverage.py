# SPDX-License-Identifier: Apache-2.0
"""The coverage gate sees gaps in the parts it guards, and only there."""

import pytest

from tools.check_coverage import gaps


def _report(path: str, lines: list[object], branches: list[object]) -> dict[str, dict[str, dict[str, list[object]]]]:
    return {"files": {path: {"missing_lines": lines, "missing_branches": branches}}}


@pytest.mark.parametrize(
    "name", ["wire/ber.py", "card/atr.py", "slotmap.py", "server/coordinator.py", "bankd/coordinator/slots.py"]
)
def test_gap_in_guarded_part_is_named(name: str) -> None:
    path = f"src/remsim/{name}"
    assert gaps(_report(path, [3], [])) == [f"{path}: 1 lines and 0 branches are not covered"]
    assert gaps(_report(path, [], [[3, 4]])) == [f"{path}: 0 lines and 1 branches are not covered"]
    assert gaps(_report(path, [], [])) == []


@pytest.mark.parametrize("name", ["net/stream.py", "server/service.py", "logs.py"])
def test_gap_elsewhere_is_for_reading_only(name: str) -> None:
    assert gaps(_report(f"src/remsim/{name}", [1, 2], [])) == []

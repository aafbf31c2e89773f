# SPDX-License-Identifier: Apache-2.0
"""``python tools/slowest.py FOLDER`` prints the slowest tests of all ``*.xml`` files that pytest has written there.

A test's time holds that of its fixtures: what a file's tests share is charged to the first of them. Below the table is
how many cases there were in the tests that count them (``record_property("cases", …)``).
"""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

#: How many are shown.
ROWS = 20


class Timed(NamedTuple):
    """A test, how long it took, and how many cases it counted."""

    seconds: float
    name: str
    cases: int = 0


def read(report: str) -> list[Timed]:
    """All tests of one report in the format of JUnit. Raises ParseError."""
    # The file is pytest's own, written a moment ago.
    return [
        Timed(
            float(case.get("time", "0")),
            f"{case.get('classname', '')}::{case.get('name', '')}",
            sum(int(noted.get("value", "0")) for noted in case.iterfind("properties/property[@name='cases']")),
        )
        for case in ElementTree.fromstring(report).iter("testcase")
    ]


def table(tests: Iterable[Timed], rows: int = ROWS) -> list[str]:
    """The slowest first, with a line above that says how many there are and how long they took together."""
    ordered = sorted(tests, reverse=True)
    total = sum(test.seconds for test in ordered)
    shown = ordered[:rows]
    head = f"slowest {len(shown)} of {len(ordered)} tests, which took {total:.0f} s together:"
    return [head, *(f"{test.seconds:8.1f} s  {test.name}" for test in shown)]


def cases(tests: Iterable[Timed]) -> list[str]:
    """A line for each file whose tests count their cases."""
    counted: Counter[str] = Counter()
    for test in tests:
        counted[test.name.partition("::")[0]] += test.cases
    return [f"{number:8} cases  {name}" for name, number in sorted(counted.items()) if number]


def main(arguments: list[str]) -> int:
    """Return the exit status: 1 if a report cannot be read, for instance because pytest was ended."""
    tests: list[Timed] = []
    status = 0
    for path in sorted(Path(arguments[0]).glob("*.xml")):
        try:
            tests += read(path.read_text(encoding="utf-8"))
        except (OSError, ElementTree.ParseError) as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            status = 1
    print("\n".join(table(tests) + cases(tests)))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

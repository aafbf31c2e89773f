# SPDX-License-Identifier: Apache-2.0
"""Prints the coverage of the run just combined, and fails where every line and branch must be covered.

These are the parts without I/O, in which each line can be reached by a test that costs microseconds: the wire and the
card formats, the slotmap, the coordinators. Elsewhere the report is there to be read.
"""

import json
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

#: Paths below src/remsim in which everything must be covered.
GATED = (
    # Card emulation on hardware, but for simtrace2_usb, which speaks to the library.
    *("emulators/simtrace2_[a-t]*.py", "emulators/usb_bus.py"),
    *("wire/*.py", "card/*.py", "slotmap.py", "*/coordinator.py", "*/coordinator/*.py"),
    *("identity.py", "policy/*.py", "redaction.py", "pki/codes.py", "server/tokens.py"),
)


def _coverage(*arguments: str) -> None:
    # Status 2 means "below fail_under", which is not used; anything but 0 is an error of ours.
    subprocess.run([sys.executable, "-m", "coverage", *arguments], check=True)


def gaps(report: dict[str, dict[str, dict[str, list[object]]]]) -> list[str]:
    """One line for each gated file of a ``coverage json`` report that is not covered completely."""
    found = []
    for path, data in sorted(report["files"].items()):
        name = path.split("src/remsim/", 1)[-1]
        if not any(fnmatch(name, pattern) for pattern in GATED):
            continue
        lines, branches = data["missing_lines"], data["missing_branches"]
        if lines or branches:
            found.append(f"{path}: {len(lines)} lines and {len(branches)} branches are not covered")
    return found


def main() -> int:
    """Return the exit status: 0 if all gated files are covered."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        _coverage("json", "--quiet", "-o", str(path))
        report = json.loads(path.read_text(encoding="utf-8"))
    _coverage("report")
    found = gaps(report)
    for line in found:
        print(line, file=sys.stderr)
    if found:
        print("these must be covered completely; the table names the lines", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

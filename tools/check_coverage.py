# SPDX-License-Identifier: Apache-2.0
"""Combines and prints what the tests have covered, and fails where every line and branch must be covered.

Only processes that run tests are measured (``tools/measured.py``), so the result does not depend on timing. A file
that one of them left half written is moved aside and counted.

What must be covered are the parts without I/O, in which each line can be reached by a test that costs microseconds:
the wire and the card formats, the slot map, the coordinators. Only these are measured. The settings in
pyproject.toml are for a look at everything with ``coverage run -m pytest``.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "remsim"

#: Where the measured processes leave their files, and how these begin (``data_file`` in pyproject.toml).
FOLDER = Path(".coverage")
DATA_FILE = ROOT / FOLDER / "data"
#: Below it, for files that cannot be read.
ASIDE = "unreadable"

#: Paths below src/remsim in which everything must be covered.
GATED = (
    *("wire/*.py", "card/*.py", "policy/*.py", "redaction.py", "core/identity.py", "pki/codes.py"),
    *("server/core/slotmap.py", "server/core/tokens.py", "*/coordinator.py", "emulators/simtrace2/*.py"),
)

#: But for these, which speak to a library or a loop.
NOT_GATED = {f"emulators/simtrace2/{name}.py" for name in ("emulator", "libusb", "usb_pump")}


def is_gated(name: str) -> bool:
    """Whether everything in this file must be covered; ``name`` is its path below src/remsim."""
    return name not in NOT_GATED and any(fnmatch(name, pattern) for pattern in GATED)


def gated_files() -> list[Path]:
    """All files in which everything must be covered."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if is_gated(path.relative_to(PACKAGE).as_posix())]


def _coverage(*arguments: str) -> None:
    # Status 2 means "below fail_under", which is not used; anything but 0 is an error of ours.
    subprocess.run([sys.executable, "-m", "coverage", *arguments], check=True)


def _is_readable(path: Path) -> bool:
    """Whether this is a whole database of coverage.py. One that was ended while writing leaves less."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            verdicts = database.execute("PRAGMA integrity_check").fetchall()
            database.execute("SELECT version FROM coverage_schema").fetchone()
    except sqlite3.Error:
        return False
    return verdicts == [("ok",)]


def set_aside(folder: Path) -> list[str]:
    """Move the files that cannot be read out of the way of ``coverage combine``; return their names."""
    broken = [path for path in sorted(folder.glob("data.*")) if path.is_file() and not _is_readable(path)]
    for path in broken:
        (folder / ASIDE).mkdir(exist_ok=True)
        path.rename(folder / ASIDE / path.name)
    return [path.name for path in broken]


def gaps(report: dict[str, dict[str, dict[str, list[object]]]]) -> list[str]:
    """One line for each gated file of a ``coverage json`` report that is not covered completely."""
    found = []
    for path, data in sorted(report["files"].items()):
        lines, branches = data["missing_lines"], data["missing_branches"]
        if is_gated(path.split("src/remsim/", 1)[-1]) and (lines or branches):
            found.append(f"{path}: {len(lines)} lines and {len(branches)} branches are not covered")
    return found


def unmeasured(report: dict[str, dict[str, dict[str, list[object]]]], gated: Iterable[Path]) -> list[str]:
    """One line for each gated file that is not in the report: no test that counts has imported it."""
    seen = {path.split("src/remsim/", 1)[-1] for path in report["files"]}
    names = (path.relative_to(PACKAGE).as_posix() for path in gated)
    return [f"src/remsim/{name}: no measured test imports it" for name in names if name not in seen]


def main() -> int:
    """Return the exit status: 0 if all gated files are covered."""
    left_out = set_aside(FOLDER)
    _coverage("combine", "--quiet")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        _coverage("json", "--quiet", "-o", str(path))
        report = json.loads(path.read_text(encoding="utf-8"))
    _coverage("report")
    if left_out:
        print(f"left out, because they cannot be read: {len(left_out)} files, now in {FOLDER / ASIDE}", file=sys.stderr)
    found = gaps(report) + unmeasured(report, gated_files())
    for line in found:
        print(line, file=sys.stderr)
    if found:
        print("these must be covered completely; the table names the lines", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Takes the manual's pictures of the page, from today's page: ``.venv/bin/python -m tools.page_pictures``.

They are what the browser tests see, so each shows what a test has looked at. What a picture shows is kept in words,
too, and these tests fail where the page does not show that any more.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
TESTS: Final = "tests/browser"
#: Where it is kept what the pictures show.
OUTLINES: Final = Path("tests") / "reference" / "pictures"
#: Pictures of the manual: which of the tests' they are, and the tests that take them.
PICTURES: Final = {
    "page.png": (
        "overview-light-1440x900.png",
        "test_looks.py::test_every_view_is_for_everybody_and_fits[0-wide-light]",
    ),
    "page-slot.png": (
        "slot-latency-1440x900.png",
        "test_first_start.py::test_trace_moves_pauses_filters_and_is_saved",
    ),
    "page-leases.png": (
        "leases-queue-1440x900.png",
        "test_leases.py::test_who_waits_for_an_exhausted_pool_gets_the_card_that_is_given_back",
    ),
}


def main() -> int:
    """Return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "REMSIM_SCREENSHOTS": folder}
        tests = [f"{TESTS}/{test}" for _, test in PICTURES.values()]
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], cwd=ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
        for name, (source, _) in PICTURES.items():
            taken, outline = Path(folder) / source, (ROOT / OUTLINES / name).with_suffix(".txt")
            shutil.copyfile(taken, ROOT / "docs" / "pictures" / name)
            outline.parent.mkdir(exist_ok=True)
            shutil.copyfile(taken.with_suffix(".txt"), outline)
    return 0


if __name__ == "__main__":
    sys.exit(main())

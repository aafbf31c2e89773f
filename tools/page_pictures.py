# SPDX-License-Identifier: Apache-2.0
"""Takes the manual's pictures of the page, from today's page: ``.venv/bin/python -m tools.page_pictures``.

They are what the browser tests see, so each shows what a test has looked at; and these tests fail where the page does
not look like its picture any more.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
TESTS: Final = (
    "tests/browser/test_looks.py",
    "tests/browser/test_leases.py",
    "tests/browser/test_first_start.py",
)
#: Pictures of the manual, and which of the tests' they are.
PICTURES: Final = {
    "page.png": "overview-light-1440x900.png",
    "page-slot.png": "slot-latency-1440x900.png",
    "page-leases.png": "leases-queue-1440x900.png",
}


def main() -> int:
    """Return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "REMSIM_SCREENSHOTS": folder}
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", *TESTS], cwd=ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
        for name, source in PICTURES.items():
            shutil.copyfile(Path(folder) / source, ROOT / "docs" / "pictures" / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())

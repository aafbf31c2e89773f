# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.kills [N]``: end server, bankd, client and pcscd by SIGKILL at random times under load."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.doubles.programs import ProgramError
from tests.kills.loop import KillLoop, KillLoopError


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Kill; exit status 1 if something was lost that must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description="Programs ended by SIGKILL.")
    parser.add_argument("times", type=int, nargs="?", default=200, metavar="N", help="how often (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the order and the times (default: 1)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="remsim-kills-") as folder:
        try:
            with KillLoop(Path(folder), seed=given.seed, tell=_tell) as loop:
                report = loop.run(given.times)
        except (KillLoopError, ProgramError) as error:
            sys.stdout.write(f"seed {given.seed}: {error}\n")
            return 1
    sys.stdout.write("\n".join(report.lines()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.soak [N]``: N commands through links that are cut all the time; print what the programs hold."""

import argparse
import sys
import tempfile
from pathlib import Path

from bench.loops import run
from remsim.logs import setup_logging
from tests.soak.loop import SLOTS, Sample, SoakError, SoakPlan, soak


def _tell(sample: Sample) -> None:
    sys.stdout.write(f"{sample.line()}\n")
    sys.stdout.flush()


def main() -> int:
    """Soak; exit status 1 if something grows, or a command was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Many commands with cuts between.")
    parser.add_argument("commands", type=int, nargs="?", default=1_000_000, metavar="N", help="default: 1000000")
    parser.add_argument("--slots", type=int, default=SLOTS, help=f"modems (default: {SLOTS})")
    parser.add_argument("--rounds", type=int, default=20, help="so often everything is counted (default: 20)")
    given = parser.parse_args()
    if given.rounds < 2:
        parser.error("a round is needed to warm up, and one more to compare with it")
    setup_logging(level="error", log_format="text")
    plan = SoakPlan(given.commands, slots=given.slots, rounds=given.rounds, warm_up=max(1, given.rounds // 5))
    sys.stdout.write(f"{Sample.heading()}\n")
    with tempfile.TemporaryDirectory(prefix="remsim-soak-") as folder:
        try:
            report = run(soak(Path(folder), plan, tell=_tell))
            report.check()
        except SoakError as error:
            sys.stdout.write(f"{error}\n")
            return 1
    sys.stdout.write("\n".join(report.lines()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.fuzz [N]``: mutated conversations against the running programs."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench.loops import run
from tests.fuzz.campaign import CampaignError, run_campaign
from tests.fuzz.client_victim import VictimError, attack_client
from tests.fuzz.conversation import conversation


def main() -> int:
    """Play; exit status 1 if something gave way."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Mutated conversations.")
    parser.add_argument("count", type=int, nargs="?", default=100_000, metavar="N", help="how many (default: 100000)")
    parser.add_argument("--seed", type=int, help="play the conversations of this seed (default: drawn anew)")
    parser.add_argument("--only", metavar="N,N,...", help="play these conversations of the seed only")
    parser.add_argument("--show", type=int, metavar="N", help="print conversation N of the seed and play nothing")
    parser.add_argument("--log-level", default="info", help="of the programs (default: info)")
    given = parser.parse_args()
    seed = time.time_ns() % 1_000_000_000 if given.seed is None else given.seed
    if given.show is not None:
        sys.stdout.write(conversation(seed, given.show).describe() + "\n")
        return 0
    numbers = range(given.count) if given.only is None else [int(number) for number in given.only.split(",")]
    sys.stdout.write(f"seed {seed}\n")
    with tempfile.TemporaryDirectory(prefix="remsim-fuzz-") as folder:
        try:
            report = run_campaign(Path(folder), seed=seed, numbers=numbers, log_level=given.log_level, is_quiet=False)
        except CampaignError as error:
            sys.stdout.write(f"{error}\n")
            return 1
        sys.stdout.write("\n".join(report.lines()) + "\n")
        if given.only is None:
            try:
                victim = run(attack_client(Path(folder), seed=seed, conversations=max(1, given.count // 100)))
            except VictimError as error:
                sys.stdout.write(f"{error}\n")
                return 1
            sys.stdout.write(
                f"towards a client: {victim.as_server} conversations as its server, {victim.as_bankd} as its bankd; "
                f"meanwhile {victim.live_commands} commands of its other slot, the slowest "
                f"{victim.live_slowest_s * 1e3:.0f} ms\n"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

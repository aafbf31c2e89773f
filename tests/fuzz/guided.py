# SPDX-License-Identifier: Apache-2.0
"""Coverage-guided fuzzing of the targets: ``python -m tests.fuzz.guided [TARGET…]``. Needs atheris to hunt.

Without it a crashing input can still be played again: ``python -m tests.fuzz.guided TARGET --replay HEX``.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remsim.core.errors import RemsimError
from tests.fuzz.keeping import keep
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, target_named
from tests.reference import ROOT

#: The short run always begins with this one.
SHORT_SEED: Final = 20261123
_SHORT_MOST_S: Final = 120
_LONG_S: Final = 60
#: A single input that takes longer hangs; a loaded machine is slow, and so is instrumented code.
_HANG_S: Final = 20
#: The interpreter with all of our modules takes a fifth of it.
_MEMORY_MB: Final = 700
_LOG_TAIL: Final = 3000
#: How libFuzzer names what it leaves behind.
_FINDS: Final = ("crash-", "timeout-", "oom-", "leak-")

_RUNS: Final = re.compile(r"^stat::number_of_executed_units: +([0-9]+)", re.MULTILINE)
_REACHED: Final = re.compile(r"^#[0-9]+\s.*?cov: ([0-9]+) ft: ([0-9]+)", re.MULTILINE)


class NoEngineError(RemsimError):
    """There is no atheris for this interpreter on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "coverage-guided fuzzing needs atheris, which is not installed here",
            hint="it has wheels for CPython 3.11 to 3.14 on x86_64 Linux only (tools/setup.sh check installs it there)",
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and with which inputs. ``seconds`` of each target, or (None) as many runs as last about one."""

    seed: int
    seconds: int | None = None
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class Hunt:
    """What came of one target."""

    name: str
    runs: int
    #: Places in our code that were reached, and combinations of them and how often.
    places: int
    features: int
    #: Inputs that reached something new.
    new: tuple[bytes, ...]
    #: The input that was a find, and what the fuzzer said of it.
    find: bytes | None
    log: str
    status: int

    @property
    def is_good(self) -> bool:
        """Whether it ran to its end and found nothing."""
        return self.status == 0 and self.find is None and self.runs > 0

    def lines(self) -> list[str]:
        """For a person."""
        said = (
            f"{self.name}: {self.runs} runs, {self.places} places, {self.features} features, {len(self.new)} new inputs"
        )
        if self.is_good:
            return [said]
        lines = [f"{said}; FAILED (status {self.status})", self.log[-_LOG_TAIL:].rstrip()]
        if self.find is not None:
            lines += [
                f"a find: {self.find.hex() or 'no raw'}",
                f"to play it again: python -m tests.fuzz.guided {self.name} --replay {self.find.hex()!r}",
            ]
        return lines


def has_engine() -> bool:
    """Whether atheris is there."""
    return importlib.util.find_spec("atheris") is not None


def hunt(names: Sequence[str], plan: Plan) -> list[Hunt]:
    """Play these targets. Raises NoEngineError."""
    if not has_engine():
        raise NoEngineError
    with tempfile.TemporaryDirectory(prefix="remsim-guided-") as text:
        folder = Path(text)
        for name in names:
            _prepare(folder / name, name, plan)
        fixed = _at_fixed_addresses() if plan.seconds is None else []
        command = [*fixed, sys.executable, "-m", "tests.fuzz.instrumented", text, str(plan.jobs), *names]
        said = subprocess.run(command, cwd=ROOT, env=_environment(text), capture_output=True, text=True, check=False)
        return [_outcome(folder / name, name, said.stderr) for name in names]


def _at_fixed_addresses() -> Sequence[str]:
    """What is in front of a command that is to be the same each time: libFuzzer's choices depend on addresses, too.

    Nothing where it is not allowed, as in some containers.
    """
    words = ["setarch", "--addr-no-randomize"]
    try:
        said = subprocess.run([*words, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return []
    return words if said.returncode == 0 else []


def _environment(folder: str) -> Mapping[str, str]:
    # Coverage would measure patched bytecode, and make it several times slower; the same targets are measured where
    # they are played over the corpus.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS_")}
    # Children that end by a find leave their files behind: in here, they go with the rest.
    return {**kept, "PYTHONHASHSEED": "0", "TMPDIR": folder}


def _prepare(folder: Path, name: str, plan: Plan) -> None:
    target = target_named(name)
    for part in ("seeds", "new"):
        (folder / part).mkdir(parents=True)
    begun = seeds(name, target.longest)
    for number, raw in enumerate(begun):
        (folder / "seeds" / f"{number:04}").write_bytes(raw)
    flags = [
        f"-seed={plan.seed}",
        f"-max_len={target.longest}",
        f"-timeout={_HANG_S}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
    ]
    if plan.seconds is None:
        # The number of runs ends it; the time only where something is out of order.
        flags += [f"-runs={len(begun) + target.plays_a_second}", f"-max_total_time={_SHORT_MOST_S}"]
    else:
        flags.append(f"-max_total_time={plan.seconds}")
    if target.words:
        (folder / "words").write_text("".join(map(_word, target.words)), encoding="ascii")
        flags.append(f"-dict={folder}/words")
    flags += [f"{folder}/new", f"{folder}/seeds"]
    (folder / "flags").write_text("\n".join(flags), encoding="utf-8")


def _word(raw: bytes) -> str:
    """A line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in raw) + '"\n'


def _outcome(folder: Path, name: str, said: str) -> Hunt:
    log_file, status_file = folder / "log", folder / "status"
    log = log_file.read_text(encoding="utf-8", errors="replace") if log_file.exists() else said
    finds = [path for prefix in _FINDS for path in sorted(folder.glob(f"{prefix}*"))]
    runs, reached = _RUNS.findall(log), _REACHED.findall(log)
    return Hunt(
        name,
        runs=int(runs[-1]) if runs else 0,
        places=int(reached[-1][0]) if reached else 0,
        features=int(reached[-1][1]) if reached else 0,
        new=tuple(sorted(path.read_bytes() for path in (folder / "new").iterdir())),
        find=finds[0].read_bytes() if finds else None,
        log=log,
        status=int(status_file.read_text(encoding="ascii")) if status_file.exists() else 1,
    )


def short_plan() -> Plan:
    """What the tests play: always the same, on all processors."""
    return Plan(SHORT_SEED, jobs=os.cpu_count() or 1)


def replay(name: str, raw: bytes) -> str:
    """Play one input, without any fuzzer. A find raises what it is."""
    return "accepted" if target_named(name).accepts(raw) else "refused as documented"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description="Coverage-guided fuzzing.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=_LONG_S, help=f"for each target (default: {_LONG_S})")
    parser.add_argument("--short", action="store_true", help="about a second each, always the same")
    parser.add_argument("--seed", type=int, help="begin with this number (default: drawn anew)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time (default: 1)")
    parser.add_argument("--replay", metavar="HEX", help="play this input of one target, and nothing else")
    parser.add_argument("--keep", action="store_true", help="add what reached new code to tests/fuzz/found")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if given.replay is not None and len(given.targets) != 1:
        parser.error("--replay wants one target")
    return given


def main() -> int:
    """Hunt; exit status 1 if something was found, 2 if there is nothing to hunt with."""
    given = _arguments()
    names = given.targets or list(TARGETS)
    if given.replay is not None:
        sys.stdout.write(replay(names[0], bytes.fromhex(given.replay)) + "\n")
        return 0
    seed = time.time_ns() % 1_000_000_000 if given.seed is None else given.seed
    plan = short_plan() if given.short else Plan(seed, given.seconds, given.jobs)
    is_good = True
    # One after the other, so that each can be read when it is done; the short run together, as the tests do.
    for some in [names] if given.short or plan.jobs > 1 else [[name] for name in names]:
        try:
            hunts = hunt(some, plan)
        except NoEngineError as error:
            sys.stderr.write(f"{error}; hint: {error.hint}\n")
            return 2
        for found in hunts:
            sys.stdout.write("\n".join(found.lines()) + "\n")
            sys.stdout.flush()
            is_good = is_good and found.is_good
            if given.keep:
                keep(found.name, found.new)
    sys.stdout.write(f"seed {plan.seed}\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())

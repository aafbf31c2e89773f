# SPDX-License-Identifier: Apache-2.0
"""A short coverage-guided run over every target, always the same one; ``make fuzz`` hunts longer and elsewhere."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.fuzz import guided, keeping
from tests.fuzz.guided import NoEngineError, hunt, replay, short_plan
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import PLANTED, TARGETS, target_named
from tests.reference import ROOT


def is_engine_wanted() -> bool:
    """Whether pyproject.toml demands atheris for this interpreter on this machine."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [Requirement(line) for line in data["dependency-groups"]["test"] if line.startswith("atheris")]
    return any(requirement.marker is not None and requirement.marker.evaluate() for requirement in wanted)


# About half a minute for all targets; under coverage, on a machine with other work, several times that.
@pytest.mark.timeout(300)
def test_short_hunt_finds_nothing() -> None:
    if not is_engine_wanted():
        # Nothing is left out in silence: the targets are played by tests/property/test_targets.py, and this is said.
        with pytest.raises(NoEngineError, match="not installed here"):
            hunt(list(TARGETS), short_plan())
        return
    hunts = hunt(list(TARGETS), short_plan())
    assert [found.name for found in hunts] == list(TARGETS)
    for found in hunts:
        assert found.is_good, "\n".join(found.lines())
        assert found.runs >= TARGETS[found.name].plays_a_second
        # It sees where it comes in our code; otherwise it would be a blind one.
        assert found.places > 0
        assert found.features >= found.places


@pytest.mark.timeout(120)
def test_planted_fault_is_found_and_can_be_played_again() -> None:
    if not is_engine_wanted():
        with pytest.raises(AssertionError, match="planted"):
            replay(PLANTED, b"bank/1")
        return
    (found,) = hunt([PLANTED], short_plan())
    assert not found.is_good
    assert found.find is not None
    said = "\n".join(found.lines())
    assert "planted" in said
    assert f"python -m tests.fuzz.guided {PLANTED} --replay '{found.find.hex()}'" in said
    with pytest.raises(AssertionError, match="planted"):
        replay(PLANTED, found.find)


def test_machine_without_the_engine_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided, "has_engine", lambda: False)
    with pytest.raises(NoEngineError) as caught:
        hunt(["atrs"], short_plan())
    assert "atheris" in str(caught.value)
    assert "x86_64" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (["atrs", "--replay", "3b00"], "accepted\n", 0),
        (["atrs", "--replay", "3b"], "refused as documented\n", 0),
        (["nothing"], "", 2),
        (["--replay", "00"], "", 2),
    ],
)
def test_command_line_plays_again_and_refuses_what_it_does_not_know(words: list[str], said: str, status: int) -> None:
    command = [sys.executable, "-m", "tests.fuzz.guided", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (said, status), done.stderr


def test_kept_are_small_inputs_that_take_new_ways(tmp_path: Path) -> None:
    target = TARGETS["atrs"]
    short, long = bytes.fromhex("3b00"), bytes.fromhex("3b0141")
    other = bytes.fromhex("3b8001") + b"\x81"
    assert keeping.choose(target, [], [long, short, other]) == [short, other]
    assert keeping.choose(target, [short, other], [long]) == []
    assert keeping.choose(target_named(PLANTED), [], [b"bank/1"]) == []


def test_what_is_kept_stands_in_one_line_each_and_is_a_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.seeds.FOUND", tmp_path)
    kept = [b"-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----", b"no such thing"]
    keeping.keep("pem-texts", kept, folder=tmp_path)
    lines = (tmp_path / "pem-texts.hex").read_text(encoding="ascii").splitlines()
    assert sorted(bytes.fromhex(line) for line in lines) == sorted(kept)
    assert set(seeds("pem-texts", 512)) >= set(kept)
    keeping.keep("pem-texts", kept, folder=tmp_path)
    assert (tmp_path / "pem-texts.hex").read_text(encoding="ascii").splitlines() == lines

# SPDX-License-Identifier: Apache-2.0
"""A short coverage-guided run over every target, always the same one; ``make fuzz`` hunts longer and elsewhere."""

import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.fuzz import guided, keeping
from tests.fuzz.guided import Hunt, NoEngineError, hunt, replay, short_plan
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import PLANTED, TARGETS, target_named
from tests.reference import ROOT

# Whichever test comes first waits for the hunt: some 20 s for all targets, several times that beside other work.
pytestmark = pytest.mark.timeout(300)


def is_engine_wanted() -> bool:
    """Whether pyproject.toml demands atheris for this interpreter on this machine."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [Requirement(line) for line in data["dependency-groups"]["test"] if line.startswith("atheris")]
    return any(requirement.marker is not None and requirement.marker.evaluate() for requirement in wanted)


@pytest.fixture(scope="module")
def hunts() -> dict[str, Hunt] | None:
    """A short hunt in every target and in the planted one; None where nobody wants the engine.

    There nothing is left out in silence: it is said, and tests/property/test_targets.py plays the targets.
    """
    names = [*TARGETS, PLANTED]
    if not is_engine_wanted():
        with pytest.raises(NoEngineError, match="not installed here"):
            hunt(names, short_plan())
        return None
    return {found.name: found for found in hunt(names, short_plan())}


@pytest.mark.parametrize("name", TARGETS)
def test_short_hunt_finds_nothing(hunts: dict[str, Hunt] | None, name: str) -> None:
    if hunts is None:
        return
    found = hunts[name]
    assert found.is_good, "\n".join(found.lines())
    assert found.runs >= TARGETS[name].plays_a_second
    # It sees where it comes in our code; otherwise it would be a blind one.
    assert found.features >= found.places > 0


def test_planted_fault_is_found_and_can_be_played_again(hunts: dict[str, Hunt] | None) -> None:
    raw = b"bank/1"
    if hunts is not None:
        found = hunts[PLANTED]
        assert not found.is_good
        assert found.find is not None
        raw = found.find
        said = "\n".join(found.lines())
        assert "planted" in said
        assert f"python -m tests.fuzz.guided {PLANTED} --replay '{raw.hex()}'" in said
    with pytest.raises(AssertionError, match="planted"):
        replay(PLANTED, raw)


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
def test_command_line_plays_again_and_refuses_what_it_does_not_know(
    words: list[str], said: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["guided", *words])
    try:
        found = guided.main()
    except SystemExit as end:
        found = int(end.code or 0)
    assert (capsys.readouterr().out, found) == (said, status)


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

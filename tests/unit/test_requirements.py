# SPDX-License-Identifier: Apache-2.0
"""The pinned requirements fit what the package declares, carry hashes and name no place they are fetched from."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.reference import ROOT

_FILES = sorted((ROOT / "requirements").glob("*.txt"))
_PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)

#: The extras and groups that each file is made from (tools/compile-requirements.sh).
_CONTENT = {
    "demo": (("", "sim", "server"), ("build",)),
    "check": (("", "sim", "server", "postgresql", "pki", "usb", "fast", "top", "otel"), ("build", "lint", "test")),
    "native": (("pyscard",), ()),
    "pip": ((), ("pip",)),
}


def _pins(name: str) -> dict[str, set[Version]]:
    """By package; more than one version where interpreters differ."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    found: dict[str, set[Version]] = {}
    for package, version in _PIN.findall(text):
        found.setdefault(canonicalize_name(package), set()).add(Version(version))
    return found


def _declared(extras: Iterable[str], groups: Iterable[str]) -> list[Requirement]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lists = {"": data["project"]["dependencies"], **data["project"]["optional-dependencies"]}
    found = [line for extra in extras for line in lists[extra]]
    found += [line for group in groups for line in data["dependency-groups"][group]]
    return [Requirement(line) for line in found]


@pytest.mark.parametrize("name", _CONTENT)
def test_pins_meet_what_is_declared(name: str) -> None:
    pins = _pins(name)
    for requirement in _declared(*_CONTENT[name]):
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement}: run tools/compile-requirements.sh"
        assert list(requirement.specifier.filter(pinned)), f"{requirement} is pinned to {pinned}"


@pytest.mark.parametrize("name", ["demo", "check"])
def test_nothing_is_pinned_for_a_declaration_that_is_gone(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    pinned = {_PIN.findall(entry)[0][0] for entry in entries if re.search(r"remsim(?::\w+)? \(pyproject\.toml", entry)}
    declared = {canonicalize_name(requirement.name) for requirement in _declared(*_CONTENT[name])}
    assert pinned
    assert {canonicalize_name(package) for package in pinned} <= declared, "run tools/compile-requirements.sh"


def test_demo_and_check_agree() -> None:
    demo, check = _pins("demo"), _pins("check")
    assert {name: check.get(name) for name in demo} == demo


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_every_pin_has_hashes_and_no_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.stem in _CONTENT
    assert len(_PIN.findall(text)) == len(re.findall(r"^[\w.-]+==[^\n]*\\\n +--hash=sha256:", text, re.MULTILINE))
    assert "://" not in text
    assert " @ " not in text


def test_bank_of_pcscd_needs_nothing_that_is_compiled() -> None:
    assert _declared(["pcsc", "all"], []) == [Requirement("remsim[pcsc,usb,sim,server,postgresql,pki,fast,top,otel]")]


def test_base_install_is_fit_for_a_small_board() -> None:
    names = {canonicalize_name(requirement.name) for requirement in _declared([""], [])}
    # These have no wheels for 32-bit ARM, or pull in one that has none.
    assert names.isdisjoint({"cryptography", "fastapi", "greenlet", "httptools", "sqlalchemy", "uvloop"})

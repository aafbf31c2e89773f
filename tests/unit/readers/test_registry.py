# SPDX-License-Identifier: Apache-2.0
"""Reader sources by name."""

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from remsim.core.installation import install_command
from remsim.readers import registry
from remsim.readers.errors import ReaderUnavailableError
from remsim.readers.sim.source import SimSource


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("phoenix", "remsim.readers.sim.source:SimSource", registry.GROUP),
        EntryPoint("broken", "remsim.nowhere:Source", registry.GROUP),
        EntryPoint("nothing", "remsim.readers.sim.source:Path", registry.GROUP),
        EntryPoint("sim", "remsim.nowhere:Source", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: EntryPoints(points).select(group=group))


def test_built_in_sources_come_first(outside: None) -> None:
    assert registry.source_names() == ["pcscd", "pcsc", "sim", "broken", "nothing", "phoenix"]


def test_sim_is_found_and_cannot_be_replaced_from_outside(outside: None) -> None:
    assert registry.source_factory("sim") is SimSource


def test_source_of_another_package_is_found(outside: None) -> None:
    assert registry.source_factory("phoenix") is SimSource


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nobody", "no reader driver"), ("broken", "cannot be loaded"), ("nothing", "is no ReaderSource")],
)
def test_unusable_source_is_told(outside: None, name: str, reason: str) -> None:
    with pytest.raises(ReaderUnavailableError, match=reason):
        registry.source_factory(name)


def test_missing_library_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "remsim.readers.pcsc", None)
    with pytest.raises(ReaderUnavailableError) as caught:
        registry.source_factory("pcsc")
    assert install_command("pyscard") in caught.value.hint

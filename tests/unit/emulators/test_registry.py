# SPDX-License-Identifier: Apache-2.0
"""Emulators by name."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from remsim.core.errors import ConfigError
from remsim.emulators import registry
from remsim.emulators.base import CardEmulator
from remsim.emulators.driven import DrivenEmulator


class Foreign(DrivenEmulator):
    """Another package's emulator."""


def make_foreign(settings: Mapping[str, object]) -> CardEmulator:
    emulator = Foreign()
    emulator.set_atr(bytes.fromhex(str(settings["atr"])))
    return emulator


def make_nothing(_settings: Mapping[str, object]) -> object:
    return None


@pytest.fixture(autouse=True)
def _other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        EntryPoint(name, value, registry.ENTRY_POINT_GROUP)
        for name, value in (
            ("foreign", f"{__name__}:make_foreign"),
            ("broken", "no_such_package:thing"),
            ("wrong", f"{__name__}:make_nothing"),
            ("constant", f"{__name__}:__name__"),
        )
    )
    monkeypatch.setattr(registry, "entry_points", points.select)


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_built_in_emulators_are_made(name: str) -> None:
    assert isinstance(registry.make_emulator(name, {}), CardEmulator)


def test_emulators_of_other_packages_are_found() -> None:
    assert set(registry.names()) == {*registry.BUILT_IN, "foreign", "broken", "wrong", "constant"}


def test_emulator_of_another_package_gets_its_settings() -> None:
    assert isinstance(registry.make_emulator("foreign", {"atr": "3b00"}), CardEmulator)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nonsense", "there is no emulator 'nonsense'"),
        ("broken", "emulator 'broken' cannot be loaded"),
        ("wrong", "emulator 'wrong' is none"),
        ("constant", "emulator 'constant' is none"),
    ],
)
def test_what_cannot_be_made_is_told(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        registry.make_emulator(name, {})
    assert caught.value.hint

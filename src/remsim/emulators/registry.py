# SPDX-License-Identifier: Apache-2.0
"""Emulators by name: a lazy table of the built-in ones, and entry points for those of other packages.

A package adds one with the entry-point group ``remsim.emulators``; its object is an ``EmulatorFactory``. Nothing is
imported before it is chosen, so a missing USB library harms nobody who does not need it.
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final

from remsim.core.errors import ConfigError
from remsim.emulators.base import CardEmulator

ENTRY_POINT_GROUP: Final = "remsim.emulators"

#: Name to module and attribute.
BUILT_IN: Final[dict[str, tuple[str, str]]] = {
    "shell": ("remsim.emulators.driven", "make_driven"),
    "script": ("remsim.emulators.driven", "make_driven"),
    "simtrace2": ("remsim.emulators.simtrace2.emulator", "make_simtrace2"),
    "vpcd": ("remsim.emulators.vpcd.emulator", "make_vpcd"),
}


def names() -> list[str]:
    """All emulators that can be chosen, sorted."""
    return sorted(BUILT_IN.keys() | {point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


def make_emulator(name: str, settings: Mapping[str, object]) -> CardEmulator:
    """Return a new emulator for a client slot with these ``settings``.

    Raises ConfigError if there is none of that name, or if the package that provides it is broken.
    """
    factory = _load(name)
    emulator: object = factory(settings) if callable(factory) else None
    if not isinstance(emulator, CardEmulator):
        raise ConfigError(f"emulator {name!r} is none", hint="the package that provides it is broken")
    return emulator


def _load(name: str) -> object:
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name]
        found: object = getattr(importlib.import_module(module), attribute)
        return found
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"emulator {name!r} cannot be loaded: {error}", hint=f"see {point.value}") from None
    raise ConfigError(f"there is no emulator {name!r}", hint=f"known are {', '.join(names())}")

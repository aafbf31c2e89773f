# SPDX-License-Identifier: Apache-2.0
"""Reader sources by name: built-in ones in a lazy table, others through entry points of group ``remsim.readers``.

A driver is imported only when it is chosen, so that none of its libraries is needed otherwise.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from remsim.core.installation import install_command
from remsim.readers.base import ReaderSource
from remsim.readers.errors import ReaderUnavailableError

GROUP: Final = "remsim.readers"

#: Name to module, class, and the extra that brings what it needs.
BUILT_IN: Final[dict[str, tuple[str, str, str]]] = {
    "pcscd": ("remsim.readers.pcscd", "PcscdSource", "pcsc"),
    "pcsc": ("remsim.readers.pcsc", "PcscSource", "pyscard"),
    "sim": ("remsim.readers.sim.source", "SimSource", "sim"),
}

#: Makes a source; which keyword arguments it takes is the driver's affair.
SourceFactory = Callable[..., ReaderSource]


def _outside() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN}


def source_names() -> list[str]:
    """All names that ``source_factory`` knows, the built-in ones first."""
    return [*BUILT_IN, *sorted(_outside())]


def source_factory(name: str) -> SourceFactory:
    """The class of the reader source ``name``. Raises ReaderUnavailableError if it is unknown or cannot be loaded."""
    if name in BUILT_IN:
        module, attribute, extra = BUILT_IN[name]
        try:
            return _checked(getattr(import_module(module), attribute), name)
        except ImportError as error:
            raise ReaderUnavailableError(
                f"reader driver {name!r} cannot be loaded: {error}",
                hint=f"install what it needs: {install_command(extra)}",
            ) from error
    entry = _outside().get(name)
    if entry is None:
        raise ReaderUnavailableError(f"there is no reader driver {name!r}", hint=f"known: {', '.join(source_names())}")
    try:
        return _checked(entry.load(), name)
    except (ImportError, AttributeError) as error:
        raise ReaderUnavailableError(f"reader driver {name!r} cannot be loaded: {error}") from error


def _checked(loaded: object, name: str) -> SourceFactory:
    if not isinstance(loaded, type) or not issubclass(loaded, ReaderSource):
        raise ReaderUnavailableError(f"reader driver {name!r} is no ReaderSource")
    return loaded

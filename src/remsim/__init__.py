# SPDX-License-Identifier: Apache-2.0
"""Remote SIM suite: server, bank daemon and client for RSPRO. See docs/architecture.md.

Programs use a card of a bank by the names in ``__all__``; they are loaded from ``remsim.api`` when first used, so that
``import remsim`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remsim.api import (
        ArgumentError,
        Card,
        CardConnection,
        CardConnectionError,
        ConfigError,
        ExchangeError,
        NoCardError,
        NotSentError,
        RemsimError,
        ResponseApdu,
        StartError,
        SyncCard,
        TpduError,
        connect,
        connect_sync,
    )

#: Also sent to peers as swVersion; a test compares it with the package metadata.
__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "Card",
    "CardConnection",
    "CardConnectionError",
    "ConfigError",
    "ExchangeError",
    "NoCardError",
    "NotSentError",
    "RemsimError",
    "ResponseApdu",
    "StartError",
    "SyncCard",
    "TpduError",
    "__version__",
    "connect",
    "connect_sync",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module("remsim.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

# SPDX-License-Identifier: Apache-2.0
"""A bank's card for other Python programs: asynchronous, synchronous, and in the shape of a pyscard connection.

Not REST: that is ``remsim.server.api``. Start with ``card``.
``import remsim`` brings the same names, and nothing of this is loaded before one of them is used.
"""

from remsim.api.arguments import ArgumentError
from remsim.api.card import Card, connect
from remsim.api.pyscard import CardConnection, CardConnectionError
from remsim.api.sync import SyncCard, connect_sync
from remsim.card.apdu import ResponseApdu
from remsim.card.errors import TpduError
from remsim.core.errors import ConfigError, RemsimError, StartError
from remsim.emulators.driven import ExchangeError, NoCardError, NotSentError

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
    "connect",
    "connect_sync",
]

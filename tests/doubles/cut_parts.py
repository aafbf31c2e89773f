# SPDX-License-Identifier: Apache-2.0
"""What a ``CutWorld`` is made of: how links fail, one TCP connection, a card that counts, and a modem with a script."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

import pytest

from remsim.bankd.core.actions import CardFault
from remsim.wire.ipa import HEADER_SIZE
from remsim.wire.link import engine
from remsim.wire.link.actions import LinkId
from remsim.wire.link.engine import LinkEngine
from remsim.wire.messages import codec


class LinkFailure(Enum):
    """What happens to the link at the place where it fails."""

    FIN = "both ends see the end, behind what was under way"
    RST = "both ends see the end at once"
    SILENCE = "neither end sees anything"
    DELAY = "nothing gets through for a while"
    HALF_OPEN_BANKD = "the client sees the end, the bankd goes on sending"
    HALF_OPEN_CLIENT = "the bankd sees the end, the client goes on sending"
    REFUSED_TWICE = "the end, and two attempts are refused"
    REFUSED_LONG = "the end, and attempts are refused until after the hold time"
    AGAIN = "both ends see the end, and that of the next links soon after"
    MODEM_RESET = "the end, and the modem resets its card meanwhile"
    CARD_FAULT = "the end, and the card fails meanwhile"


@dataclass
class CutPipe:
    """One TCP connection, with an engine at each end. Bytes wait in ``to_bank`` and ``to_client``."""

    link: LinkId
    client: LinkEngine
    bankd: LinkEngine
    to_bank: deque[bytes] = field(default_factory=deque)
    to_client: deque[bytes] = field(default_factory=deque)
    client_is_up: bool = True
    bankd_is_up: bool = True
    #: What is written gets nowhere.
    is_silent: bool = False
    #: Nothing is delivered before this time.
    blocked_until: float = 0.0


def frame_sizes(data: bytes) -> Iterator[int]:
    """The sizes of the whole frames in ``data``."""
    at = 0
    while at < len(data):
        size = HEADER_SIZE + int.from_bytes(data[at : at + 2])
        yield size
        at += size


class CountingCard:
    """Counts what it is asked to do. ``begin`` is called with each command, and ``execute`` is due later."""

    def __init__(self, begin: Callable[[bytes], None]) -> None:
        self._begin = begin
        self.since_reset = 0
        self.executed: list[bytes] = []
        self.resets = 0
        self.is_faulty = False

    def submit(self, tpdu: bytes, /) -> bytes | CardFault | None:
        """Take a command; the answer comes later."""
        self._begin(tpdu)
        return None

    def execute(self, tpdu: bytes) -> bytes:
        """Do it."""
        self.executed.append(tpdu)
        self.since_reset += 1
        return self.since_reset.to_bytes(2) + tpdu[1:3] + b"\x90\x00"

    def reset(self) -> None:
        """Forget everything."""
        self.since_reset = 0
        self.resets += 1


class ScriptedModem:
    """Gives the commands of its script one by one. None in the script is a reset by itself."""

    def __init__(self, script: list[bytes | None]) -> None:
        self.script = script
        self.at = 0
        self.number = 0
        self.awaited: int | None = None
        #: What it got for each command of the script: an answer, or why there is none.
        self.answers: dict[int, bytes | str] = {}
        self.has_card = False
        self.insertions = 0
        self.removals = 0


def code_each_message_once(patch: pytest.MonkeyPatch) -> None:
    """Keep what the codec gives: thousands of runs send the same messages. Neither bytes nor messages ever change."""
    for name in ("encode_pdu", "decode_pdu"):
        patch.setattr(engine, name, lru_cache(maxsize=None)(getattr(codec, name)))

# SPDX-License-Identifier: Apache-2.0
"""What a conversation is: whom it is held with, what is sent, where an answer is waited for, and how it ends."""

from dataclasses import dataclass
from enum import Enum


class Part(Enum):
    """Who we play, towards whom."""

    CLIENT_OF_SERVER = "client of the server"
    BANKD_OF_SERVER = "bankd of the server"
    CLIENT_OF_BANKD = "client of the bankd"
    SERVER_OF_BANKD = "server that dials a bankd"
    CALLER_OF_REST = "caller of the REST interface"


class End(Enum):
    """How the connection is left."""

    CLOSE = "close"
    RESET = "TCP reset"
    HALF = "end of our stream, then their last words"


#: Bytes to send in one write; None: wait until the peer has said something, or for a short while.
Step = bytes | None


@dataclass(frozen=True, slots=True)
class Script:
    """One conversation."""

    part: Part
    steps: tuple[Step, ...]
    end: End = End.CLOSE
    #: Where it comes from, for a report.
    origin: str = ""

    def describe(self) -> str:
        """All of it in one line."""
        steps = " ".join("?" if step is None else step.hex() for step in self.steps)
        return f"{self.part.value}; from {self.origin}; {self.end.value}; {steps}"

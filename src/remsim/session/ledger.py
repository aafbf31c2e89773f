# SPDX-License-Identifier: Apache-2.0
"""The ledger of a card session: which operations came, which command runs, and its answer. Each is run at most once.

The bankd keeps an ``OperationLedger`` of what its client asks for, the client an ``Outbox`` of what it has asked for.
Both span all links of a session. Operations are the commands of the modem and the changes of its lines; their tags
grow, with gaps. TCP keeps the order, so a bankd that has received one operation has received all before it. One command
waits for an answer at a time: later ones wait at the client.

This is a session of NFSv4.1 (RFC 8881, 2.10.6) with a single slot, and these are that protocol's cases:

=========================  ================================================================================
RFC 8881                   here
=========================  ================================================================================
slot, highest slot id      one slot; there is nothing to negotiate, and SEQ4_BADSLOT cannot occur
sequence id                the operation tag; one to follow is not the last plus one but any that is newer,
                           because the client's other messages take tags, too. It wraps after 2**31 - 1
reply cache                the answer to the newest command. Line changes have no answer worth keeping
new request                ``NEW``: it is run
retry, reply cached        ``ANSWERED``: the answer is sent again, the card hears nothing
retry, request in          ``RUNNING``: not started again; its one answer goes to the newest link. (The
progress (NFS4ERR_DELAY)   RFC lets the client ask again, this protocol does not)
misordered                 ``MISORDERED``: older than the newest, which only a peer with a defect sends. The
(SEQ4_MISORDERED)          link ends, and the session with it
false retry                ``FALSE_RETRY``: the tag is the newest, the command another one. As misordered
(SEQ_FALSE_RETRY)
retry of an uncached       cannot occur: the newest answer is always kept, and a client asks for no other.
reply                      A command that a reset of the modem made void is not asked for any more
retry on another link      the usual case: the client names the command that it waits for when it returns
session lost               the token is not known any more; the client shows its modem that the card is gone
(NFS4ERR_BADSESSION)
=========================  ================================================================================
"""

from enum import Enum
from typing import Final

from remsim.wire.link.tags import HALF_OF_TAGS, is_newer


class Standing(Enum):
    """What the ledger has on an operation that has just come."""

    NEW = "new"
    RUNNING = "in progress"
    ANSWERED = "answered"
    MISORDERED = "misordered"
    FALSE_RETRY = "false retry"


# Found once: this is the path of each command, and Python 3.11 takes its time to find a member of an enum by its name.
_NEW: Final = Standing.NEW


class OperationLedger:
    """The bankd's end: what came, in which order, and the answer to the newest command."""

    __slots__ = ("_command", "_tag", "last", "response", "suppressed")

    def __init__(self) -> None:
        #: The newest operation that came; None before the first one.
        self.last: int | None = None
        #: The answer to the newest command; None while it runs or waits.
        self.response: bytes | None = None
        #: Commands that came again and were not run again.
        self.suppressed = 0
        # The newest command and its tag.
        self._tag: int | None = None
        self._command = b""

    @property
    def running(self) -> int | None:
        """The command that has no answer yet; None if there is none."""
        return self._tag if self.response is None else None

    def take_command(self, tag: int, command: bytes) -> Standing:
        """A command has come; it is to be run if, and only if, it is NEW."""
        last = self.last
        # As is_newer; but nearly all tags are so, without a wrap, and need no call.
        if last is None or 0 < tag - last < HALF_OF_TAGS or is_newer(tag, last):
            self.last = self._tag = tag
            self._command = command
            self.response = None
            return _NEW
        if tag != self._tag or tag != last:
            return Standing.MISORDERED
        if command != self._command:
            return Standing.FALSE_RETRY
        self.suppressed += 1
        return Standing.RUNNING if self.response is None else Standing.ANSWERED

    def take_lines(self, tag: int) -> Standing:
        """A change of the modem's lines has come. One that comes again is ANSWERED: acknowledge it, do nothing."""
        last = self.last
        if last is None or is_newer(tag, last):
            self.last = tag
            return Standing.NEW
        if tag != last:
            return Standing.MISORDERED
        return Standing.FALSE_RETRY if tag == self._tag else Standing.ANSWERED

    def complete(self, tag: int, response: bytes) -> bool:
        """The card has answered a command. False: a newer one has come since, so its modem does not wait any more."""
        if tag != self._tag:
            return False
        self.response = response
        return True

    def void(self) -> None:
        """The modem was reset: nobody waits for the newest command, and its answer is dropped when it comes."""
        self._tag, self._command, self.response = None, b"", None

    def resume(self, waits_for: int | None) -> Standing:
        """A client has returned and waits for the answer to this command; None: for none.

        NEW: the command never came, and the client sends it again. RUNNING, ANSWERED: it is not to be sent again.
        """
        if waits_for is None:
            # What it had asked for is void, or it has the answer.
            self.void()
            return Standing.NEW
        if waits_for != self._tag:
            is_new = self.last is None or is_newer(waits_for, self.last)
            return Standing.NEW if is_new else Standing.MISORDERED
        self.suppressed += 1
        return Standing.RUNNING if self.response is None else Standing.ANSWERED

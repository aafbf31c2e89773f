# SPDX-License-Identifier: Apache-2.0
"""What the authority did, in the audit log: codes made, certificates issued and revoked, by any process.

The command line uses the authority's ledger, too, beside the server. So the log follows the ledger: what stands
there and not in the log is entered, also if no server was running when it happened. Only an enrolment is entered by
the handler that answered it, which knows where it came from.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from remsim.pki.codes import StoredCode
from remsim.pki.ledger import Issued
from remsim.server.core.actions import REFUSED, Actor, Entry
from remsim.server.store.sql import HISTORY_S

ISSUE: Final = "certificate.issue"
REVOKE: Final = "certificate.revoke"
REFUSE: Final = "certificate.refuse"
MAKE_CODE: Final = "code.make"
#: What the ledger shows.
FOLLOWED: Final = (ISSUE, REVOKE, MAKE_CODE)

#: The user of the command line; the ledger does not say who it was.
BY_HAND: Final = Actor("remsim pki", "local")
#: What is younger may be an enrolment that is being answered just now.
SETTLED_S: Final = 10.0


class CertificateAudit:
    """Enters what the ledger has and the log lacks. ``recorded`` are the actions and targets that the log has already.

    ``record`` takes entries; ``record_refusal`` those that unauthenticated callers cause, of which not all are kept.
    """

    def __init__(
        self,
        recorded: Iterable[tuple[str, str]],
        record: Callable[[Entry], None],
        record_refusal: Callable[[Entry], None],
    ) -> None:
        self._recorded = set(recorded)
        self._record = record
        self._record_refusal = record_refusal
        # The ledger that has nothing new any more; its parts are other objects when something was written.
        self._followed: tuple[Sequence[Issued], Sequence[StoredCode]] = ((), ())

    def enrolled(self, issued: Issued, *, source: str, how: str) -> None:
        """Somebody got a certificate over REST: with a code, or with the one it had."""
        self._enter(Entry(Actor(str(issued.identity), source), ISSUE, _target(issued), detail=f"enrolment: {how}"))

    def refused(self, *, source: str, request: str, reason: str) -> None:
        """Somebody asked for a certificate over REST, and got none."""
        self._record_refusal(Entry(Actor("enrolment", source), REFUSE, request, REFUSED, reason))

    def follow(self, ledger: Sequence[Issued], codes: Sequence[StoredCode], now: float) -> None:
        """Enter what is in the authority's ledger and not in the log yet. ``now`` is in seconds since 1970.

        What is older than entries are kept is passed over: it was there, and is forgotten.
        """
        if ledger is self._followed[0] and codes is self._followed[1]:
            return
        settled, forgotten = now - SETTLED_S, now - HISTORY_S
        for code in codes:
            # No program makes codes over the network, so there is nothing to wait for.
            if code.made_at >= forgotten:
                self._enter(Entry(BY_HAND, MAKE_CODE, _code_target(code)))
        is_settled = True
        for issued in ledger:
            is_settled &= max(issued.issued_at, issued.revoked_at or 0.0) < settled
            if forgotten <= issued.issued_at < settled:
                self._enter(Entry(BY_HAND, ISSUE, _target(issued), detail=_moment(issued.issued_at)))
            if issued.revoked_at is not None and forgotten <= issued.revoked_at < settled:
                detail = _moment(issued.revoked_at) + (f": {issued.reason}" if issued.reason else "")
                self._enter(Entry(BY_HAND, REVOKE, _target(issued), detail=detail))
        self._followed = (ledger, codes) if is_settled else ((), ())

    def _enter(self, entry: Entry) -> None:
        key = entry.action, entry.target
        if key not in self._recorded:
            self._recorded.add(key)
            self._record(entry)


def _target(issued: Issued) -> str:
    return f"{issued.identity} {issued.serial:x}"


def _code_target(code: StoredCode) -> str:
    # By its moment: a reader that knows the name of a live code could use up its tries.
    return f"{code.identity} {_moment(code.made_at, 'milliseconds')}"


def _moment(seconds: float, timespec: str = "seconds") -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")

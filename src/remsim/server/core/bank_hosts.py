# SPDX-License-Identifier: Apache-2.0
"""What bankds tell of their hosts (ability ``conditions.1``), and what a person should do about it. Without I/O.

A bankd says what is wrong by a name, with words of its own. What to do is never taken from it: an operator may follow
that without a second thought.
"""

import re
from typing import Final, NamedTuple

from remsim.core import host_codes
from remsim.redaction import scrub
from remsim.server.core.actions import Action
from remsim.server.core.log_events import peer_event
from remsim.server.core.peers import Peer
from remsim.server.core.warnings import Alert, Severity
from remsim.wire.messages.health import MAX_CONDITION, HostCondition, HostConditionsInd


class _Meaning(NamedTuple):
    """Under which kind of warning a condition is shown, and what to do."""

    kind: str
    hint: str


MEANINGS: Final[dict[str, _Meaning]] = {
    host_codes.PCSCD_UNUSABLE: _Meaning("pcscd", "remsim doctor bankd on that host says how to start or mend pcscd"),
    host_codes.PCSCD_TOO_OLD: _Meaning(
        "pcscd", "run one pcscd for each 16 readers, named in [[pcscd]], or use pcsc-lite 2.5 or later on that host"
    ),
    host_codes.CARDS_FORBIDDEN: _Meaning("pcscd", "permit the use of cards to the bankd's user in a rule of polkit"),
    host_codes.NO_DRIVER: _Meaning("pcscd", "remsim doctor bankd on that host says what is to be installed"),
    host_codes.READER_TWINS: _Meaning("reader", "give each of them a name of its own, in reader.conf of that host"),
    host_codes.READERS_UNSEEN: _Meaning(
        "reader", "restart pcscd on that host; its log names readers that do not start"
    ),
    host_codes.READERS_STUCK: _Meaning(
        "reader", "restart pcscd on that host; if they hang again, take the power from their hub"
    ),
    host_codes.DISK: _Meaning(
        "disk", "make room: a bankd that cannot write forgets which reader belongs to which slot"
    ),
}
_OTHER: Final = _Meaning("host", "see remsim doctor bankd on that host")
#: The kinds of all these warnings.
HOST_KINDS: Final = frozenset({_OTHER.kind, *(meaning.kind for meaning in MEANINGS.values())})
#: Words of one warning end here, however much a bankd tells.
MAX_TEXT: Final = 600

_CODE: Final = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
#: What a name that is none counts as.
_ODD: Final = "odd"


def on_host_conditions(peer: Peer, message: HostConditionsInd) -> list[Action]:
    """A bankd tells all that is wrong with its host."""
    before = {one.code for one in peer.conditions}
    peer.conditions = tuple(_cleaned(one) for one in message.conditions)
    codes = {one.code for one in peer.conditions}
    if codes == before:
        return []
    return [peer_event("info", "bank_host_conditions", peer, codes=sorted(codes))]


def host_alerts(peer: Peer) -> list[Alert]:
    """What is wrong with the host of a bank: one warning of each kind."""
    told: dict[str, list[HostCondition]] = {}
    for one in peer.conditions:
        told.setdefault(_meaning(one).kind, []).append(one)
    return [_alert(peer, kind, conditions) for kind, conditions in told.items()]


def _alert(peer: Peer, kind: str, conditions: list[HostCondition]) -> Alert:
    first = next((one for one in conditions if one.is_error), conditions[0])
    text = f"the host of bank {peer.bank}: {'; '.join(one.detail for one in conditions)}"
    severity: Severity = "error" if first.is_error else "warning"
    return Alert(0, kind, f"B{peer.bank}", 0.0, text[:MAX_TEXT], _meaning(first).hint, severity)


def _meaning(condition: HostCondition) -> _Meaning:
    return MEANINGS.get(condition.code, _OTHER)


def _cleaned(condition: HostCondition) -> HostCondition:
    """With a name that is one, and words that can be shown anywhere."""
    code = condition.code if _CODE.fullmatch(condition.code) else _ODD
    detail = "".join(c if " " <= c <= "~" else "?" for c in scrub(condition.detail))
    return HostCondition(code, condition.is_error, detail[:MAX_CONDITION])

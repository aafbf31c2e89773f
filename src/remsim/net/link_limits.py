# SPDX-License-Identifier: Apache-2.0
"""The limits that all programs share: those of every link, and those of listeners. See ``remsim.core.limits``."""

from typing import Final

from remsim.config.models import Limits, Timers
from remsim.core.episode import QUIET_S, RECURRENCES
from remsim.core.limits import Limit, LimitName
from remsim.net.accept.acceptor import MAX_PENDING
from remsim.net.allowance import ACCEPTED_RATE, FIRST_RATE, Rate
from remsim.net.connections import MAX_LINKS_PER_IDENTITY
from remsim.net.link import FLUSH_TIMEOUT_S, MAX_FIRST_WRITE_BUFFER, MAX_WRITE_BUFFER
from remsim.net.log_limiter import EVENT_INTERVAL_S, EVENT_LINES, UNAUTHENTICATED_INTERVAL_S, UNAUTHENTICATED_LINES
from remsim.net.tls.contexts import HANDSHAKE_TIMEOUT_S
from remsim.net.tls.transport import MAX_UNREAD
from remsim.trace.tap import RATE as TRACE_RATE
from remsim.wire.link.engine import MAX_FIRST_FRAME
from remsim.wire.link.requests import MAX_OUTSTANDING, MAX_UNANSWERED

_CLOSED: Final = "the link is closed"
_PAUSED: Final = "nothing is read from the link until the rate allows it again"


def _rate_unit(rate: Rate) -> str:
    return f"bytes at once and {rate.per_second} in each second, a message counting {rate.frame_cost} more than it has"


#: Of every link, dialled or accepted.
LINK_LIMITS: Final = (
    Limit(
        LimitName.IDENTIFY_TIME,
        Timers.defaults().identify_s,
        "s",
        "a program says who it is, or answers who we are, in one message; an unknown peer occupies no place for longer",
        _CLOSED,
        "timers.identify_s, timers.connect_s",
    ),
    Limit(
        LimitName.FIRST_FRAME,
        MAX_FIRST_FRAME,
        "bytes",
        "the longest connect request that is understood has some 9 KB; an accepted peer may send frames as long as "
        "their length field allows, 64 KiB",
        _CLOSED,
    ),
    Limit(
        LimitName.UNANSWERED_REQUESTS,
        MAX_UNANSWERED,
        "requests",
        "a sound peer has one command, or the mappings of a bank, in flight",
        _CLOSED,
    ),
    Limit(
        LimitName.OUTSTANDING_REQUESTS,
        MAX_OUTSTANDING,
        "requests",
        "a bank's mappings and all their deletions fit; a peer that leaves more of ours unanswered will never answer",
        _CLOSED,
    ),
    Limit(
        LimitName.FIRST_WRITE_BUFFER,
        MAX_FIRST_WRITE_BUFFER,
        "bytes",
        "a peer that is not accepted is told next to nothing, but may ask for PONG and identity without reading them",
        _CLOSED,
    ),
    Limit(
        LimitName.WRITE_BUFFER,
        MAX_WRITE_BUFFER,
        "bytes",
        "all that is told to a peer at once takes a tenth of it; one that lets more pile up does not read",
        _CLOSED,
    ),
    Limit(
        LimitName.FIRST_READING,
        FIRST_RATE.burst,
        _rate_unit(FIRST_RATE),
        "a peer that is not accepted introduces itself; one that floods us with PINGs must not take the processor from "
        "the others",
        _PAUSED,
    ),
    Limit(
        LimitName.READING,
        ACCEPTED_RATE.burst,
        _rate_unit(ACCEPTED_RATE),
        "ten thousand commands in each second, more than any card answers, and every list that programs exchange",
        _PAUSED,
    ),
    Limit(
        LimitName.CLOSING_TIME,
        FLUSH_TIMEOUT_S,
        "s",
        "what is due to a peer at the end is on its way at once, unless the peer does not read",
        "the rest is dropped",
    ),
)

#: Of programs that listen.
LISTENER_LIMITS: Final = (
    Limit(
        LimitName.UNIDENTIFIED,
        Limits.defaults().unidentified,
        "connections",
        "a storm of a thousand clients after a power cut fits several times; peers proven by TLS do not count",
        "of the source that has most, the one that waits longest is closed; the newcomer gets its place",
        "limits.unidentified",
    ),
    Limit(
        LimitName.UNIDENTIFIED_PER_SOURCE,
        Limits.defaults().unidentified_per_source,
        "connections",
        "half of all: one source, which may be a whole site behind address translation, never takes every place; an "
        "IPv6 network of 64 bits is one source",
        "the one from there that waits longest is closed; the newcomer gets its place",
        "limits.unidentified_per_source",
    ),
    Limit(
        LimitName.CONNECTIONS,
        None,
        "what the system allows (LimitNOFILE) less a quarter, or less 1024 descriptors",
        "database, REST and readers must get descriptors whatever peers do",
        "the unidentified connection that waits longest is closed; where there is none, the newcomer",
    ),
    Limit(
        LimitName.PENDING,
        MAX_PENDING,
        "connections of a listening socket",
        "they wait until their source has its turn: in the kernel's own queue there are no turns, and a flood would "
        "keep everybody out; where the system allows fewer than 34 000 descriptors, an eighth of these is the limit",
        "of the source that has most, the one that waits longest is closed",
    ),
    Limit(
        LimitName.LINKS_PER_IDENTITY,
        MAX_LINKS_PER_IDENTITY,
        "links",
        "a certificate may speak for 1024 client slots, each of which may be back before its old link is known to be "
        "dead",
        "a newcomer with that certificate is closed",
    ),
    Limit(
        LimitName.TLS_HANDSHAKE,
        MAX_UNREAD,
        "bytes",
        "within the handshake a sound peer sends some kilobytes, and then waits for us",
        "the connection is closed",
    ),
    Limit(
        LimitName.TLS_HANDSHAKE_TIME,
        HANDSHAKE_TIMEOUT_S,
        "s",
        "a handshake takes two round trips and a signature",
        "the connection is closed",
    ),
)

#: Of programs whose log unauthenticated peers can write to.
LINE_LIMIT: Final = Limit(
    LimitName.LOG_LINES,
    UNAUTHENTICATED_LINES,
    f"lines of each event about unauthenticated peers, then one in {UNAUTHENTICATED_INTERVAL_S:g} s",
    f"a flood must not fill the disk; of each other event {EVENT_LINES}, then one in {EVENT_INTERVAL_S:g} s",
    "the event is counted, and told at debug level if at all",
)

#: Of programs with peers that try again for ever, which is all.
RECURRENCE_LIMIT: Final = Limit(
    LimitName.RECURRING_LINES,
    RECURRENCES,
    f"lines of each event about one peer, until it was quiet for {QUIET_S:g} s",
    "a program that is refused, or gets no card, tries again every second for weeks",
    "further ones are counted, and told at debug level; one line says that it begins, one that it has ended",
)

#: Of programs that can be watched.
TRACE_LIMIT: Final = Limit(
    LimitName.TRACE_RATE,
    TRACE_RATE,
    "records of a traced slot in each second, and as many at once",
    "a modem's start-up has fewer; those who watch must not slow down the cards",
    "the record is left out, and how many were is told",
)

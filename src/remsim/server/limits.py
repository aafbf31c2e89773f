# SPDX-License-Identifier: Apache-2.0
"""All limits of ``remsim server`` in one table. See ``remsim.core.limits``."""

from typing import Final

from remsim.core.claims import MAX_CHALLENGERS
from remsim.core.limits import Limit, LimitName
from remsim.metrics import LIMITS as METRICS_LIMITS
from remsim.net.link_limits import LINE_LIMIT, LINK_LIMITS, LISTENER_LIMITS, RECURRENCE_LIMIT
from remsim.net.tls.contexts import HANDSHAKE_TIMEOUT_S
from remsim.pki.messages import RENEWAL_PERIOD_S, RENEWALS_ALLOWED
from remsim.server.api import limits as rest
from remsim.server.core.health_board import EVENT_BURST, EVENT_INTERVAL_S
from remsim.server.core.health_reports import BURST as HEALTH_BURST
from remsim.server.core.health_reports import PER_SECOND as HEALTH_PER_SECOND
from remsim.server.core.kept_answers import MAX_KEPT, MAX_KEPT_BYTES
from remsim.server.core.known import MAX_CLIENTS
from remsim.server.core.labels import MAX_LABELS, MAX_SUBJECTS
from remsim.server.core.latency_history import MAX_POINTS, MAX_TIMED
from remsim.server.core.leases import MAX_LEASES
from remsim.server.core.page_sessions import MAX_SESSIONS, SESSION_S
from remsim.server.core.peer_reports import BURST, REFILL_S
from remsim.server.core.slot_locks import MAX_LOCKS
from remsim.server.core.tokens import FAILURE_FORGIVEN_S, FAILURES_ALLOWED, MAX_SOURCES
from remsim.server.core.tracing import KEPT_RECORDS, MAX_TRACED
from remsim.server.core.warnings import MAX_WARNINGS
from remsim.server.core.webhooks import MAX_PENDING, MAX_WEBHOOKS
from remsim.server.store.audit import REFUSAL_INTERVAL_S, STORED_REFUSALS
from remsim.trace.tap import RATE
from remsim.wire.messages.extensions import MAX_LIST

_CLOSED: Final = "the connection is closed"
_ANSWER: Final = "the answer is {}"
_FAILURES: Final = f"failures of one source, then one in {FAILURE_FORGIVEN_S:g} s"

_PEERS: Final = (
    Limit(
        LimitName.CHALLENGERS,
        MAX_CHALLENGERS,
        "links",
        "one program has one or two links at a time; these wait to hear whether the holder of their identity lives",
        "a newcomer with that identity is refused",
    ),
    Limit(
        LimitName.CLIENT_IDS,
        None,
        "what the pool has",
        "ids for clients without one are taken from the pool that the operator sets aside, and stay theirs",
        "a client without an id is refused",
        "client_id_pool",
    ),
    Limit(
        LimitName.KNOWN_CLIENTS,
        MAX_CLIENTS,
        "client slots",
        "more than the largest installation has; on plaintext links a peer can claim any number",
        "the absent client that was seen longest ago is not listed any more",
    ),
    Limit(
        LimitName.LABELS,
        MAX_SUBJECTS,
        "slots and cards",
        f"every slot of the largest installation, and its card, several times; each has at most {MAX_LABELS} labels",
        _ANSWER.format(409),
    ),
    Limit(
        LimitName.SLOT_LOCKS,
        MAX_LOCKS,
        "locked slots",
        "four of the largest banks: an operator who locks more takes the bank out of service",
        _ANSWER.format(409),
    ),
    Limit(
        LimitName.LEASES,
        MAX_LEASES,
        "leases",
        "each is of one client slot, and waits or has a card: as many as there are client slots to remember",
        _ANSWER.format(409),
    ),
    Limit(
        LimitName.WARNINGS,
        MAX_WARNINGS,
        "warnings",
        "there is one of a kind about a thing, so more than these are no help to anybody",
        "what else is wrong is not listed until others are over",
    ),
    Limit(
        LimitName.REVOCATION_LIST,
        MAX_LIST,
        "bytes",
        "more than ten thousand certificates that are revoked and not expired; a link takes it at once",
        "a longer list is not sent: programs keep the one before, and the log says revocation_list_too_long",
    ),
)

_REST: Final = (
    Limit(
        LimitName.REST_CONNECTIONS,
        rest.MAX_CONNECTIONS,
        "connections",
        "without a good token so far; as many again with one. A back-end uses a few; each has one request at a time, "
        "so this limits requests and changes under way, too",
        "of the source that has most, the one that waits longest is closed; the newcomer gets its place",
    ),
    Limit(
        LimitName.REST_CONNECTIONS_PER_SOURCE,
        rest.MAX_CONNECTIONS_PER_SOURCE,
        "connections",
        "half of all: one source, which may be a proxy of everybody, never takes every place",
        "the one from there that waits longest is closed; the newcomer gets its place",
    ),
    Limit(
        LimitName.REST_HANDSHAKE_TIME,
        HANDSHAKE_TIMEOUT_S,
        "s",
        "a TLS handshake takes two round trips and a signature",
        _CLOSED,
    ),
    Limit(
        LimitName.REST_HEAD,
        rest.MAX_HEAD_BYTES,
        "bytes",
        "a token and a path have a few hundred bytes",
        _ANSWER.format(400),
    ),
    Limit(LimitName.REST_HEAD_TIME, rest.HEAD_TIME_S, "s", "the headers of a request fit into one packet", _CLOSED),
    Limit(
        LimitName.REST_BODY,
        rest.MAX_BODY_BYTES,
        "bytes",
        "a mapping has a hundred bytes, a certificate 2 000",
        _ANSWER.format(413),
    ),
    Limit(LimitName.REST_BODY_TIME, rest.BODY_TIME_S, "s", "a body fits into a few packets", _CLOSED),
    Limit(
        LimitName.REST_ANSWER_TIME,
        rest.ANSWER_TIME_S,
        "s",
        "a caller that takes nothing of an answer for so long does not read it",
        _CLOSED,
    ),
    Limit(
        LimitName.EVENT_READERS,
        rest.MAX_READERS,
        "streams",
        "a page or program has one; each wakes up at every change. One token may have "
        f"{rest.most_of_one(rest.MAX_READERS)} of them. All read the same 100 000 events, so a reader costs no memory; "
        "the events take some 50 MB, and 95 MB at most",
        _ANSWER.format(503),
    ),
    Limit(
        LimitName.LATENCY_SLOTS,
        MAX_TIMED,
        "slots of which times are kept for a chart",
        f"one of the largest banks with its clients; the newest {MAX_POINTS} reports of each take 17 kB",
        "the times of the slot that was heard of longest ago are forgotten",
    ),
    Limit(
        LimitName.PAGE_SESSIONS,
        MAX_SESSIONS,
        "sessions of browsers",
        f"each lasts {SESSION_S / 3600:g} h; more than an installation has operators, and small",
        "the oldest session of the token that has most ends: its browser is asked to log in",
    ),
    Limit(
        LimitName.PAGE_BOARDS,
        rest.MAX_BOARDS,
        "overviews that are kept up to date",
        "viewers with the same role and scope share one; of 1 000 slots it takes 1 MB",
        "the one that was looked at longest ago is made anew for its viewers",
    ),
    Limit(
        LimitName.TRACED_SLOTS,
        MAX_TRACED,
        "slots that are traced at a time",
        f"each may send {RATE} records in each second, and decoding that takes a few per cent of a processor",
        _ANSWER.format(503),
    ),
    Limit(
        LimitName.TRACE_READERS,
        rest.MAX_TRACE_READERS,
        "streams of traces",
        "a page or program has one for each slot that it watches. One token may have "
        f"{rest.MAX_TRACE_READERS_OF_ONE}, so that it never takes all slots that can be traced",
        _ANSWER.format(503),
    ),
    Limit(
        LimitName.TRACE_RECORDS,
        KEPT_RECORDS,
        "records of each traced slot",
        "ten seconds of the busiest slot, for a reader that is slow or comes back; some 2 MB",
        "the reader is told how many it has missed",
    ),
    Limit(
        LimitName.WEBHOOKS,
        MAX_WEBHOOKS,
        "webhooks",
        "a few systems are told; each costs a task and a queue",
        _ANSWER.format(409),
    ),
    Limit(
        LimitName.WEBHOOK_QUEUE,
        MAX_PENDING,
        "deliveries of one webhook",
        "some megabytes: a receiver that is away for long gets the lists anew",
        "the oldest delivery is dropped; the log of deliveries says so",
    ),
    Limit(
        LimitName.KEPT_ANSWERS,
        MAX_KEPT,
        f"answers of up to {MAX_KEPT_BYTES // 1024} KiB",
        "a caller that sends an Idempotency-Key may repeat itself within a day; few do so at all",
        "the oldest answer of the token that has most is forgotten: that request would be done anew",
    ),
    Limit(
        LimitName.TOKEN_FAILURES,
        FAILURES_ALLOWED,
        _FAILURES,
        "a program with an old token is noticed, a search is hopeless; good tokens go on, from wherever they come",
        _ANSWER.format(429),
    ),
    Limit(
        LimitName.ENROLMENT_FAILURES,
        FAILURES_ALLOWED,
        _FAILURES,
        "codes cannot be guessed, but each attempt costs a signature or a look into the ledger; good codes and "
        "certificates go on, each with a limit of its own",
        _ANSWER.format(429),
    ),
    Limit(
        LimitName.RENEWALS,
        RENEWALS_ALLOWED,
        f"certificates of one identity within {RENEWAL_PERIOD_S / 3600:g} h",
        "each stays in the ledger, the audit log and, once revoked, on the list; a host renews every 60 days, tries "
        "for 30 more, and gets the same answer again if one was lost",
        f"a renewal is refused ({_ANSWER.format(429)}); what was issued goes on, and enrolment with a code, too",
    ),
    Limit(
        LimitName.FAILING_SOURCES,
        MAX_SOURCES,
        "sources",
        "those who failed are remembered only until they owe nothing any more",
        "the one that failed longest ago is forgotten",
    ),
    Limit(
        LimitName.STORED_REFUSALS,
        STORED_REFUSALS,
        f"entries of one token, and of all without a token, then one in {REFUSAL_INTERVAL_S:g} s",
        "the database must not grow by what is refused: some fifty megabytes in the time for which entries are kept",
        "the refusal is counted and logged, but not in the audit log",
    ),
)

_BANKS: Final = (
    Limit(
        LimitName.BANK_AUDIT,
        BURST,
        f"entries of one bank, and of all without a certificate, then one in {REFILL_S:g} s",
        "twice what a bankd keeps for a server that was away; the audit log must not grow by one that repeats itself",
        "the entry is counted, and not stored",
    ),
    Limit(
        LimitName.HEALTH_REPORTS,
        HEALTH_BURST,
        f"reports on slots over one link, then {HEALTH_PER_SECOND} in a second",
        "every slot of the largest bank at once, then twice as many as a bankd of ours sends; each has some 200 bytes, "
        "and the newest of each slot is kept",
        "the report is counted, and not read",
    ),
    Limit(
        LimitName.HEALTH_EVENTS,
        EVENT_BURST,
        f"changes of verdicts of one bank or client, then one in {EVENT_INTERVAL_S:g} s",
        "a bank that loses power changes a thousand at once; one that does so again and again must not push everything "
        "else out of the events",
        "the verdict changes, but no event tells of it",
    ),
)

LIMITS: Final = (
    *LINK_LIMITS,
    *LISTENER_LIMITS,
    *_PEERS,
    *_BANKS,
    *_REST,
    LINE_LIMIT,
    RECURRENCE_LIMIT,
    *METRICS_LIMITS,
)

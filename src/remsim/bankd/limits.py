# SPDX-License-Identifier: Apache-2.0
"""All limits of ``remsim bankd`` in one table. See ``remsim.core.limits``."""

from typing import Final

from remsim.bankd.core.audit import MAX_KEPT
from remsim.bankd.core.connections import MAX_UNSERVED, MAX_UNSERVED_PER_SOURCE
from remsim.bankd.core.guarding import MAX_LINES
from remsim.bankd.core.session import MAX_QUEUED
from remsim.core.claims import MAX_CHALLENGERS
from remsim.core.limits import Limit, LimitName
from remsim.metrics import LIMITS as METRICS_LIMITS
from remsim.net.link_limits import LINE_LIMIT, LINK_LIMITS, LISTENER_LIMITS, RECURRENCE_LIMIT, TRACE_LIMIT

#: Events in the log about peers that are not accepted, or send what they should not: they have a small budget.
UNAUTHENTICATED_EVENTS: Final = frozenset(
    {"client_refused", "duplicate_client", "second_server", "not_a_server", "server_message_undecodable"}
)

_CLIENTS: Final = (
    Limit(
        LimitName.CHALLENGERS,
        MAX_CHALLENGERS,
        "connections",
        "one program has one or two at a time; these wait to hear whether the one before them lives",
        "a newcomer for that client slot, or one more server, is refused",
    ),
    Limit(
        LimitName.UNSERVED,
        MAX_UNSERVED,
        "connections",
        "a bank has at most 1023 slots, so several times as many rightful clients may wait for a mapping",
        "the one that waits longest is closed; it may come again",
    ),
    Limit(
        LimitName.UNSERVED_PER_SOURCE,
        MAX_UNSERVED_PER_SOURCE,
        "connections",
        "half of all: an unknown peer makes room among those of its own source first",
        "the one from there that waits longest is closed",
    ),
    Limit(
        LimitName.QUEUED_COMMANDS,
        MAX_QUEUED,
        "commands",
        "a modem has one command in flight; more is a client that does not listen",
        "the client's connection is closed",
    ),
    Limit(
        LimitName.GUARD_LINES,
        MAX_LINES,
        "lines of one session",
        "a modem that repeats a command which a rule is about must not fill the log",
        "the command is counted, but not logged",
    ),
    Limit(
        LimitName.KEPT_AUDIT,
        MAX_KEPT,
        "entries",
        "what is for the server's audit log waits for a server that takes it: that of five sessions at their limit",
        "further entries are dropped, and the server is told how many",
    ),
)

LIMITS: Final = (*LINK_LIMITS, *LISTENER_LIMITS, *_CLIENTS, LINE_LIMIT, RECURRENCE_LIMIT, TRACE_LIMIT, *METRICS_LIMITS)

# SPDX-License-Identifier: Apache-2.0
"""Limits on what others can make a program hold or do: their names, their description, and how often one was reached.

The numbers themselves stand where they are used. Each program has a table of its limits (``server.limits``,
``bankd.limits``, ``client.limits``) that refers to them; the page docs/limits.md is made of the tables. Reaching a
limit is counted under its name. Knows no program and does no I/O, so that decisions can count, too.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from remsim.core.values import dataclass


class LimitName(StrEnum):
    """The label under which a limit is counted."""

    # Of every link
    IDENTIFY_TIME = "identify_time"
    FIRST_FRAME = "first_frame"
    UNANSWERED_REQUESTS = "unanswered_requests"
    OUTSTANDING_REQUESTS = "outstanding_requests"
    FIRST_WRITE_BUFFER = "first_write_buffer"
    WRITE_BUFFER = "write_buffer"
    FIRST_READING = "first_reading"
    READING = "reading"
    CLOSING_TIME = "closing_time"
    # Of listeners
    UNIDENTIFIED = "unidentified"
    UNIDENTIFIED_PER_SOURCE = "unidentified_per_source"
    CONNECTIONS = "connections"
    PENDING = "pending"
    LINKS_PER_IDENTITY = "links_per_identity"
    TLS_HANDSHAKE = "tls_handshake"
    TLS_HANDSHAKE_TIME = "tls_handshake_time"
    # Of the metrics endpoint
    METRICS_CONNECTIONS = "metrics_connections"
    METRICS_REQUEST = "metrics_request"
    METRICS_TIME = "metrics_time"
    # Of servers and bankds
    CHALLENGERS = "challengers"
    # Of servers
    CLIENT_IDS = "client_ids"
    REVOCATION_LIST = "revocation_list"
    REST_CONNECTIONS = "rest_connections"
    REST_CONNECTIONS_PER_SOURCE = "rest_connections_per_source"
    REST_HANDSHAKE_TIME = "rest_handshake_time"
    REST_HEAD = "rest_head"
    REST_HEAD_TIME = "rest_head_time"
    REST_BODY = "rest_body"
    REST_BODY_TIME = "rest_body_time"
    REST_ANSWER_TIME = "rest_answer_time"
    TOKEN_FAILURES = "token_failures"
    ENROLMENT_FAILURES = "enrolment_failures"
    RENEWALS = "renewals"
    FAILING_SOURCES = "failing_sources"
    STORED_REFUSALS = "stored_refusals"
    BANK_AUDIT = "bank_audit"
    LABELS = "labels"
    SLOT_LOCKS = "slot_locks"
    PAGE_SESSIONS = "page_sessions"
    PAGE_BOARDS = "page_boards"
    LATENCY_SLOTS = "latency_slots"
    KNOWN_CLIENTS = "known_clients"
    LEASES = "leases"
    WARNINGS = "warnings"
    WEBHOOKS = "webhooks"
    WEBHOOK_QUEUE = "webhook_queue"
    EVENT_READERS = "event_readers"
    KEPT_ANSWERS = "kept_answers"
    HEALTH_REPORTS = "health_reports"
    HEALTH_EVENTS = "health_events"
    TRACED_SLOTS = "traced_slots"
    TRACE_READERS = "trace_readers"
    TRACE_RECORDS = "trace_records"
    # Of bankds and clients
    TRACE_RATE = "trace_rate"
    # Of bankds
    UNSERVED = "unserved"
    UNSERVED_PER_SOURCE = "unserved_per_source"
    QUEUED_COMMANDS = "queued_commands"
    GUARD_LINES = "guard_lines"
    KEPT_AUDIT = "kept_audit"
    # Of all programs
    LOG_LINES = "log_lines"
    RECURRING_LINES = "recurring_lines"
    # Of clients
    SCRIPT_CALLS = "script_calls"
    USB_MESSAGE = "usb_message"


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of a program's table."""

    name: LimitName
    #: The number that is in force unless it was configured, and its unit; None: the unit says it in words.
    value: float | None
    unit: str
    #: Why it is what it is.
    reason: str
    #: What becomes of a peer that reaches it.
    effect: str
    #: The setting that changes it; empty: nothing does.
    setting: str = ""

    @property
    def value_text(self) -> str:
        """``2048 connections``, ``10 s``, ``64 KiB``."""
        if self.value is None:
            return self.unit
        if self.unit == "bytes" and self.value % 1024 == 0:
            kib = int(self.value) // 1024
            return f"{kib // 1024} MiB" if kib % 1024 == 0 else f"{kib} KiB"
        number = int(self.value) if float(self.value).is_integer() else self.value
        return f"{number} {self.unit}"


class LimitCounts:
    """How often each limit was reached; those of ``names`` are there from the beginning, at 0."""

    def __init__(self, names: Iterable[LimitName] = ()) -> None:
        self._counts: dict[LimitName, int] = dict.fromkeys(names, 0)

    def reached(self, name: LimitName) -> None:
        """Count it once more."""
        self._counts[name] = self._counts.get(name, 0) + 1

    def __getitem__(self, name: LimitName) -> int:
        """Return how often it was reached."""
        return self._counts.get(name, 0)

    def snapshot(self) -> Mapping[LimitName, int]:
        """All counts, as they are now."""
        return dict(self._counts)

# SPDX-License-Identifier: Apache-2.0
"""Makes spans of commands and has them sent. The one module that imports the SDK of OpenTelemetry.

A span has a command's name, header, lengths, status word, times and slots, and no byte of its data or answer. Making
one takes some 30 µs of the event loop; sending is the work of a thread.
"""

import logging
import time
from collections.abc import Callable
from random import getrandbits
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from remsim import __version__
from remsim.background import Background
from remsim.card.instructions import command_name
from remsim.card.tpdu import HEADER_LENGTH, is_well_formed
from remsim.logs import Logger
from remsim.spans.ids import SpanIds, span_ids
from remsim.trace.gsmtap import TpduMark
from remsim.trace.outlet import DoneCommand, command_id_text

#: Spans that wait to be sent: some seconds of a busy bank, and some 10 MB.
MAX_WAITING: Final = 8192
_BATCH: Final = 512
#: Spans are gathered for so long before they are sent.
GATHER_S: Final = 1.0
#: A collector that takes longer for a request does not get it.
TIMEOUT_S: Final = 5.0
#: At the end of the program, what waits is sent within this time, or not.
STOP_S: Final = 3.0
_STATUS: Final = 2
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SCOPE: Final = InstrumentationScope("remsim", __version__)
_ORIGINS: Final = {
    TpduMark.MODEM: "modem",
    TpduMark.GUESS: "guess",
    TpduMark.RESTORE: "restore",
    TpduMark.INVENTORY: "inventory",
}
#: The SDK logs each failure; we say it once, and count.
_QUIETED: Final = ("opentelemetry.exporter", "opentelemetry.sdk")


class CommandSpans:
    """A ``CommandOutlet``; ``stop`` it. ``exporter`` is for tests."""

    def __init__(
        self,
        endpoint: str,
        share: float,
        *,
        program: str,
        log: Logger,
        exporter: SpanExporter | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        for name in _QUIETED:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._share = share
        self._log = log
        self._clock_ns = clock_ns
        self._resource = Resource.create(
            {"service.name": f"remsim-{program}", "service.namespace": "remsim", "service.version": __version__}
        )
        self._exporter = exporter or OTLPSpanExporter(endpoint, timeout=TIMEOUT_S)
        self._endpoint = endpoint
        self._is_failing = False
        #: Spans that the collector took, and those that it did not.
        self.sent = self.failed = 0
        self._offered = 0
        self._is_stopped = False
        self._queue = Background[ReadableSpan]("spans", self._send, most=MAX_WAITING, batch=_BATCH, gather_s=GATHER_S)

    @property
    def lost(self) -> int:
        """Spans that reached no collector."""
        # At the end some may be with an exporter that still waits for its collector.
        return self._offered - self.sent if self._is_stopped else self.failed + self._queue.dropped

    def stop(self) -> None:
        """Send what waits, as far as that succeeds in time. Blocks for at most ``STOP_S``."""
        self._queue.stop(STOP_S)
        self._exporter.shutdown()
        self._is_stopped = True

    # CommandOutlet

    def on_command(self, done: DoneCommand) -> None:
        """A span, if the command is among those that are sent, and it is known how long it took."""
        if done.spent_s is None:
            # The card was not asked: the client's span says it all.
            return
        ids = span_ids(done.command_id)
        if ids is None:
            ids, is_known = SpanIds(getrandbits(128) or 1, getrandbits(64) or 1), False
        else:
            is_known = True
        if ids.is_sampled(self._share):
            self._offered += 1
            self._queue.put(self._span(done, ids, is_known=is_known))

    def on_atr(self, slot: str, atr: bytes) -> None:
        """No command."""

    def on_reset(self, slot: str) -> None:
        """No command."""

    def on_unknown_card(self, slot: str) -> None:
        """No command."""

    def _span(self, done: DoneCommand, ids: SpanIds, *, is_known: bool) -> ReadableSpan:
        is_bank = done.slot.startswith("B")
        own = SpanContext(ids.trace_id, ids.span_id, is_remote=False, trace_flags=_SAMPLED)
        parent = None
        if is_bank and is_known:
            # The client's span, whose number is known without asking.
            parent = SpanContext(ids.trace_id, ids.span_id, is_remote=True, trace_flags=_SAMPLED)
            own = SpanContext(ids.trace_id, getrandbits(64) or 1, is_remote=False, trace_flags=_SAMPLED)
        end = self._clock_ns()
        response = done.response
        return ReadableSpan(
            _name(done.tpdu),
            own,
            parent,
            self._resource,
            _attributes(done, is_bank=is_bank),
            kind=SpanKind.SERVER if is_bank else SpanKind.CLIENT,
            status=Status(StatusCode.UNSET) if response is not None else Status(StatusCode.ERROR, "no answer"),
            start_time=end - round((done.spent_s or 0.0) * 1e9),
            end_time=end,
            instrumentation_scope=_SCOPE,
        )

    # In the thread

    def _send(self, spans: list[ReadableSpan]) -> None:
        try:
            is_sent = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  # a collector's answer, or a library's mistake, must not end the thread
            self._log.debug("spans_failed", exc_info=error)
            is_sent = False
        if is_sent:
            self.sent += len(spans)
        else:
            self.failed += len(spans)
        if is_sent is self._is_failing:
            self._is_failing = not is_sent
            if is_sent:
                self._log.info("spans_resumed", endpoint=self._endpoint, lost=self.lost)
            else:
                self._log.warning("spans_stopped", endpoint=self._endpoint, hint="is the collector running there?")


def _name(tpdu: bytes) -> str:
    return command_name(tpdu[0], tpdu[1]) if is_well_formed(tpdu) else "malformed command"


def _attributes(done: DoneCommand, *, is_bank: bool) -> dict[str, str | int | bool]:
    """Without a byte of data: the header of a command that is one, lengths, and the status word."""
    tpdu, response = done.tpdu, done.response
    bank, client = (done.slot, done.other) if is_bank else (done.other, done.slot)
    found: dict[str, str | int | bool] = {
        "remsim.bank_slot": bank,
        "remsim.client_slot": client,
        "remsim.command_id": command_id_text(bank, done.command_id),
        "remsim.origin": _ORIGINS[done.mark],
    }
    if is_well_formed(tpdu):
        found["remsim.header"] = tpdu[:HEADER_LENGTH].hex()
        found["remsim.command_bytes"] = len(tpdu) - HEADER_LENGTH
    if response is not None:
        found["remsim.sw"] = response[-_STATUS:].hex().upper()
        found["remsim.answer_bytes"] = max(0, len(response) - _STATUS)
    if not is_bank:
        found["remsim.answered_ahead"] = done.command_id.index > 0
        if done.network_s is not None:
            found["remsim.network_us"] = round(done.network_s * 1e6)
    return {name: value for name, value in found.items() if value != ""}

# SPDX-License-Identifier: Apache-2.0
"""The server's metrics, all in one place."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from remsim.metrics import ProgramMetrics
from remsim.metrics.instruments import Gauge, Metric
from remsim.server.core.coordinator import Coordinator
from remsim.server.core.health_board import HealthBoard
from remsim.server.core.slotmap import MappingState, SlotMap
from remsim.server.core.verdicts import VerdictKind
from remsim.server.limits import LIMITS

_SHOWN_STATES = (MappingState.NEW, MappingState.UNACKNOWLEDGED, MappingState.ACTIVE, MappingState.REFUSED)


class ServerMetrics(ProgramMetrics):
    """Names get the prefix ``remsim_server_``."""

    def __init__(self) -> None:
        super().__init__("server", limits=LIMITS)
        #: What the server lacks, in words; the service replaces it when it has started.
        self.lacks: Callable[[], list[str]] = lambda: ["the server is starting"]
        self._warnings: Callable[[], Mapping[str, int]] = dict
        self.events = self.counter("events", "Events in the log, those below its level included", ["event"])
        self.connections = self.gauge("connections", "RSPRO connections, identified or not")
        self.unidentified = self.gauge("unidentified_connections", "RSPRO connections that have not been accepted")
        self.clients = self.gauge("clients", "Connected client slots")
        self.banks = self.gauge("banks", "Connected banks")
        self.mappings = self.gauge("mappings", "Live mappings by state", ["state"])
        self.verdicts = self.gauge("slot_verdicts", "Slots of connected peers by the verdict on them", ["verdict"])
        self.removals = self.gauge("pending_removals", "Deleted mappings that a bankd may still hold")
        self.requests = self.counter("rest_requests", "REST requests by method and status", ["method", "status"])
        self.request_time = self.histogram("rest_request_seconds", "Time to answer a REST request", ["method"])

    def missing(self) -> list[str]:
        """Its ports, and a database that takes what is to be stored."""
        return self.lacks()

    def shown(self) -> Iterator[Metric]:
        """All metrics as they are now."""
        yield from super().shown()
        warnings = Gauge("remsim_warnings", "What is wrong now, by kind; remsim ctl warnings lists it", ["kind"])
        for kind, number in self._warnings().items():
            warnings.labels(kind).set(number)
        yield warnings

    def watch(self, coordinator: Coordinator) -> None:
        """Show this coordinator's state from now on."""
        self._warnings = coordinator.warnings.counts
        peers, slotmap = coordinator.peers, coordinator.slotmap
        self.connections.set_function(lambda: len(peers))
        self.unidentified.set_function(lambda: peers.unidentified)
        self.clients.set_function(lambda: peers.counts()[0])
        self.banks.set_function(lambda: peers.counts()[1])
        self.removals.set_function(slotmap.removal_count)
        text = "Audit entries that were more than a bankd may add"
        self.counter("bank_audit_dropped", text).set_function(lambda: coordinator.bank_audit.dropped)
        text = "Newcomers refused because another program with their certificate was there first"
        self.counter("contested_refusals", text).set_function(lambda: coordinator.contest_refusals)
        for kind in VerdictKind:
            self.verdicts.labels(kind.value).set_function(partial(_verdicts, coordinator.health, kind))
        for state in _SHOWN_STATES:
            self.mappings.labels(state.value).set_function(partial(_count, slotmap, state))


def _verdicts(board: HealthBoard, kind: VerdictKind) -> int:
    return board.counts().get(kind, 0)


def _count(slotmap: SlotMap, state: MappingState) -> int:
    return sum(1 for mapping in slotmap if mapping.state is state)

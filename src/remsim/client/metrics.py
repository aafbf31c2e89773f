# SPDX-License-Identifier: Apache-2.0
"""The client's metrics: what an operator wants to see of each client slot."""

from collections.abc import Callable

from remsim.ahead.figures import LatencyFigures
from remsim.client.core.states import SlotState
from remsim.client.limits import LIMITS
from remsim.metrics import OutletMetrics, ProgramMetrics

_LABEL = ("client_slot",)


class ClientMetrics(ProgramMetrics):
    """All metrics of ``remsim client``."""

    def __init__(self) -> None:
        super().__init__("client", limits=LIMITS)
        self.outlets = OutletMetrics(self)
        self.tpdus = self.counter("tpdus", "Commands of the modem that a card answered", _LABEL)
        self.failed_tpdus = self.counter("tpdus_failed", "Commands of the modem that got no answer", _LABEL)
        self.unknown = self.counter(
            "unknown_commands", "Commands of the modem whose direction is not known", (*_LABEL, "action")
        )
        self.duration = self.histogram("tpdu_seconds", "From a command to its answer", _LABEL)
        self.network = self.histogram(
            "network_seconds",
            "From a command to its answer, less what the bankd took: the network; for a bankd that tells that",
            _LABEL,
        )
        self.pings = self.histogram("ping_seconds", "From a PING to its PONG: the network", (*_LABEL, "peer"))
        self.resets = self.counter("resets", "Resets by the modem", (*_LABEL, "kind"))
        self.sessions = self.counter("sessions", "Sessions with a bankd that came into service", _LABEL)
        self.cuts = self.counter("cuts", "Links to a bankd that were lost while the session was held", _LABEL)
        self.resumes = self.counter("resumes", "Sessions that went on over another link", _LABEL)
        self.longest_hold = self.gauge(
            "longest_hold_milliseconds", "Longest time for which a session was held and went on", _LABEL
        )
        self.refusals = self.counter("refusals", "Connect requests refused", (*_LABEL, "by"))
        self.scripts = self.counter(
            "event_scripts", "Calls of the event script, by what became of them", (*_LABEL, "result")
        )
        self.server_connected = self.gauge("server_connected", "1 if the server has accepted the slot", _LABEL)
        self.card_inserted = self.gauge("card_inserted", "1 if the modem sees a card", _LABEL)
        self.hardware_present = self.gauge(
            "hardware_present", "1 if the card-emulation hardware of the slot is there, 0 if it is away", _LABEL
        )
        self.hardware_losses = self.counter(
            "hardware_losses", "How often the card-emulation hardware was unplugged, or failed", _LABEL
        )
        self.round_trips = self.counter("round_trips", "Commands that were not answered ahead", _LABEL)
        self.waited = self.counter("waited_milliseconds", "Time that the modem waited for its answers", _LABEL)
        self.held = self.counter("hold_milliseconds", "Time that commands waited for a lost link", _LABEL)
        self.ahead_hits = self.counter("ahead_hits", "Commands that were answered ahead", _LABEL)
        self.ahead_misses = self.counter(
            "ahead_misses", "Commands that were not those whose answers had come ahead", _LABEL
        )
        self.saved = self.counter("ahead_saved_milliseconds", "Time that the modem did not have to wait", _LABEL)
        self.state = self.gauge("slot_state", "1 for the state that the slot is in", (*_LABEL, "state"))

    def show_slot(self, client_slot: str, state: SlotState, *, is_server_connected: bool, has_card: bool) -> None:
        """Set the gauges of one slot."""
        for known in SlotState:
            self.state.labels(client_slot, known.value).set(known is state)
        self.server_connected.labels(client_slot).set(is_server_connected)
        self.card_inserted.labels(client_slot).set(has_card)

    def missing(self) -> list[str]:
        """A server, for each client slot."""
        slots = self.server_connected.members()
        if not slots:
            return ["the client is starting"]
        return [f"{slot} is not connected to its server" for (slot,), connected in slots if not connected.value]

    def show_latency(self, client_slot: str, read: Callable[[], LatencyFigures]) -> None:
        """Show from now on what ``read`` returns."""
        for counter, number in (
            (self.round_trips, lambda: read().round_trips),
            (self.waited, lambda: round((read().waited_s or 0.0) * 1000)),
            (self.held, lambda: round(read().hold_s * 1000)),
            (self.ahead_hits, lambda: read().ahead.hits),
            (self.ahead_misses, lambda: read().ahead.misses),
            (self.saved, lambda: round(read().ahead.saved_s * 1000)),
        ):
            counter.labels(client_slot).set_function(number)

    def forget_slot(self, client_slot: str) -> None:
        """Drop the gauges, and the totals that are read, of a slot that bears another number from now on."""
        for metric in (
            self.round_trips,
            self.waited,
            self.held,
            self.ahead_hits,
            self.ahead_misses,
            self.saved,
            self.state,
            self.server_connected,
            self.card_inserted,
            self.hardware_present,
            self.longest_hold,
        ):
            metric.forget(client_slot)

# SPDX-License-Identifier: Apache-2.0
"""The bank's numbers for Prometheus. Counting happens elsewhere, in plain integers; here they are shown on request."""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from remsim.bankd.core.coordinator import BankdCoordinator
from remsim.bankd.limits import LIMITS
from remsim.metrics import DURATION_BUCKETS_S, ProgramMetrics


class CardTimes:
    """How long cards took for a command: cheap enough for every TPDU."""

    def __init__(self) -> None:
        self._counts = [0] * (len(DURATION_BUCKETS_S) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one command."""
        self._counts[bisect_left(DURATION_BUCKETS_S, seconds)] += 1
        self._sum_s += seconds

    def metric(self) -> HistogramMetricFamily:
        """What Prometheus is shown."""
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(str, DURATION_BUCKETS_S), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        text = "Time that cards took for a command"
        return HistogramMetricFamily("remsim_bankd_card_seconds", text, buckets=buckets, sum_value=self._sum_s)


class BankdMetrics(ProgramMetrics, Collector):
    """All metrics of ``remsim bankd``."""

    def __init__(self) -> None:
        super().__init__("bankd", limits=LIMITS)
        self.card_times = CardTimes()
        self._coordinator: BankdCoordinator | None = None
        self.registry.register(self)

    def show(self, coordinator: BankdCoordinator) -> None:
        """The bank whose numbers are shown from now on."""
        self._coordinator = coordinator

    def describe(self) -> list[Metric]:
        """Nothing: names are known only once there is a bank."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All numbers, as they are now."""
        bank = self._coordinator
        if bank is None:
            return
        yield self.card_times.metric()
        sessions = GaugeMetricFamily("remsim_bankd_sessions", "Data sessions and free slots by state", labels=["state"])
        for state, number in bank.state_counts().items():
            sessions.add_metric([state.value], number)
        yield sessions
        cards = GaugeMetricFamily("remsim_bankd_cards", "Card positions by state", labels=["state"])
        for card_state, number in bank.cards.state_counts().items():
            cards.add_metric([card_state.value], number)
        yield cards
        faults = CounterMetricFamily("remsim_bankd_card_faults", "Card operations that failed", labels=["kind"])
        for kind, number in bank.counts.faults.items():
            faults.add_metric([kind.value.replace(" ", "_")], number)
        yield faults
        has_server = bank.control.active_server is not None
        yield GaugeMetricFamily("remsim_bankd_server_connected", "1 if this bank has an active server", int(has_server))
        yield GaugeMetricFamily("remsim_bankd_mappings", "Mappings in force", len(bank.mappings))
        contested = bank.clients.claims.contest_refusals + bank.control.claims.contest_refusals
        present = sum(position.is_present for position in bank.cards.positions)
        yield GaugeMetricFamily("remsim_bankd_cards_present", "Slots whose reader has a card", present)
        for name, text, number in (
            ("tpdus", "Commands that a card answered", bank.counts.tpdus),
            ("resets", "Resets of cards", bank.counts.resets),
            ("duplicate_clients", "Newcomers with the identity of a live client", bank.counts.duplicate_clients),
            ("impostors", "Clients that claimed a slot which is not theirs", bank.counts.impostors),
            ("contested_refusals", "Peers refused because another program with their certificate was first", contested),
            (
                "second_servers",
                "Servers that wanted a bank which has another active server",
                bank.counts.second_servers,
            ),
            ("crowded_out", "Connections closed because too many had no card", bank.counts.crowded_out),
            ("protocol_errors", "Connections closed because of what the peer sent", bank.counts.protocol_errors),
            ("blocked_commands", "Commands that a rule kept from the card", bank.counts.blocked_commands),
            ("noted_commands", "Commands that a rule noted", bank.counts.noted_commands),
            ("audit_dropped", "Audit entries dropped because no server took them", bank.counts.audit_dropped),
        ):
            yield CounterMetricFamily(f"remsim_bankd_{name}", text, number)

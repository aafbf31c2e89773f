# SPDX-License-Identifier: Apache-2.0
"""The bank's numbers for Prometheus. Counting happens elsewhere, in plain integers; here they are shown on request."""

from collections.abc import Callable, Iterator
from typing import Final

from remsim.ahead.figures import LatencyFigures
from remsim.bankd.core.coordinator import BankdCoordinator
from remsim.bankd.limits import LIMITS
from remsim.bankd.stuck import StuckReaders
from remsim.core import host_codes
from remsim.metrics import OutletMetrics, ProgramMetrics
from remsim.metrics.instruments import Counter, Gauge, Metric


class BankdMetrics(ProgramMetrics):
    """All metrics of ``remsim bankd``."""

    def __init__(self) -> None:
        super().__init__("bankd", limits=LIMITS)
        self.outlets = OutletMetrics(self)
        self.card_times = self.histogram("card_seconds", "Time that cards took for a command")
        self.pings = self.histogram("ping_seconds", "From a PING to its PONG: the network", ["peer"])
        self._coordinator: BankdCoordinator | None = None
        self._stuck: StuckReaders | None = None
        self._readers: Callable[[], int] = lambda: 0

    def show(self, coordinator: BankdCoordinator, stuck: StuckReaders, readers: Callable[[], int]) -> None:
        """The bank whose numbers are shown from now on; ``readers`` gives how many of its readers can be used."""
        self._coordinator, self._stuck, self._readers = coordinator, stuck, readers

    def missing(self) -> list[str]:
        """A server that orders, and a reader."""
        bank = self._coordinator
        if bank is None:
            return ["the bankd is starting"]
        lacks = [] if bank.control.active_server is not None else ["no server is connected"]
        return lacks if self._readers() else [*lacks, "no reader can be used"]

    def shown(self) -> Iterator[Metric]:
        """All numbers, as they are now; those of a bank once there is one."""
        yield from super().shown()
        bank = self._coordinator
        if bank is None:
            return
        sessions = Gauge("remsim_bankd_sessions", "Data sessions and free slots by state", ["state"])
        for state, number in bank.state_counts().items():
            sessions.labels(state.value).set(number)
        yield sessions
        cards = Gauge("remsim_bankd_cards", "Card positions by state", ["state"])
        for card_state, number in bank.cards.state_counts().items():
            cards.labels(card_state.value).set(number)
        yield cards
        breakers = Gauge("remsim_bankd_breakers", "Card positions by state of their breakers", ["state"])
        for breaker_state, number in bank.cards.breaker_counts().items():
            breakers.labels(breaker_state.value).set(number)
        yield breakers
        yield _conditions(bank)
        faults = Counter("remsim_bankd_card_faults", "Card operations that failed", ["kind"])
        for kind, number in bank.counts.faults.items():
            faults.labels(kind.value.replace(" ", "_")).inc(number)
        yield faults
        trips = sum(position.breaker.trips for position in bank.cards.positions)
        stuck = self._stuck
        yield from _of_holds(bank)
        yield from _of_slots(bank)
        present = sum(position.is_present for position in bank.cards.positions)
        for name, text, number in (
            ("server_connected", "1 if this bank has an active server", int(bank.control.active_server is not None)),
            ("mappings", "Mappings in force", len(bank.mappings)),
            ("cards_present", "Slots whose reader has a card", present),
            ("stuck_readers", "Readers whose driver has not returned from a call", stuck.count if stuck else 0),
        ):
            gauge = Gauge(f"remsim_bankd_{name}", text)
            gauge.set(number)
            yield gauge
        contested = bank.clients.claims.contest_refusals + bank.control.claims.contest_refusals
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
            ("breaker_trips", "Readers that failed several times in a row", trips),
            ("stuck_calls", "Calls from which a reader's driver did not return in time", stuck.total if stuck else 0),
            ("audit_dropped", "Audit entries dropped because no server took them", bank.counts.audit_dropped),
        ):
            counter = Counter(f"remsim_bankd_{name}", text)
            counter.inc(number)
            yield counter


#: Of each slot that was used: its name, its text, and the number, of ``LatencyFigures``. Times in milliseconds.
_COUNTERS_OF_SLOTS: Final[tuple[tuple[str, str, Callable[[LatencyFigures], int]], ...]] = (
    ("slot_commands", "Commands of the modem that were answered", lambda figures: figures.commands),
    ("slot_round_trips", "Commands that were not answered ahead", lambda figures: figures.round_trips),
    (
        "slot_card_milliseconds",
        "Time that the card worked while the modem waited",
        lambda figures: round((figures.card_s or 0.0) * 1000),
    ),
    (
        "slot_hold_milliseconds",
        "Time for which the session was held without a link",
        lambda figures: round(figures.hold_s * 1000),
    ),
    ("ahead_guesses", "Commands that were run before the modem sent them", lambda figures: figures.ahead.guesses),
    ("ahead_hits", "Commands that were answered ahead", lambda figures: figures.ahead.hits),
    ("ahead_misses", "Commands that were not those that were guessed", lambda figures: figures.ahead.misses),
    ("ahead_undone", "Guessed commands that the modem did not send", lambda figures: figures.ahead.undone),
    ("ahead_restores", "Commands that undid wrong guesses", lambda figures: figures.ahead.restores),
)
_GAUGES_OF_SLOTS: Final[tuple[tuple[str, str, Callable[[LatencyFigures], int]], ...]] = (
    (
        "slot_round_trip_milliseconds",
        "How far the modem is, as measured where answers go ahead; else 0",
        lambda figures: round((figures.round_trip_s or 0.0) * 1000),
    ),
    (
        "ahead_saved_milliseconds",
        "Time that the modem did not have to wait, less what wrong guesses cost",
        lambda figures: round(figures.ahead.saved_s * 1000),
    ),
)


def _of_slots(bank: BankdCoordinator) -> Iterator[Metric]:
    """Where the time of each slot's commands went, and what answers ahead did about it."""
    used = [(str(slot.bank_slot), bank.latency(slot.slot_nr)) for slot in bank.cards.positions]
    used = [(name, figures) for name, figures in used if figures.commands or figures.ahead.guesses]
    for name, text, number in _COUNTERS_OF_SLOTS:
        counter = Counter(f"remsim_bankd_{name}", text, ["bank_slot"])
        for slot, figures in used:
            counter.labels(slot).inc(number(figures))
        yield counter
    for name, text, number in _GAUGES_OF_SLOTS:
        gauge = Gauge(f"remsim_bankd_{name}", text, ["bank_slot"])
        for slot, figures in used:
            gauge.labels(slot).set(number(figures))
        yield gauge


def _conditions(bank: BankdCoordinator) -> Metric:
    conditions = Gauge("remsim_bankd_host_conditions", "1 for what is wrong with the host, by its name", ["code"])
    for code in sorted(host_codes.TOLD):
        conditions.labels(code).set(code in bank.control.conditions.codes)
    return conditions


def _of_holds(bank: BankdCoordinator) -> Iterator[Metric]:
    """Of sessions that outlive their link."""
    holds = bank.cards.holds
    counts = holds.counts
    resumes = Counter("remsim_bankd_resumes", "Sessions that went on over another link", ["after"])
    resumes.labels("cut").inc(counts.resumed)
    # The old link was still thought to be alive.
    resumes.labels("take_over").inc(counts.taken_over)
    yield resumes
    ended = Counter("remsim_bankd_holds_ended", "Sessions that ended while they were held", ["cause"])
    for cause, number in counts.ended.items():
        ended.labels(cause.name.lower()).inc(number)
    yield ended
    for name, text, number in (
        ("held_sessions", "Sessions that are held without a link", len(holds.detached())),
        (
            "longest_hold_milliseconds",
            "Longest time for which a session was held and went on",
            round(counts.longest_s * 1000),
        ),
    ):
        gauge = Gauge(f"remsim_bankd_{name}", text)
        gauge.set(number)
        yield gauge
    for name, text, number in (
        ("cuts", "Links of sessions that were lost, the session being held", counts.cuts),
        ("suppressed_commands", "Commands that were not run a second time after a cut", counts.suppressed),
    ):
        counter = Counter(f"remsim_bankd_{name}", text)
        counter.inc(number)
        yield counter

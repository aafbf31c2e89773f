# SPDX-License-Identifier: Apache-2.0
"""Fills the models of v2 with how slots stand, as far as the caller may see it."""

from collections.abc import Callable

from remsim.core.ids import BankSlot, ClientSlot
from remsim.rest import models
from remsim.server.api.v1.views import MaySee
from remsim.server.core.health_board import HealthStanding
from remsim.server.health_query import HealthQuery, SessionInfo
from remsim.wire.messages.health import ClientHealthInd, Latency, NetworkTime, Quantiles, SlotHealthInd

#: ``since`` and ``age_s`` of a moment in the server's own time.
Times = Callable[[float | None], dict[str, object]]


class HealthViews:
    """For one request: what ``query`` knows, as far as ``may_see`` allows."""

    def __init__(self, query: HealthQuery, may_see: MaySee, times: Times) -> None:
        self._query = query
        self._may_see = may_see
        self._times = times

    # Bank slots

    def slot(self, slot: BankSlot, *, is_whole: bool) -> models.SlotHealthModel:
        """The verdict on a bank slot; ``is_whole``: with all figures."""
        shown = self._verdict(self._query.slot(slot))
        heard = self._query.slot_report(slot) if is_whole else None
        if heard is not None:
            shown["figures"] = self._slot_figures(heard.report, heard.at)
        return models.SlotHealthModel.model_validate(shown)

    def session(self, slot: BankSlot) -> models.SessionModel | None:
        """The card session in a bank slot, if the caller may see it."""
        info = self._query.session(slot)
        return None if info is None or not self._may_see(info.bank, info.report.client) else self.session_of(info)

    def session_of(self, info: SessionInfo) -> models.SessionModel:
        """A card session."""
        report = info.report
        return models.SessionModel.model_validate(
            {
                "state": report.state.lower(),
                "source": f"B{info.bank.bank_id}",
                "bank": str(info.bank),
                "client": str(report.client),
                "cuts": report.cuts,
                **self._times(report.since),
            }
        )

    def reader(self, slot: BankSlot) -> tuple[str | None, str | None]:
        """The name of the reader, and the ATR in hex."""
        heard = self._query.slot_report(slot)
        if heard is None:
            return None, None
        return heard.report.reader, None if heard.report.atr is None else heard.report.atr.hex()

    def _slot_figures(self, report: SlotHealthInd, at: float) -> models.SlotFiguresModel:
        counters, recent, last = report.counters, report.recent, report.last_error
        error = None if last is None else {"kind": last.kind.name.lower(), **self._times(at - last.age_ms / 1000)}
        return models.SlotFiguresModel.model_validate(
            {
                **self._times(at),
                "commands": counters.commands,
                "resets": counters.resets,
                "mutes": counters.mutes,
                "transmission_errors": counters.transmission_errors,
                "other_errors": counters.other_errors,
                "recoveries": counters.recoveries,
                "mutes_in_1h": recent.mutes,
                "transmission_errors_in_1h": recent.transmission_errors,
                "last_error": error,
                "card_time": _durations(report.card_time),
                "latency": _latency(report.latency),
            }
        )

    # Client slots

    def client(self, slot: ClientSlot, *, is_whole: bool) -> dict[str, object]:
        """The members of a client slot's model that tell how it is; ``is_whole``: with all figures."""
        shown = self._verdict(self._query.client(slot))
        heard = self._query.client_report(slot)
        if heard is None:
            return {"health": models.ClientHealthModel.model_validate(shown)}
        report, at = heard.report, heard.at
        if is_whole:
            shown["figures"] = self._client_figures(report, at)
        return {
            "health": models.ClientHealthModel.model_validate(shown),
            "session": self._phase(slot, report, at),
            "emulator": report.emulator,
            "board": _board(report),
            "lines": self._lines(report, at),
            "round_trip": _durations(report.round_trip),
            "network": _network(report.network),
        }

    def _phase(self, slot: ClientSlot, report: ClientHealthInd, at: float) -> models.ClientPhaseModel:
        bank = report.bank_slot
        return models.ClientPhaseModel.model_validate(
            {
                "state": report.phase.name.lower(),
                "source": str(slot),
                "bank": None if bank is None or not self._may_see(bank, slot) else str(bank),
                **self._times(at - report.phase_age_ms / 1000),
            }
        )

    def _lines(self, report: ClientHealthInd, at: float) -> models.LinesModel | None:
        lines, speed = report.lines, report.speed
        if lines is None:
            return None
        return models.LinesModel.model_validate(
            {
                "reset": lines.is_reset_active,
                "vcc": lines.has_vcc,
                "clk": lines.has_clk,
                "f_index": None if speed is None else speed.f_index,
                "d_index": None if speed is None else speed.d_index,
                **self._times(at - lines.age_ms / 1000),
            }
        )

    def _client_figures(self, report: ClientHealthInd, at: float) -> models.ClientFiguresModel:
        counters = report.counters
        return models.ClientFiguresModel.model_validate(
            {
                **self._times(at),
                "commands": counters.commands,
                "failures": counters.failures,
                "resets": counters.resets,
                "cuts": counters.cuts,
                "cuts_in_1h": counters.recent_cuts,
                "resumes": counters.resumes,
                "longest_hold_s": counters.longest_hold_ms / 1000,
                "guesses_hit": counters.guesses_hit,
                "guesses_missed": counters.guesses_missed,
                "latency": _latency(report.latency),
            }
        )

    def _verdict(self, standing: HealthStanding) -> dict[str, object]:
        verdict = standing.verdict
        return {
            "kind": verdict.kind.value,
            "trouble": verdict.kind.is_trouble,
            "verdict": verdict.text,
            "advice": verdict.advice,
            **self._times(standing.since),
        }


def _board(report: ClientHealthInd) -> models.BoardModel | None:
    if report.has_hardware is None:
        return None
    return models.BoardModel(present=report.has_hardware, name=report.board, firmware=report.firmware)


def _durations(found: Quantiles | None) -> models.DurationsModel | None:
    if found is None:
        return None
    return models.DurationsModel(samples=found.samples, p50_us=found.p50_us, p99_us=found.p99_us)


def _network(found: NetworkTime | None) -> models.NetworkModel | None:
    if found is None:
        return None
    times = found.times
    by: models.NetworkBy = "pings" if found.is_of_pings else "commands"
    return models.NetworkModel(by=by, samples=times.samples, p50_us=times.p50_us, p99_us=times.p99_us)


def _latency(found: Latency | None) -> models.LatencyModel | None:
    if found is None:
        return None
    return models.LatencyModel(
        commands=found.commands,
        round_trips=found.round_trips,
        hold_s=found.hold_ms / 1000,
        guesses=found.guesses,
        hits=found.hits,
        misses=found.misses,
        undone=found.undone,
        restores=found.restores,
        saved_s=found.saved_ms / 1000,
        waited_s=None if found.waited_ms is None else found.waited_ms / 1000,
        card_s=None if found.card_ms is None else found.card_ms / 1000,
        round_trip_s=None if found.round_trip_ms is None else found.round_trip_ms / 1000,
    )

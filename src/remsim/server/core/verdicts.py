# SPDX-License-Identifier: Apache-2.0
"""From what peers report of a slot to a verdict in words, and what to do about it. Pure: facts in, verdict out.

The rules are a table: the first one that applies decides. A rule applies as long as its facts do, so a verdict clears
itself. ``docs/manual/rest.md`` says the same for people; a test compares the kinds.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Generic, TypeVar

from remsim.core.text import counted, escape, lasting
from remsim.core.values import dataclass
from remsim.redaction import scrub
from remsim.server.core.peers import SessionReport
from remsim.wire.messages.health import (
    CardErrorKind,
    ClientHealthInd,
    ClientPhase,
    Quantiles,
    SessionPhase,
    SlotHealthInd,
)
from remsim.wire.messages.rspro import ReaderHealthInd, ReaderState

#: Failures within an hour that are no accident: one is a bump against the rack, two may be.
MIN_ERRORS: Final = 3
#: Commands in a row that a card refused with one status word for want of the ability: a modem that looks for features
#: meets fewer.
MIN_REFUSED: Final = 10
#: A 99th percentile says something from so many commands on.
MIN_SAMPLES: Final = 20
#: A card needs 0.3 to 0.6 s for an authentication, and less for all else.
SLOW_CARD_S: Final = 1.0
#: Modems have patience for 1 to 2 s between commands of one procedure.
SLOW_ROUND_TRIP_S: Final = 1.0
#: Cuts of a client's link within an hour: one in ten minutes and more is no accident.
MIN_CUTS: Final = 6
#: Another program that has a reader now and then is told while it does.
BUSY_S: Final = 60.0
#: A client gets its card within a second or two; what takes longer is worth a word.
WAITING_S: Final = 10.0
#: What happened longer ago is no trouble any more.
RECENT_S: Final = 3600.0


class VerdictKind(StrEnum):
    """What is wrong with a slot, for programs."""

    OK = "ok"
    UNKNOWN = "unknown"
    # Of bank slots
    READER = "reader"
    NO_READER = "no-reader"
    NO_CARD = "no-card"
    BUSY = "busy"
    BROKEN = "broken"
    CONTACT = "contact"
    MUTE = "mute"
    SLOW = "slow"
    # Of client slots
    HARDWARE = "hardware"
    WAITING = "waiting"
    UNSTEADY = "unsteady"
    FAR = "far"
    # Of both
    HELD = "held"

    @property
    def is_trouble(self) -> bool:
        """Whether somebody should look at it."""
        return self not in (VerdictKind.OK, VerdictKind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class SlotVerdict:
    """What is wrong, in words, and what to do; both empty if nothing is."""

    kind: VerdictKind
    text: str = ""
    advice: str = ""
    #: For how long it has been so, where a report tells; None: since it was first found.
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """What is known of a bank slot at a time. Ages are in seconds, and count up since the report."""

    report: SlotHealthInd | None
    report_age_s: float
    reader: ReaderHealthInd | None
    session: SessionReport | None
    session_age_s: float
    #: There is a card, says whatever its bankd sends; None: it does not tell.
    is_present: bool | None
    is_mapped: bool
    #: Why nothing is known; empty if something is.
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What is known of a client slot at a time."""

    report: ClientHealthInd | None
    report_age_s: float
    unknown: str = ""


F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class HealthRule(Generic[F]):
    """One line of a table. ``find`` gives text and age if the rule applies."""

    kind: VerdictKind
    advice: str
    find: Callable[[F], tuple[str, float | None] | None]


def slot_verdict(facts: SlotFacts) -> SlotVerdict:
    """How a bank slot is."""
    return _first(SLOT_RULES, facts, facts.unknown)


def client_verdict(facts: ClientFacts) -> SlotVerdict:
    """How a client slot is."""
    return _first(CLIENT_RULES, facts, facts.unknown)


def _first(rules: Sequence[HealthRule[F]], facts: F, unknown: str) -> SlotVerdict:
    for rule in rules:
        if (found := rule.find(facts)) is not None:
            return SlotVerdict(rule.kind, found[0], rule.advice, found[1])
    return SlotVerdict(VerdictKind.UNKNOWN, unknown) if unknown else SlotVerdict(VerdictKind.OK)


# Bank slots


def _reader(facts: SlotFacts) -> tuple[str, float | None] | None:
    health = facts.reader
    if health is None or health.state is ReaderState.WORKING:
        return None
    cause = escape(scrub(health.cause or "")) or "it fails"
    return f"reader does not answer: {cause}, {counted(health.failures, 'failure')} in a row", None


def _no_reader(facts: SlotFacts) -> tuple[str, float | None] | None:
    if facts.report is None or facts.report.reader is not None or not facts.is_mapped:
        return None
    return "no reader: none belongs to this slot, or it is unplugged", _presence_age(facts)


def _no_card(facts: SlotFacts) -> tuple[str, float | None] | None:
    if facts.is_present is not False or not facts.is_mapped:
        return None
    return "no card in the slot", _presence_age(facts)


def _held_card(facts: SlotFacts) -> tuple[str, float | None] | None:
    if facts.session is None or facts.session.state != SessionPhase.DETACHED.name:
        return None
    return f"held for {lasting(facts.session_age_s)}: link to the client lost", facts.session_age_s


def _busy(facts: SlotFacts) -> tuple[str, float | None] | None:
    age_s = _error_age(facts, CardErrorKind.READER_BUSY)
    if age_s is None or age_s > BUSY_S:
        return None
    return "reader is in use by another program", None


def _broken(facts: SlotFacts) -> tuple[str, float | None] | None:
    same = None if facts.report is None else facts.report.same_status
    if same is None or same.count < MIN_REFUSED:
        return None
    age_s = same.age_ms / 1000 + facts.report_age_s
    return f"answers {same.status_word:04X} to everything, {same.count} commands in {lasting(age_s)}", age_s


def _contact(facts: SlotFacts) -> tuple[str, float | None] | None:
    report = facts.report
    if report is None or report.recent.transmission_errors < MIN_ERRORS:
        return None
    last = _last_error_text(facts)
    return (
        None
        if last is None
        else (f"contact trouble: {report.recent.transmission_errors} transmission errors in 1 h, {last}", None)
    )


def _mute(facts: SlotFacts) -> tuple[str, float | None] | None:
    report = facts.report
    if report is None or report.recent.mutes < MIN_ERRORS:
        return None
    last = _last_error_text(facts)
    return (
        None if last is None else (f"card is mute: {report.recent.mutes} times without an answer in 1 h, {last}", None)
    )


def _slow(facts: SlotFacts) -> tuple[str, float | None] | None:
    p99_s = _p99(None if facts.report is None else facts.report.card_time)
    return None if p99_s is None or p99_s < SLOW_CARD_S else (f"card is slow: p99 {p99_s:.1f} s", None)


def _presence_age(facts: SlotFacts) -> float | None:
    report = facts.report
    return None if report is None or report.is_present else report.presence_age_ms / 1000 + facts.report_age_s


def _error_age(facts: SlotFacts, kind: CardErrorKind | None = None) -> float | None:
    """How long ago the last error was, if it was of this kind."""
    last = None if facts.report is None else facts.report.last_error
    if last is None or (kind is not None and last.kind is not kind):
        return None
    return last.age_ms / 1000 + facts.report_age_s


def _last_error_text(facts: SlotFacts) -> str | None:
    """None if the last error was so long ago that none is recent, whatever a bankd says that is gone since."""
    age_s = _error_age(facts)
    return None if age_s is None or age_s >= RECENT_S else f"last {lasting(age_s)} ago"


def _p99(durations: Quantiles | None) -> float | None:
    return None if durations is None or durations.samples < MIN_SAMPLES else durations.p99_us / 1e6


SLOT_RULES: Final[tuple[HealthRule[SlotFacts], ...]] = (
    HealthRule(VerdictKind.READER, "plug the reader in again; check its cable, hub and power", _reader),
    HealthRule(VerdictKind.NO_READER, "plug the reader in, or see remsim doctor bankd on the bank's host", _no_reader),
    HealthRule(VerdictKind.NO_CARD, "insert the card, or map its client to another one", _no_card),
    HealthRule(
        VerdictKind.HELD, "it goes on when the client returns; if it does not, look at the client's network", _held_card
    ),
    HealthRule(VerdictKind.BUSY, "end the other program; remsim doctor bankd on the bank's host names it", _busy),
    HealthRule(VerdictKind.BROKEN, "pull the card and insert it again; if that does not help, replace it", _broken),
    HealthRule(VerdictKind.CONTACT, "clean the card or move it to another slot", _contact),
    HealthRule(VerdictKind.MUTE, "pull the card and insert it again; if that does not help, try another slot", _mute),
    HealthRule(VerdictKind.SLOW, "compare it with another card in this reader", _slow),
)


# Client slots


def _hardware(facts: ClientFacts) -> tuple[str, float | None] | None:
    return ("the board is away", None) if facts.report is not None and facts.report.has_hardware is False else None


def _held_modem(facts: ClientFacts) -> tuple[str, float | None] | None:
    age_s = _phase_age(facts, ClientPhase.HOLDING)
    return None if age_s is None else (f"held for {lasting(age_s)}: link to the bankd lost", age_s)


def _waiting(facts: ClientFacts) -> tuple[str, float | None] | None:
    age_s = _phase_age(facts, ClientPhase.WAIT_BANKD)
    if age_s is None or age_s < WAITING_S:
        return None
    # Which bank slot, not everybody may see who may see the client.
    return f"has no card for {lasting(age_s)}: its bankd does not serve it", age_s


def _unsteady(facts: ClientFacts) -> tuple[str, float | None] | None:
    report = facts.report
    if report is None or report.counters.recent_cuts < MIN_CUTS or facts.report_age_s >= RECENT_S:
        return None
    return f"network is not steady: {report.counters.recent_cuts} cuts in 1 h", None


def _far(facts: ClientFacts) -> tuple[str, float | None] | None:
    p99_s = _p99(None if facts.report is None else facts.report.round_trip)
    return None if p99_s is None or p99_s < SLOW_ROUND_TRIP_S else (f"answers come late: p99 {p99_s:.1f} s", None)


def _phase_age(facts: ClientFacts, phase: ClientPhase) -> float | None:
    report = facts.report
    return None if report is None or report.phase is not phase else report.phase_age_ms / 1000 + facts.report_age_s


CLIENT_RULES: Final[tuple[HealthRule[ClientFacts], ...]] = (
    HealthRule(VerdictKind.HARDWARE, "plug it in; remsim doctor on the client's host shows what is there", _hardware),
    HealthRule(VerdictKind.HELD, "it goes on when the bankd is reached; if it is not, check the network", _held_modem),
    HealthRule(VerdictKind.WAITING, "see what its mapping lacks: remsim ctl mappings", _waiting),
    HealthRule(VerdictKind.UNSTEADY, "look at the client's network: mobile cover, Wi-Fi, VPN", _unsteady),
    HealthRule(VerdictKind.FAR, "look at the network and the card's own time; ahead = on hides part of it", _far),
)

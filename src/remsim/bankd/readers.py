# SPDX-License-Identifier: Apache-2.0
"""Keeps slots and readers together: watches the source, asks the plan, and says where cards are.

Opens no card; see ``driver``.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from remsim.bankd.driver import CardDriver
from remsim.bankd.reader_choice import PCSC, PCSCD, choose_without_asking
from remsim.bankd.slots.auto import AutoPlan
from remsim.bankd.slots.plan import RulePlan, SlotPlan, SlotProblem
from remsim.bankd.slots.store import AUTO_NAME, save_auto
from remsim.config import BankdConfig
from remsim.core.episode import OncePerEpisode
from remsim.core.errors import StartError
from remsim.core.ids import BankSlot
from remsim.logs import Logger
from remsim.readers.base import Presence, PresenceEvent, ReaderSource, twins_of
from remsim.readers.errors import ReaderError, ReaderUnavailableError
from remsim.readers.registry import source_factory

if TYPE_CHECKING:
    from remsim.readers.pcscd import PcscdDaemon

_NOT_STORED: Final = "slots_not_stored"
_ANOTHER: Final = "another reader"

_CAUSES: Final = {
    Presence.UNKNOWN: "reader gone",
    Presence.ABSENT: "card removed",
    Presence.PRESENT: "card inserted",
}


class PresenceReceiver(Protocol):
    """Who hears where cards are. Without ``cause`` it is how things stood at the start."""

    def __call__(self, slot_nr: int, *, is_present: bool, reader: str, cause: str) -> None:
        """The slot has this reader now ("": none), with or without a card in it."""
        ...


async def make_source(config: BankdConfig, plan: SlotPlan, log: Logger) -> ReaderSource:
    """The reader source that the configuration names, or the one that fits this host. Raises StartError."""
    name = await _choose(config, log)
    try:
        factory = source_factory(name)
    except ReaderUnavailableError as error:
        raise StartError(str(error), hint=error.hint) from None
    if name in (PCSC, PCSCD):
        # Only where slots are given out by what readers are: to ask connects to each of them.
        finds_places = isinstance(plan, AutoPlan)
        is_shared = sharing(config, plan)
        # Of pcscd, each request has the longest deadline of all; those of operations are kept by the slot's driver.
        ours = {"daemons": _daemons(config), "deadline_s": config.card_deadline_s} if name == PCSCD else {}
        return factory(is_shared=is_shared, finds_places=finds_places, **ours)
    if name == "sim":
        return factory(
            slots=config.slots,
            profile=config.sim_profile or "default",
            state_dir=config.state_dir,
            card_time_s=config.card_time_ms / 1000,
        )
    return factory()


async def _choose(config: BankdConfig, log: Logger) -> str:
    choice = choose_without_asking(config, has_pyscard=find_spec("smartcard") is not None)
    if choice is not None:
        return choice.reader
    from remsim.readers.pcscd import PcscdUnwillingError, default_socket, protocol_of

    try:
        protocol = await protocol_of(default_socket())
    except PcscdUnwillingError as error:
        log.info("reader_chosen", reader=PCSCD, reason=str(error))
        return PCSCD
    except ReaderError as error:
        log.info("reader_chosen", reader=PCSC, reason=str(error), hint="--reader pcscd waits until it can be used")
        return PCSC
    log.info("reader_chosen", reader=PCSCD, protocol=protocol)
    return PCSCD


def _daemons(config: BankdConfig) -> list["PcscdDaemon"]:
    from remsim.readers.pcscd import name_daemons

    return name_daemons([(entry.socket, entry.name or "") for entry in config.pcscd])


def sharing(config: BankdConfig, plan: SlotPlan) -> Callable[[str], bool]:
    """Whether the card in a reader of some name is opened in shared mode."""

    def is_shared(reader: str) -> bool:
        for rule in plan.rules if isinstance(plan, RulePlan) else ():
            if rule.is_shared is not None and rule.matches(reader):
                return rule.is_shared
        return config.shared_access

    return is_shared


class SlotReaders:
    """The readers of one bank. Everything happens in the event loop."""

    def __init__(
        self,
        config: BankdConfig,
        source: ReaderSource,
        plan: SlotPlan,
        slots: Sequence[CardDriver],
        *,
        on_presence: PresenceReceiver,
        log: Logger,
    ) -> None:
        self._bank_id = config.bank_id
        self._file: Path = config.state_dir / AUTO_NAME
        self._source = source
        self._plan = plan
        self._slots = slots
        self._on_presence = on_presence
        self._log = log
        # In the driver's order, with what is known of each; None until its first event.
        self._readers: dict[str, Presence | None] = {}
        # Where they were plugged in when slots were last given out.
        self._places: dict[str, str] = {}
        self._assigned: dict[int, str] = {}
        self._served: set[int] = set()
        self._problems: frozenset[SlotProblem] = frozenset()
        # Names that a source gave to several readers at its start. PC/SC's own are withheld by its watcher.
        self._twins: frozenset[str] = frozenset()
        self._is_started = False
        self._trouble: OncePerEpisode[str] = OncePerEpisode()

    async def start(self) -> None:
        """Find out what is there and begin to watch. Raises StartError."""
        try:
            await self._source.start()
            names = await self._source.names()
        except ReaderUnavailableError as error:
            raise StartError(str(error), hint=error.hint) from None
        # Of readers with one name, none is used: which one the name means cannot be said.
        self._twins = twins_of(names)
        self._readers = dict.fromkeys(name for name in names if name not in self._twins)
        self._assign()
        self._log.info("readers_found", readers=len(names), slots_with_reader=len(self._assigned))
        self._is_started = True
        self._source.watch(self._on_event)

    async def stop(self) -> None:
        """Free the source."""
        await self._source.stop()

    def _on_event(self, event: PresenceEvent) -> None:
        name = event.reader
        if name in self._twins:
            return
        is_first = self._readers.get(name, Presence.UNKNOWN) is None
        if event.presence is Presence.UNKNOWN:
            cause = event.cause or _CAUSES[event.presence]
            self._tell(name, is_present=False, reader="", cause=cause)
            if name in self._readers:
                del self._readers[name]
                self._assign(_ANOTHER)
            return
        is_new = name not in self._readers
        cause = event.cause or ("reader plugged in" if is_new else "" if is_first else _CAUSES[event.presence])
        self._readers[name] = event.presence
        if is_new or self._source.place(name) != self._places.get(name):
            self._assign(cause)
        self._tell(name, is_present=event.presence is Presence.PRESENT, reader=name, cause=cause)

    def _tell(self, name: str, *, is_present: bool, reader: str, cause: str) -> None:
        for slot_nr, assigned in self._assigned.items():
            if assigned == name:
                self._on_presence(slot_nr, is_present=is_present, reader=reader, cause=cause)

    def _assign(self, cause: str = "") -> None:
        """Give slots their readers. ``cause`` is what has changed; empty: this is how it stood at the start."""
        self._places = {name: self._source.place(name) for name in self._readers}
        assignment = self._plan.assign(list(self._readers), self._assigned, self._places)
        before, self._assigned = self._assigned, dict(assignment.readers)
        for slot in self._slots:
            old, new = before.get(slot.slot_nr), self._assigned.get(slot.slot_nr)
            if old != new:
                self._exchange(slot, old, new, cause)
        twins = [SlotProblem("readers_of_one_name", None, (("reader", name),)) for name in sorted(self._twins)]
        self._report([*assignment.problems, *twins])
        if isinstance(self._plan, AutoPlan) and self._plan.is_changed:
            self._save(self._plan)

    def _save(self, plan: AutoPlan) -> None:
        """Store which slots readers have. While readers are served, a disk that is full stops none of them."""
        try:
            save_auto(self._file, plan)
        except StartError as error:
            if not self._is_started:
                raise
            if self._trouble.begins(_NOT_STORED):
                hint = "make room; they are stored at the next change of readers"
                self._log.error(_NOT_STORED, error=str(error), hint=hint)
        else:
            self._trouble.ends(_NOT_STORED)

    def _exchange(self, slot: CardDriver, old: str | None, new: str | None, cause: str) -> None:
        if old is not None:
            self._on_presence(slot.slot_nr, is_present=False, reader="", cause=_ANOTHER)
        slot.reader = None if new is None else self._source.reader(new)
        if new is None:
            return
        self._served.add(slot.slot_nr)
        self._log.debug("reader_assigned", bank_slot=BankSlot(self._bank_id, slot.slot_nr), reader=new)
        is_present = self._readers.get(new) is Presence.PRESENT
        self._on_presence(slot.slot_nr, is_present=is_present, reader=new, cause=cause)

    def _report(self, problems: Sequence[SlotProblem]) -> None:
        """Say what is wrong, once. That a reader went away was said already."""
        for problem in problems:
            is_told = problem in self._problems or (
                problem.event == "no_such_reader" and problem.slot_nr in self._served
            )
            if not is_told:
                slot = None if problem.slot_nr is None else BankSlot(self._bank_id, problem.slot_nr)
                self._log.warning(problem.event, bank_slot=slot, **dict(problem.fields))
        self._problems = frozenset(problems)

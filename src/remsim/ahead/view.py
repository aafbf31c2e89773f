# SPDX-License-Identifier: Apache-2.0
"""What is known of a card in use: what is selected, how to get back to it, and which response waits to be fetched.

``CardView`` is the tracker of selections that the guard asks, with what answering ahead needs beside it: one object,
told of each exchange once. Where something is not known for certain, it is unknown, and then nothing is guessed.
"""

from dataclasses import replace
from typing import Final

from remsim.ahead.return_path import (
    BY_AID,
    INS_GET_RESPONSE,
    INS_MANAGE_CHANNEL,
    INS_READ_BINARY,
    INS_READ_RECORD,
    INS_SELECT,
    UPDATE_RECORD,
    Effect,
    Step,
    after,
    effect,
    form,
    is_not_looked_at,
    of_application,
    quiet,
    selects_itself,
)
from remsim.card.class_byte import GSM_CLA, Family, class_byte
from remsim.card.filenames import application_name
from remsim.card.selection import Path, SelectionTracker, TrackerState, is_success, short_identifier
from remsim.card.tpdu import is_well_formed
from remsim.core.values import dataclass

_HEADER: Final = 5
#: GET RESPONSEs that fetch one response bit by bit.
_MAX_FETCHED: Final = 4
_MAX_READS: Final = 512
_OPEN, _CLOSE = 0x00, 0x80
#: PIN commands; their P2 names the PIN.
_PIN: Final = frozenset({0x20, 0x24, 0x26, 0x28, 0x2C})
_LOCAL: Final = 0x80
_GSM_CHV2: Final = 0x02
#: P2 of SELECT by AID: which of several, and what to do with its session (table 11.2).
_P2_UNUSUAL: Final = 0xF3
#: Applications whose files are selected as TS 102 221 says. Others do with SELECT what they like.
_FILE_APPLICATIONS: Final = frozenset({"ADF.USIM", "ADF.ISIM", "ADF.CSIM"})
#: Status words after which cards differ in whether the response before is lost: the command had no meaning.
_NO_MEANING_SW1: Final = frozenset({0x67, 0x68, 0x6D, 0x6E})


#: How files of an application were read by short identifier: directory and identifier, and the step.
Reads = tuple[tuple[tuple[Path, int], Step], ...]


@dataclass(frozen=True, slots=True)
class ChannelPlace:
    """One channel. ``steps`` lead to what is selected on it; None if that is not known."""

    steps: tuple[Step, ...] | None = None
    #: An application is selected that may take SELECT for something of its own.
    is_foreign: bool = False
    reads: Reads = ()


@dataclass(frozen=True, slots=True)
class Fetching:
    """The exchange that the last command belongs to: a command that left a response, and what fetched it."""

    channel: int
    source: Step
    gets: tuple[Step, ...] = ()
    #: Bytes that wait; 0 if all are fetched.
    waiting: int = 0
    #: The source may be repeated.
    is_repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a view knows at one moment."""

    tracker: TrackerState
    places: tuple[tuple[int, ChannelPlace], ...]
    fetching: Fetching | None
    last: Step | None
    family: Family | None
    has_local_pin: bool
    is_unsettled: bool


class CardView(SelectionTracker):
    """A card as its commands and answers tell."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[int, ChannelPlace] = {}
        self.fetching: Fetching | None = None
        #: The last exchange.
        self.last: Step | None = None
        #: Whether the modem uses class A0 or the others. None: no SELECT yet.
        self.family: Family | None = None
        #: A PIN of an application was verified; cards may forget that when its directory is left.
        self.has_local_pin = False
        #: Cards differ in what the last command left behind.
        self.is_unsettled = True
        #: Forms of restoring commands that this card took since it was reset.
        self._proven: set[bytes] = set()
        self._refused: set[bytes] = set()
        #: READs by short identifier that nobody sent: they select what an UPDATE with the same identifier selected.
        self._made_up: set[bytes] = set()

    def on_reset(self) -> None:
        """The card was reset. What it has selected then, it has not been asked yet."""
        super().on_reset()
        self._places.clear()
        self.fetching = self.last = self.family = None
        self.has_local_pin, self.is_unsettled = False, True
        self._proven.clear()
        self._refused.clear()
        self._made_up.clear()

    # As a value

    def snapshot(self) -> Snapshot:
        """Everything, for ``go_back``."""
        return Snapshot(
            self.saved(),
            tuple(self._places.items()),
            self.fetching,
            self.last,
            self.family,
            self.has_local_pin,
            self.is_unsettled,
        )

    def go_back(self, snapshot: Snapshot) -> None:
        """The card was restored to what it was then."""
        self.restore(snapshot.tracker)
        self._places = dict(snapshot.places)
        self.fetching, self.last, self.family = snapshot.fetching, snapshot.last, snapshot.family
        self.has_local_pin, self.is_unsettled = snapshot.has_local_pin, snapshot.is_unsettled

    # What is known

    def place(self, cla: int) -> ChannelPlace:
        """The channel of a class byte."""
        return self._places.get(class_byte(cla).channel, ChannelPlace())

    def plan_before(self, tpdu: bytes) -> tuple[Step, ...] | None:
        """The commands that would restore the present state after ``tpdu`` was run; None if there are none known."""
        touched = set() if effect(tpdu) is Effect.KEEPS else {class_byte(tpdu[0]).channel}
        wanted = self.fetching if self.fetching is not None and self.fetching.is_repeatable else None
        if wanted is not None:
            touched.add(wanted.channel)
        return _plan(touched, self._places, wanted)

    def untried(self, plan: tuple[Step, ...]) -> bytes | None:
        """A command of the plan in a form that the card was not seen to take since it was reset."""
        for step in plan:
            if step.command in self._made_up:
                return step.command
            if step.is_success and step.command[1] == INS_SELECT and form(step.command) not in self._proven:
                return step.command
        return None

    def trial(self, untried: bytes) -> bytes | None:
        """A command in the form of ``untried`` that selects what is selected anyway; None if there is none now."""
        steps = self.place(untried[0]).steps
        if steps is None or form(untried) in self._refused or untried in self._refused:
            return None
        found = self.fetching
        if found is not None and (found.waiting or len(self.place_of(found.channel).steps or ()) > 1):
            # A response would be lost, or could be had again only by what is to be tried.
            return None
        if untried in self._made_up:
            return untried if steps[-1].command == untried else None
        command = quiet(steps[-1].command)
        is_safe = steps[-1].is_success and selects_itself(command)
        return command if is_safe and form(command) == form(untried) else None

    def on_tried(self, tpdu: bytes, response: bytes) -> None:
        """``tpdu``, a ``trial``, was run."""
        if tpdu in self._made_up:
            (self._made_up.discard if is_success(int.from_bytes(response[-2:])) else self._refused.add)(tpdu)
        elif is_success(int.from_bytes(response[-2:])):
            self._proven.add(form(tpdu))
        else:
            self._refused.add(form(tpdu))
        self.fetching, self.last = None, Step(bytes(tpdu), int.from_bytes(response[-2:]))

    # What happens

    def on_exchange(self, tpdu: bytes, response: bytes) -> None:
        """A command and what the card answered."""
        is_whole = len(tpdu) >= _HEADER and self.is_whole(tpdu)
        super().on_exchange(tpdu, response)
        if len(tpdu) < _HEADER or len(response) < 2 or not is_well_formed(tpdu):
            self.is_unsettled = True
            return
        step = Step(bytes(tpdu), int.from_bytes(response[-2:]))
        self._note_family(step)
        if is_whole:
            self._note_place(step, response)
        else:
            self._lose(class_byte(tpdu[0]).channel)
        self._note_fetching(step)
        self._note_pin(step)
        if step.command[1] == INS_SELECT and step.is_success:
            self._proven.add(form(step.command))
        self.last = step

    def _note_family(self, step: Step) -> None:
        """A modem that changes between A0 and the others starts anew: what each leaves to the other differs."""
        if step.command[1] != INS_SELECT or not step.is_success:
            return
        family = Family.GSM if step.command[0] == GSM_CLA else Family.INTER_INDUSTRY
        if family is not self.family:
            if self.family is not None:
                self._lose_all()
            self.family = family

    def _note_place(self, step: Step, response: bytes) -> None:
        tpdu, cla = step.command, step.command[0]
        channel = class_byte(cla).channel
        if is_not_looked_at(step.sw):
            return
        if tpdu[1] == INS_MANAGE_CHANNEL:
            self._note_channel(channel, step, response)
            return
        found = self.place(cla)
        match effect(tpdu):
            case Effect.KEEPS:
                return
            case Effect.REPEATABLE:
                if not found.is_foreign:
                    steps = after(found.steps, tpdu, step.sw)
                    self._places[channel] = ChannelPlace(steps, reads=self._with_read(found.reads, step))
            case Effect.WRITES_BY_SFI:
                self._places[channel] = replace(found, steps=self._as_if_read(found, step))
            case Effect.LOSES if tpdu[1] == INS_SELECT and tpdu[2] == BY_AID and cla != GSM_CLA:
                self._select_application(channel, step)
            case Effect.LOSES:
                if class_byte(cla).family in (Family.PROPRIETARY, None):
                    self._lose_all()
                else:
                    self._lose(channel)

    def _with_read(self, reads: Reads, step: Step) -> Reads:
        """Remember how a file was read by short identifier, for when it is written so."""
        key = self._sfi_key(step.command)
        if key is None or not step.is_success or len(reads) >= _MAX_READS:
            return reads
        return (*(read for read in reads if read[0] != key), (key, step))

    def _as_if_read(self, place: ChannelPlace, step: Step) -> tuple[Step, ...] | None:
        key = self._sfi_key(step.command)
        read = next((read for known, read in place.reads if known == key), None)
        if key is None or not step.is_success:
            return None
        if read is None:
            read = Step(_read_for(step.command), 0x9000)
            self._made_up.add(read.command)
        return after(place.steps, read.command, read.sw)

    def _sfi_key(self, tpdu: bytes) -> tuple[Path, int] | None:
        sfi = short_identifier(tpdu)
        directory = self.selected(tpdu[0]).directory
        return None if sfi is None or directory is None else (directory, sfi)

    def _select_application(self, channel: int, step: Step) -> None:
        cla, p2, aid = step.command[0], step.command[3], step.command[_HEADER:]
        if not step.is_success:
            self._lose(channel)
        elif application_name(aid) in _FILE_APPLICATIONS and not p2 & _P2_UNUSUAL:
            self._places[channel] = ChannelPlace((of_application(cla),))
        else:
            self._places[channel] = ChannelPlace(is_foreign=True)

    def _note_channel(self, channel: int, step: Step, response: bytes) -> None:
        mode, number = step.command[2], step.command[3]
        if mode == _CLOSE:
            self._places.pop(number or channel, None)
        elif mode == _OPEN and step.is_success:
            opened = number or (response[0] if len(response) > 2 else 0)
            self._places[opened] = ChannelPlace(is_foreign=self.place_of(channel).is_foreign and channel != 0)
        elif mode != _OPEN:
            self._lose_all()

    def place_of(self, channel: int) -> ChannelPlace:
        """A channel by its number."""
        return self._places.get(channel, ChannelPlace())

    def _lose(self, channel: int) -> None:
        self._places[channel] = replace(self.place_of(channel), steps=None)

    def _lose_all(self) -> None:
        for channel in self._places:
            self._lose(channel)

    def _note_fetching(self, step: Step) -> None:
        tpdu, sw = step.command, step.sw
        channel = class_byte(tpdu[0]).channel
        found = self.fetching
        is_get = tpdu[1] == INS_GET_RESPONSE and tpdu[2] == tpdu[3] == 0
        waiting = (sw & 0xFF or 256) if sw >> 8 in (0x61, 0x9F) else 0
        self.is_unsettled = sw >> 8 in _NO_MEANING_SW1 and not (is_get and found is not None)
        if is_get and found is not None and found.channel == channel:
            is_short = len(found.gets) < _MAX_FETCHED
            if sw >> 8 in (0x67, 0x6C):
                waiting = found.waiting
            gets = (*found.gets, step) if is_short else found.gets
            self.fetching = replace(found, gets=gets, waiting=waiting, is_repeatable=found.is_repeatable and is_short)
        elif waiting and tpdu[1] != INS_GET_RESPONSE:
            # Repeated is the last step to what is selected; where that is unknown, nothing can be repeated.
            steps = self.place(tpdu[0]).steps
            is_repeatable = effect(tpdu) is Effect.REPEATABLE and steps is not None and steps[-1] == step
            self.fetching = Fetching(channel, step, (), waiting, is_repeatable)
        else:
            self.fetching = None

    def _note_pin(self, step: Step) -> None:
        tpdu = step.command
        if tpdu[1] not in _PIN or len(tpdu) == _HEADER or not step.is_success or step.sw >> 8 == 0x63:
            return
        if tpdu[3] & _LOCAL or (tpdu[0] == GSM_CLA and tpdu[3] == _GSM_CHV2):
            self.has_local_pin = True

    # Going back

    def way_to(self, snapshot: Snapshot) -> tuple[Step, ...] | None:
        """The commands that restore what was when ``snapshot`` was taken, in order; None if there is no such list.

        Empty if the card stands there already. The channel of the response that waits comes last.
        """
        then = dict(snapshot.places)
        wanted = snapshot.fetching if snapshot.fetching is not None and snapshot.fetching.is_repeatable else None
        moved = {
            channel
            for channel in {*then, *self._places}
            if then.get(channel, ChannelPlace()).steps != self.place_of(channel).steps
        }
        if snapshot.fetching != self.fetching:
            # A response that waits is fetched again; one that the modem never asked for must not be left to it.
            moved |= {wanted.channel} if wanted is not None else set()
            moved |= {self.fetching.channel} if self.fetching is not None and self.fetching.waiting else set()
        return _plan(moved, then, wanted)


def _read_for(update: bytes) -> bytes:
    """The READ by short identifier that selects what an UPDATE selects."""
    if update[1] == UPDATE_RECORD:
        return bytes((update[0], INS_READ_RECORD, *update[2:5]))
    return bytes((update[0], INS_READ_BINARY, update[2], 0, 1))


def _plan(channels: set[int], places: dict[int, ChannelPlace], wanted: Fetching | None) -> tuple[Step, ...] | None:
    """The commands that bring these channels to their places; that of the response that is wanted comes last."""
    plan: list[Step] = []
    last = -1 if wanted is None else wanted.channel
    for channel in sorted(channels, key=lambda channel: (channel == last, channel)):
        steps = places.get(channel, ChannelPlace()).steps
        if steps is None:
            return None
        plan += _restoring(steps, wanted if channel == last else None)
    return tuple(plan)


def _restoring(steps: tuple[Step, ...], wanted: Fetching | None) -> list[Step]:
    """The steps in their quiet form; where a response is wanted, the last as the modem sent it, and what it fetched."""
    if wanted is not None:
        return [*(_quiet(step) for step in steps[:-1]), wanted.source, *wanted.gets]
    plan = [_quiet(step) for step in steps]
    last = steps[-1]
    if last.sw >> 8 in (0x61, 0x9F) and quiet(last.command) == last.command:
        # In class A0, and after SEARCH, a response is left over that the modem never asked for.
        plan.append(Step(bytes((last.command[0] & 0xEF, INS_GET_RESPONSE, 0, 0, last.sw & 0xFF)), 0x9000))
    return plan


def _quiet(step: Step) -> Step:
    command = quiet(step.command)
    return step if command is step.command else Step(command, step.sw)

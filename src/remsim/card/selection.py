# SPDX-License-Identifier: Apache-2.0
"""Which file is selected on each logical channel, told from the commands that pass by and their answers.

Follows SELECT, MANAGE CHANNEL and short file identifiers (ETSI TS 102 221, clauses 8.3 to 8.9). An observer knows no
file system, so it goes by the numbering that the specifications prescribe (clause 8.6 and 3GPP TS 31.102): MF is 3F00,
directories are 7Fxx and 5Fxx, data files are 2Fxx, 4Fxx and 6Fxx. Where that is not enough the file is unknown, None,
and never a guess: what protects something must take unknown for the worst case.
"""

from typing import Final, NamedTuple, Self

from remsim.card.class_byte import GSM_CLA, ClassByte, Family, class_byte
from remsim.card.filenames import application_name, is_ambiguous_aid

MF: Final = 0x3F00
CURRENT_APPLICATION: Final = 0x7FFF

_SELECT, _MANAGE_CHANNEL, _SUSPEND = 0xA4, 0x70, 0x76
#: READ, UPDATE and WRITE BINARY.
_BINARY: Final = frozenset({0xB0, 0xD6, 0xD0})
#: READ, UPDATE, SEARCH and WRITE RECORD.
_RECORD: Final = frozenset({0xB2, 0xDC, 0xA2, 0xD2})
#: APPEND RECORD; in the proprietary classes it is STORE DATA.
_APPEND: Final = 0xE2
_INCREASE: Final = 0x32
_SEEK: Final = 0xA2
#: Retrieve and set data of BER-TLV files (clause 11.3), which have class 8X; in class 0X their namesakes name a file in
#: P1 and P2 (ISO/IEC 7816-4, clause 11.5).
_OBJECT: Final = frozenset({0xCB, 0xDB})
#: Odd forms of READ, WRITE, UPDATE and SEARCH, COMPARE and ERASE name their file in ways that no specification of ours
#: uses (ISO/IEC 7816-4, clause 11.3); CREATE, DELETE and RESIZE FILE name theirs in their data, and may move the
#: selection (ETSI TS 102 222, clauses 6.3, 6.4 and 6.10).
_OBSCURE: Final = frozenset({0xB1, 0xB3, 0xD1, 0xD7, 0xDD, 0xA0, 0xA1, 0x33, 0x0C, 0x0E, 0x0F, 0xD4, 0xE0, 0xE4})
#: DEACTIVATE, ACTIVATE, TERMINATE DF and EF: without data for the selected file, else for the one that the data name,
#: which is selected then (ETSI TS 102 221, clause 11.1.14; ETSI TS 102 222, clauses 6.7 and 6.8).
_STATE_OF_FILE: Final = frozenset({0x04, 0x44, 0xE6, 0xE8})
#: Any other instruction leaves what is selected alone, if it is carried out.
_MOVING: Final = (
    {_SELECT, _MANAGE_CHANNEL, _SUSPEND, _APPEND, _INCREASE, _SEEK}
    | (_BINARY | _RECORD | _OBJECT)
    | (_OBSCURE | _STATE_OF_FILE)
)
#: P1 of SUSPEND UICC: take up again what was selected when it was suspended (ETSI TS 102 221, clause 11.1.22).
_RESUME: Final = 0x01
#: P1 of SELECT: by file identifier (table 11.1).
_BY_IDENTIFIER: Final = frozenset({0x00, 0x01, 0x02})
#: P2 of SELECT: end the application's session (table 11.2).
_TERMINATE: Final = 0x40
#: P1 of MANAGE CHANNEL (clause 11.1.17).
_OPEN, _CLOSE = 0x00, 0x80
_HEADER: Final = 5
#: High bytes of what the numbering makes a data file (clause 8.6). What has another may be a directory.
_DATA_FILES: Final = frozenset({0x2F, 0x4F, 0x6F})
_ALL_CHANNELS: Final = frozenset(range(20))
#: Nearly every status word.
_DONE: Final = 0x9000
#: A SELECT that is refused so changed nothing. After others, 67xx and 6Cxx included, cards differ.
_NOT_SELECTED_SW1: Final = frozenset({0x68, 0x69, 0x6A, 0x6B, 0x6D, 0x6E, 0x93, 0x94, 0x98})
_SUCCESS_SW1: Final = frozenset({0x90, 0x91, 0x92, 0x61, 0x62, 0x63, 0x9E, 0x9F})
#: The file was not found, or the command not even looked at. After any other refusal, 6Cxx included, a card may have
#: the file selected that a short identifier named.
_NOTHING_SELECTED: Final = frozenset({0x6A82})
_NOTHING_SELECTED_SW1: Final = frozenset({0x68, 0x6D, 0x6E})

#: Short file identifiers at the MF (ETSI TS 102 221, clause 13) and in a USIM (3GPP TS 31.102, annex H).
_MF_SFI: Final = {0x02: 0x2FE2, 0x05: 0x2F05, 0x06: 0x2F06, 0x08: 0x2F08, 0x1E: 0x2F00}
_USIM_SFI: Final = {
    0x01: 0x6FB7,
    0x02: 0x6F05,
    0x03: 0x6FAD,
    0x04: 0x6F38,
    0x05: 0x6F56,
    0x06: 0x6F78,
    0x07: 0x6F07,
    0x08: 0x6F08,
    0x09: 0x6F09,
    0x0A: 0x6F60,
    0x0B: 0x6F7E,
    0x0C: 0x6F73,
    0x0D: 0x6F7B,
    0x0E: 0x6F48,
    0x0F: 0x6F5B,
    0x10: 0x6F5C,
    0x11: 0x6F61,
    0x12: 0x6F31,
    0x13: 0x6F62,
    0x14: 0x6F80,
    0x15: 0x6F81,
    0x16: 0x6F4F,
    0x17: 0x6F06,
    0x18: 0x6FE4,
    0x19: 0x6FC5,
    0x1A: 0x6FC6,
    0x1D: 0x6FCD,
    0x1E: 0x6FE3,
}

#: A step of a path: a file identifier, or the name of an application, such as ``ADF.USIM``.
Step = int | str
Path = tuple[Step, ...]


class Selected(NamedTuple):
    """The selection of one channel. ``directory`` is None if it is not known; ``file`` if none, or not known."""

    directory: Path | None
    file: int | None = None
    application: str | None = None
    #: A data file is selected, but nobody knows which.
    is_file_unknown: bool = False

    @property
    def path(self) -> Path | None:
        """The selected file, from its directory's beginning; None if it is not known."""
        if self.directory is None or self.is_file_unknown:
            return None
        return self.directory if self.file is None else (*self.directory, self.file)

    @property
    def surroundings(self) -> Path | None:
        """The directory in which the next file is looked for; None if it is not known."""
        # What the numbering does not make a data file may be a directory itself.
        is_data_file = self.file is None or self.file >> 8 in _DATA_FILES
        return self.directory if is_data_file else None


#: What a tracker knows: the selection of each channel, and the channels whose command is not complete.
TrackerState = tuple[tuple[tuple[int, Selected], ...], frozenset[int]]

AT_MF: Final = Selected((MF,))
UNKNOWN: Final = Selected(None, is_file_unknown=True)


def is_success(sw: int) -> bool:
    """Whether a status word says that a command did its work, perhaps with a warning."""
    return sw >> 8 in _SUCCESS_SW1 and sw != 0x9240


class SelectionTracker:
    """The selection of all channels of one card. Starts as after a reset: channel 0 at the MF."""

    def __init__(self) -> None:
        self._channels: dict[int, Selected] = {0: AT_MF}
        # Channels whose last command was no more than a part of one.
        self._in_chain: set[int] = set()

    @classmethod
    def midway(cls) -> Self:
        """One that joins a card in use: nothing is known until it is selected, or until a reset."""
        tracker = cls()
        tracker._channels = {0: UNKNOWN}
        # What comes first on a channel may be the last part of a command in several, which looks like any other.
        tracker._in_chain = set(_ALL_CHANNELS)
        return tracker

    def on_reset(self) -> None:
        """The card was reset: one channel, at the MF."""
        self._channels = {0: AT_MF}
        self._in_chain.clear()

    def saved(self) -> TrackerState:
        """All that is known, as a value: for ``restore``."""
        return tuple(self._channels.items()), frozenset(self._in_chain)

    def restore(self, state: TrackerState) -> None:
        """The card is again as it was when ``state`` was saved."""
        channels, in_chain = state
        self._channels, self._in_chain = dict(channels), set(in_chain)

    def selected(self, cla: int) -> Selected:
        """What is selected on the channel of a class byte."""
        return self._channels.get(class_byte(cla).channel, UNKNOWN)

    def target(self, tpdu: bytes) -> Path | None:
        """The file that a command works on: that of its short identifier, else the selected one; None if unknown."""
        if len(tpdu) < _HEADER or _is_obscure(tpdu):
            return None
        found = self.selected(tpdu[0])
        sfi = short_identifier(tpdu)
        return found.path if sfi is None else _by_sfi(found, sfi).path

    def is_whole(self, tpdu: bytes) -> bool:
        """Whether a command's data are all of them and in clear: no part of several, not in secure messaging."""
        cla = class_byte(tpdu[0])
        return not (cla.is_chained or cla.is_secured or cla.channel in self._in_chain)

    def on_exchange(self, tpdu: bytes, response: bytes) -> None:
        """A command and what the card answered. Anything that is no command is passed over."""
        if len(tpdu) < _HEADER or len(response) < 2:
            return
        cla, ins, sw = tpdu[0], tpdu[1], response[-2] << 8 | response[-1]
        said = class_byte(cla)
        channel = said.channel
        is_part = (said.is_chained or channel in self._in_chain) and self._note_chain(said)
        if sw != _DONE and not is_success(sw):
            self._on_failure(channel, tpdu, sw)
        elif ins not in _MOVING:
            return
        elif ins == _SELECT and (is_part or said.is_secured):
            self._channels[channel] = UNKNOWN
        elif ins == _SELECT:
            found = self._channels.get(channel, UNKNOWN)
            self._channels[channel] = _after_select(found, tpdu)
        elif _is_obscure(tpdu):
            self._channels[channel] = UNKNOWN
        elif ins == _MANAGE_CHANNEL:
            self._manage(channel, tpdu, response)
        elif ins == _SUSPEND and tpdu[2] == _RESUME:
            # After a reset, and yet nothing is as after a reset.
            self._channels = dict.fromkeys(_ALL_CHANNELS, UNKNOWN)
        elif (sfi := short_identifier(tpdu)) is not None:
            # Clause 8.4.2: a command with a short identifier selects that file.
            self._channels[channel] = _by_sfi(self.selected(cla), sfi)

    def _note_chain(self, said: ClassByte) -> bool:
        """Note a command that is a part of one that comes in several; its last part has the class of any other."""
        if said.is_chained:
            self._in_chain.add(said.channel)
        else:
            self._in_chain.discard(said.channel)
        return True

    def _on_failure(self, channel: int, tpdu: bytes, sw: int) -> None:
        if tpdu[1] == _SELECT:
            if sw >> 8 not in _NOT_SELECTED_SW1:
                self._channels[channel] = UNKNOWN
            return
        sfi = short_identifier(tpdu)
        if sfi is None or sw in _NOTHING_SELECTED or sw >> 8 in _NOTHING_SELECTED_SW1:
            return
        # Cards differ in whether a command that found its file and failed then leaves it selected.
        found = self._channels.get(channel, UNKNOWN)
        if _by_sfi(found, sfi) != found:
            self._channels[channel] = Selected(found.surroundings, None, found.application, is_file_unknown=True)

    def _manage(self, channel: int, tpdu: bytes, response: bytes) -> None:
        mode, number = tpdu[2], tpdu[3]
        if mode == _CLOSE and (number or channel):
            self._channels.pop(number or channel, None)
        elif mode != _OPEN:
            # ISO/IEC 7816-4, clause 11.1.2, has more; and nobody closes the basic channel.
            self._channels[number or channel] = UNKNOWN
        elif opened := number or (response[0] if len(response) > 2 else 0):
            self._channels[opened] = self._beginning(channel)

    def _beginning(self, origin: int) -> Selected:
        """What is selected on a channel that was opened from ``origin`` (clause 11.1.17)."""
        if origin == 0:
            return AT_MF
        found = self._channels.get(origin, UNKNOWN)
        if found.file is None:
            return found
        # The directory is that of the origin. Cards differ in whether its file is selected, too.
        return Selected(found.surroundings, None, found.application, is_file_unknown=True)


def _is_obscure(tpdu: bytes) -> bool:
    """Whether the file that a command works on is named in a way that is not followed here."""
    cla, ins = tpdu[:2]
    if ins in _OBJECT and _is_inter_industry(cla):
        return True
    return ins in _OBSCURE or (ins in _STATE_OF_FILE and len(tpdu) > _HEADER)


def _is_inter_industry(cla: int) -> bool:
    """Whether the instruction is that of ISO/IEC 7816-4; a class that is none of any standard's is taken for one."""
    return class_byte(cla).family not in (Family.PROPRIETARY, Family.GSM)


def short_identifier(tpdu: bytes) -> int | None:
    """The short file identifier in a command's parameters, None if it has none."""
    cla, ins, p1, p2 = tpdu[:4]
    if cla == GSM_CLA and ins == _SEEK:
        # 3GPP TS 51.011, 9.2.7: P2 is type and mode. Otherwise cards take short identifiers in this class, too.
        return None
    if ins in _BINARY:
        return p1 & 0x1F if p1 & 0x80 else None
    if ins in _RECORD or (ins == _APPEND and _is_inter_industry(cla)):
        return p2 >> 3 or None
    if ins == _INCREASE:
        return p1 & 0x1F if p1 & 0x80 else None
    if ins in _OBJECT:
        return p2 & 0x1F or None
    return None


def _by_sfi(found: Selected, sfi: int) -> Selected:
    directory = found.surroundings
    table = _MF_SFI if directory == (MF,) else _USIM_SFI if directory == ("ADF.USIM",) else {}
    file = table.get(sfi)
    return Selected(directory, file, found.application, is_file_unknown=file is None)


def _after_select(found: Selected, tpdu: bytes) -> Selected:
    p1, p2 = tpdu[2], tpdu[3]
    if p1 in _BY_IDENTIFIER and len(tpdu) == _HEADER + 2:
        return _child(found, tpdu[_HEADER] << 8 | tpdu[_HEADER + 1])
    data = tpdu[_HEADER:]
    if p1 == 0x04:
        return UNKNOWN if p2 & _TERMINATE else _application(data)
    if p1 == 0x03:
        return _parent(found)
    if p1 == 0x08:
        return _walk(Selected((MF,), application=found.application), data)
    if p1 == 0x09:
        return _walk(Selected(found.surroundings, application=found.application), data)
    if not data:
        return Selected((MF,), application=found.application)
    return Selected(None, application=found.application, is_file_unknown=True)


def _application(aid: bytes) -> Selected:
    if is_ambiguous_aid(aid):
        # Clause 8.5.1.2: the card takes the first, the last or the next of all that begin so, and only it knows them.
        return UNKNOWN
    name = application_name(aid)
    return Selected((name,), application=name)


def _parent(found: Selected) -> Selected:
    directory = found.surroundings
    if directory is None or len(directory) < 2:
        # The parent of an application is the MF; so is that of the MF, as far as anybody may care.
        return Selected(None if directory is None else (MF,), application=found.application)
    return Selected(directory[:-1], application=found.application)


def _walk(found: Selected, data: bytes) -> Selected:
    if not data or len(data) % 2:
        return Selected(None, application=found.application, is_file_unknown=True)
    for start in range(0, len(data), 2):
        found = _child(found, int.from_bytes(data[start : start + 2]))
    return found


def _child(found: Selected, fid: int) -> Selected:
    application = found.application
    if fid >> 8 in _DATA_FILES:
        return Selected(found.surroundings, fid, application)
    if fid == MF:
        return AT_MF if application is None else Selected((MF,), application=application)
    if fid == CURRENT_APPLICATION:
        return Selected(None if application is None else (application,), application=application)
    if fid >> 8 == 0x7F:
        return Selected((MF, fid), application=application)
    directory = found.surroundings
    if fid >> 8 == 0x5F:
        if directory is None or directory == (MF,):
            return Selected(None, application=application)
        # A directory of the second level is selected from its parent or from a neighbour.
        parent = directory[:-1] if _is_second_level(directory[-1]) else directory
        return Selected((*parent, fid), application=application)
    return Selected(directory, fid, application)


def _is_second_level(step: Step) -> bool:
    return isinstance(step, int) and step >> 8 == 0x5F

# SPDX-License-Identifier: Apache-2.0
"""The guard against the software card: a rule that holds for what is selected holds for what the guard thinks, too."""

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remsim.card.class_byte import class_byte
from remsim.card.filenames import application_name
from remsim.card.selection import Path, SelectionTracker, short_identifier
from remsim.policy.guard import Action, Guard, Rule, parse_path
from remsim.uicc import Uicc
from remsim.uicc.files import Df, Ef
from remsim.uicc.profile.toml import parse_profile

#: A card with more applications than the shipped ones: two USIMs, an ISIM, and others that share how their AIDs begin.
_APPLICATIONS: Final = {
    "USIM": "A0000000871002FFFFFFFF8906190000",
    "USIM2": "A0000000871002FFFFFFFF8906190100",
    "ISIM": "A0000000871004FFFFFFFF8906190000",
    "CSIM": "A0000003431002F1100000FF89000000",
    "OTHER3GPP": "A0000000871005FFFF",
    "OWN1": "F0010203040506",
    "OWN2": "F001020304FF",
}
_ISD: Final = "A000000151000000"


def _profile_text() -> str:
    text = resources.files("remsim.uicc").joinpath("profiles", "default.toml").read_text(encoding="utf-8")
    directories = "".join(
        f'"3F00/{name}" = {{ name = "{name}", aid = "{aid}" }}\n'
        for name, aid in {**_APPLICATIONS, "ISD": _ISD}.items()
        if name != "USIM"
    )
    directories += '"3F00/USIM/5FC0" = { name = "DF.5GS" }\n"3F00/7F20/A000" = { name = "DF.ODD" }\n'
    files = "".join(
        f'"3F00/{path}" = {{ name = "EF.X", rule = 1, data = "00" }}\n'
        for path in (
            *(f"{name}/{fid}" for name in _APPLICATIONS if name != "USIM" for fid in ("6F07", "6F02", "6F7E")),
            *("USIM/5FC0/4F01", "7F20/A000/6F07", "7F20/A001", "6F07"),
        )
    )
    text = text.replace("channels = 4", "channels = 20")
    return text.replace("\n[files]\n", f"{directories}\n[files]\n") + files


_PROFILE: Final = parse_profile(_profile_text())


class SplittingCard:
    """The software card behind what it has not: commands in several parts, and data wrapped in secure messaging.

    The wrapping is a toy: the bytes turned round. It is enough that an observer cannot read them.
    """

    def __init__(self) -> None:
        self.uicc = Uicc(_PROFILE)
        self._parts: dict[int, bytes] = {}

    def transmit(self, tpdu: bytes) -> bytes:
        """Answer one command."""
        cla, data = tpdu[0], tpdu[5:]
        channel = class_byte(cla).channel
        if cla == 0xA0 or not data:
            self._parts.pop(channel, None)
            return self.uicc.transmit(tpdu)
        if cla & 0x10:
            self._parts[channel] = self._parts.get(channel, b"") + data
            return b"\x90\x00"
        whole = self._parts.pop(channel, b"") + data
        secured = 0x20 if cla & 0x40 else 0x0C
        if cla & secured:
            cla, whole = cla & ~secured, whole[::-1]
        return self.uicc.transmit(bytes((cla, *tpdu[1:4], len(whole))) + whole)

    def reset(self) -> None:
        """Warm or cold, this card makes no difference."""
        self._parts.clear()
        self.uicc.warm_reset()

    def target(self, tpdu: bytes) -> Df | Ef | None:
        """What the card works on for a command: None if there is no such file, or no such channel."""
        channel = self.uicc._session.channels.get(class_byte(tpdu[0]).channel)
        if channel is None:
            return None
        sfi = short_identifier(tpdu)
        return channel.df.by_sfi.get(sfi) if sfi is not None else channel.ef or channel.df


def _steps(node: Df | Ef) -> list[str]:
    """The names of a path as a rule file has them, an application by its whole AID."""
    if isinstance(node, Df) and node.aid is not None:
        return [f"AID {node.aid.hex().upper()}"]
    return [*(_steps(node.parent) if node.parent is not None else []), f"{node.fid:04X}"]


def _ways_to_say(node: Df | Ef, *lengths: int) -> Iterator[str]:
    """All rule paths that mean this file: each end of its path, its application by name, AID, part of it, or as any.

    ``lengths``: of how many digits the parts of an AID are.
    """
    steps = _steps(node)
    for start in range(len(steps)):
        first, rest = steps[start], steps[start + 1 :]
        firsts = [first]
        if first.startswith("AID "):
            firsts += ["ADF", application_name(bytes.fromhex(first[4:])), *(first[: 4 + length] for length in lengths)]
        for name in firsts:
            yield "/".join((name, *rest))


def _all_nodes() -> Iterator[Df | Ef]:
    waiting: list[Df | Ef] = [_PROFILE.files.mf, *_PROFILE.files.apps]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Df):
            waiting += node.children.values()


_NODES: Final = {node.path: node for node in _all_nodes()}
_RULES_OF: Final = {
    path: [Rule(way, Action.BLOCK, files=(parse_path(way),)) for way in _ways_to_say(node, 10)]
    for path, node in _NODES.items()
}
_SAID: Final = {path: frozenset(_ways_to_say(node, *range(2, 32, 2))) for path, node in _NODES.items()}
#: "Every file but these" for files of whose names many are ends of others'.
_EXCEPT: Final = [
    (
        frozenset(path for path, said in _SAID.items() if way in said),
        Rule(way, Action.BLOCK, not_files=(parse_path(way),)),
    )
    for way in (
        *("6F07", "ADF.USIM/6F07", "7F20/6F07", "ADF/6F07", "ADF.ISIM/6F07", "6F7E", "2FE2", "3F00/2FE2", "4F3A"),
        *("AID A0000000871002FFFFFFFF8906190000/6F07", "AID F001/6F07", "AID F0010203040506/6F07", "7F10", "4F01"),
    )
]

_CHANNELS: Final = (0x00, 0x00, 0x01, 0x02, 0x41)


def _command(cla: int, ins: int, p1: int, p2: int, data: bytes = b"") -> bytes:
    return bytes((cla, ins, p1, p2, len(data))) + data


_FIDS: Final = [
    fid.to_bytes(2)
    for fid in (
        *(0x3F00, 0x7FFF, 0x7F10, 0x7F20, 0x5F3A, 0x5F3B, 0x5FC0, 0xA000, 0xA001),
        *(0x2FE2, 0x2F00, 0x6F07, 0x6F02, 0x6F7E, 0x6F3A, 0x6F3C, 0x4F3A, 0x4F01, 0x4F20, 0x6FFF),
    )
]
_PATHS: Final = [
    bytes.fromhex(path)
    for path in (
        *("7F206F07", "7F105F3A4F3A", "7F20A0006F07", "7F20A000", "5F3A4F3A", "6F07", "2FE2", "7F"),
        *("7FFF6F07", "7FFF5F3A4F3A", "7FFF", "7FFF5FC04F01", "7FFF6FFF"),
    )
]
_AIDS: Final = [
    bytes.fromhex(aid)[:length]
    for aid in (*_APPLICATIONS.values(), _ISD, "A0FFFFFFFF")
    for length in (16, 9, 7, 6, 5, 1, 0)
]


def _all_commands() -> Iterator[bytes]:
    for cla in _CHANNELS:
        yield from (_command(cla, 0xA4, p1, 0x04, fid) for fid in _FIDS for p1 in (0x00, 0x00, 0x01))
        yield from (_command(cla, 0xA4, p1, 0x0C, path) for path in _PATHS for p1 in (0x08, 0x09))
        yield from (_command(cla, 0xA4, 0x04, p2, aid) for aid in _AIDS for p2 in (0x00, 0x0C, 0x01, 0x02, 0x03, 0x44))
        yield from (_command(cla, 0xA4, 0x03, 0x0C), _command(cla, 0xA4, 0x00, 0x0C))
        for sfi in (0x01, 0x02, 0x03, 0x07, 0x08, 0x1E, 0x1F):
            yield bytes((cla, 0xB0, 0x80 | sfi, 0, 0))
            yield bytes((cla, 0xB0, 0x80 | sfi, 0, 1))
            yield bytes((cla, 0xB2, 1, sfi << 3 | 4, 0))
            yield _command(cla, 0xD6, 0x80 | sfi, 0, b"\xff")
        for close in (0x01, 0x02, 0x05, 0x00):
            yield bytes((cla, 0x70, 0x80, close, 0))
            yield bytes((cla, 0x70, 0x00, close, 0 if close else 1))
    for fid in _FIDS:
        yield _command(0xA0, 0xA4, 0x00, 0x00, fid)
        yield _command(0x10, 0xA4, 0x00, 0x04, fid[:1])
        yield _command(0x00, 0xA4, 0x00, 0x04, fid[1:])
        yield _command(0x0C, 0xA4, 0x00, 0x04, fid[::-1])
        yield _command(0x61, 0xA4, 0x00, 0x04, fid[::-1])
    for aid in _AIDS:
        yield _command(0x10, 0xA4, 0x04, 0x04, aid[:3])
        yield _command(0x00, 0xA4, 0x04, 0x04, aid[3:])


#: A reset stands for itself.
_RESET: Final = b""
_COMMANDS: Final = [_RESET, *_all_commands()]
_READ: Final = bytes.fromhex("00b0000001")
_PROBES: Final = [bytes((cla, *_READ[1:])) for cla in dict.fromkeys(_CHANNELS)]
_SEQUENCES: Final = st.lists(st.sampled_from(_COMMANDS), max_size=14)


def _select(p1: int, hexadecimal: str, p2: int = 0x04, cla: int = 0x00) -> bytes:
    return _command(cla, 0xA4, p1, p2, bytes.fromhex(hexadecimal))


_ISIM_AFTER_USIM = [_select(4, "A0000000871002"), _select(4, "A000000087", 0x06), _select(0, "6F07")]


@cache
def _missed(path: str, thought: Path | None) -> list[str]:
    """The rules that hold for the file ``path`` and do not for what the guard thinks."""
    rules = [*_RULES_OF[path], *(rule for excused, rule in _EXCEPT if path not in excused)]
    return [rule.name for rule in rules if not rule.matches(_READ, lambda: thought)]


def _compare(card: SplittingCard, guard: Guard, tpdu: bytes) -> None:
    node = card.target(tpdu)
    if node is not None:
        thought = guard.tracker.target(tpdu)
        assert not _missed(node.path, thought), f"{node.path} is selected, {thought} is thought"


@given(_SEQUENCES, st.integers(0, 14))
@example([_select(4, "A0000000871002"), _select(4, "A000000087"), _select(0, "6F07")], 14)
@example(_ISIM_AFTER_USIM, 14)
@example([_select(4, "A0"), _select(0, "3F00"), _select(8, "7FFF6F07")], 14)
@example([_select(4, "A0000000871002"), _select(0, "3F00"), _select(0, "7FFF"), _select(0, "6F07")], 1)
@example([_select(4, "F001"), _select(0, "6F07")], 14)
@example([_select(0, "7F20"), _select(0, "A000"), _select(0, "6F07")], 14)
@example([_command(0x10, 0xA4, 4, 4, b"\xa0\x00"), _select(4, "0000871004")], 1)
@settings(max_examples=2000)
def test_rule_that_holds_for_the_card_holds_for_the_guard(commands: list[bytes], joined: int) -> None:
    card, guard = SplittingCard(), Guard([])
    for number, command in enumerate(commands):
        if number == joined:
            # As if a SIGHUP gave the first rule to a session that had none.
            guard = Guard([], SelectionTracker.midway())
        if command == _RESET:
            card.reset()
            guard.on_reset()
        else:
            _compare(card, guard, command)
            guard.on_exchange(command, card.transmit(command))
        for probe in _PROBES:
            _compare(card, guard, probe)


@pytest.mark.parametrize("path", sorted(_NODES))
def test_every_file_is_known_where_it_is_selected_as_a_modem_does(path: str) -> None:
    """Or the guard could be right by knowing nothing."""
    if "A00" in path:
        return
    node, card, guard = _NODES[path], SplittingCard(), Guard([])
    first, *rest = _steps(node)
    selects = [_select(4, first[4:])] if first.startswith("AID ") else [_select(0, first)]
    for command in [*selects, *(_select(0, step) for step in rest)]:
        answer = card.transmit(command)
        assert answer[0] in (0x61, 0x62)
        guard.on_exchange(command, answer)
    thought = guard.tracker.target(_READ)
    assert thought is not None
    # Of a USIM the guard does not keep which one it is.
    rules = [rule for excused, rule in _EXCEPT if path in excused and "8906190000" not in rule.name]
    assert not [rule.name for rule in rules if rule.matches(_READ, lambda: thought)]

# SPDX-License-Identifier: Apache-2.0
"""Targets: what modems, cards and readers send. Values of ISO 7816, the virtual reader, what guards and masks them."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Final

from remsim.ahead.bank_side import AheadSession, Answer, Broken, Run
from remsim.ahead.context_model import ContextModel
from remsim.ahead.predictor import Predictor
from remsim.card import apdu_case, instructions, tpdu
from remsim.card.apdu import ResponseApdu
from remsim.card.apdu_case import CommandRules, Direction, PreviousCommand
from remsim.card.atr import MAX_ATR, parse_atr
from remsim.card.atr_policy import AtrPart, cap_ta1, fit_for_emulation, offer_t0_only, strip_atr
from remsim.card.class_byte import class_byte
from remsim.card.errors import ApduCaseError, ApduError, TpduError
from remsim.card.iccid import is_iccid, read_iccid
from remsim.card.identity import CardIdentity, read_identity
from remsim.card.pps import parse_pps, pps_length
from remsim.card.selection import SelectionTracker
from remsim.card.t0_exchange import exchange_apdu, mend_tpdu
from remsim.card.tlv import encode_tlv, parse_tlvs
from remsim.card.tpdu import CommandTpdu
from remsim.emulators.shell.console import is_secret
from remsim.emulators.shell.input_lines import LineSplitter
from remsim.emulators.shell.plain import parse_hex_line
from remsim.emulators.vpcd.slot import CloseReader, Forward, Reply, VpcdSlot
from remsim.policy.guard import PRESETS, Action, Guard
from remsim.readers.sim.profiles import load_profile
from remsim.redaction import CardRedactor, Masked, is_pin_command, scrub
from remsim.uicc import Uicc, UiccState
from remsim.uicc.profile.model import Profile
from remsim.vpcd import MessageDecoder, encode_message
from tests.fuzz.target import cut, portions

#: A card is not asked more often than this for one command of a program: GET RESPONSE brings at least one byte.
_MOST_STEPS: Final = 2 * 256 + 2
_HEADER: Final = 5
_PIN, _PIN_CHANGE = frozenset({0x20, 0x24, 0x26, 0x28, 0x2C}), frozenset({0x24, 0x26, 0x28, 0x2C})
_AUTHENTICATE: Final = frozenset({0x88, 0x89})
_SELECT: Final = 0xA4
_GET_RESPONSE: Final = 0xC0
#: A PIN has four digits at least.
_SHORTEST_SECRET: Final = 4
_CAPS: Final = (0x11, 0x94, 0x95, 0x97)


def atrs(raw: bytes) -> None:
    """An ATR comes back as it is, and whatever is changed in it leaves one that does not change any more."""
    atr = parse_atr(raw)
    assert atr.raw == raw
    assert 2 <= len(raw) <= MAX_ATR
    assert atr.protocols
    assert raw.endswith((atr.historical, atr.historical + raw[-1:]))  # TCK
    changes: list[Callable[[bytes], bytes]] = [offer_t0_only, fit_for_emulation]
    changes += [partial(cap_ta1, highest=cap) for cap in _CAPS]
    changes += [partial(strip_atr, parts=frozenset({part})) for part in AtrPart]
    for change in changes:
        changed = change(raw)
        assert len(changed) <= len(raw) + 1  # TCK, at most
        assert parse_atr(changed).raw == changed == change(changed)
    assert parse_atr(offer_t0_only(raw)).has_t0
    fit = parse_atr(fit_for_emulation(raw))
    assert fit.convention == "direct"
    assert fit.specific_protocol is None


def commands(raw: bytes) -> None:
    """Commands and answers in their forms come back as they are; words for a command show none of its data."""
    for kind in (ResponseApdu, CommandTpdu):
        with contextlib.suppress(ApduError, TpduError):
            assert kind.from_bytes(raw).to_bytes() == raw
    assert len(raw) - 1 <= len(tpdu.tpdu_of_apdu(raw)) <= len(raw) + 1
    mended = mend_tpdu(raw)
    assert mended == raw or (tpdu.is_well_formed(mended) and not tpdu.is_well_formed(raw))
    said = instructions.describe_command(raw)
    assert said.isprintable()
    if len(raw) >= _HEADER and raw[1] != _SELECT:
        assert said == instructions.describe_command(raw[:_HEADER] + bytes(len(raw) - _HEADER))


def exchanges(raw: bytes) -> None:
    """Following 61xx and 6Cxx comes to an end, whatever a card answers, and gives no more than was asked for."""
    if not raw:
        return
    apdu, *answers = portions(raw)
    exchange = exchange_apdu(apdu)
    command = next(exchange)
    for step in range(_MOST_STEPS):
        CommandTpdu.from_bytes(command)
        # The last answers again and again: a card that would keep a reader busy for ever.
        answer = answers[min(step, len(answers) - 1)] if answers else b""
        try:
            command = exchange.send(answer if len(answer) >= 2 else b"\x90\x00")
        except StopIteration:
            return
    raise AssertionError("a card keeps a reader busy for ever")


def directions(raw: bytes) -> None:
    """Every header gets a decision: refused ones alone have a status word, and P3 = 00 never brings data."""
    header, before, text = raw[:_HEADER], raw[_HEADER : 2 * _HEADER], raw[2 * _HEADER :]
    overrides = []
    with contextlib.suppress(ApduCaseError):
        overrides = [apdu_case.parse_override(text.decode("latin-1"))]
    sw = int.from_bytes(raw[-2:])
    previous = [None, *(PreviousCommand(before, sw, way) for way in Direction if len(before) == _HEADER)]
    for known in previous:
        decision = apdu_case.decide(header, previous=known, rules=CommandRules(tuple(overrides)))
        assert (decision.sw is not None) == (decision.direction is Direction.REFUSE)
        assert decision.direction is Direction.FORWARD or header[4]
        assert not (overrides and overrides[0].matches(header)) or decision.case is overrides[0].case


def speeds(raw: bytes) -> None:
    """A PPS comes back as it is but for the reserved bit, and has the length that it begins with."""
    pps = parse_pps(raw)
    written = pps.to_bytes()
    assert written == raw or raw[1] & 0x80
    assert parse_pps(written) == pps
    assert pps_length(raw[:2]) == len(raw) == len(written)


def objects(raw: bytes) -> None:
    """Data objects, written in the shortest form, are the same ones."""
    found = parse_tlvs(raw)
    written = b"".join(encode_tlv(tag, value) for tag, value in found)
    assert len(written) <= len(raw)
    assert parse_tlvs(written) == found


def reader_frames(raw: bytes) -> None:
    """vpcd's messages are the same however their stream is cut, and all of it is messages."""
    pieces = cut(raw)
    stream = b"".join(pieces)
    decoder = MessageDecoder()
    bodies = [body for piece in pieces for body in decoder.feed(piece)]
    assert bodies == MessageDecoder().feed(stream)
    written = b"".join(map(encode_message, bodies))
    assert stream.startswith(written)
    rest = stream[len(written) :]
    assert len(rest) < 2 or len(rest) < 2 + int.from_bytes(rest[:2])


def reader_slots(raw: bytes) -> None:
    """Behind vpcd every command gets exactly one answer, and a card sees nothing but whole commands."""
    if not raw:
        return
    slot = VpcdSlot(auto_get_response=bool(raw[0] & 1))
    bodies = list(portions(raw[1:]))
    answers = iter([body for body in bodies if len(body) >= 2])
    for body in bodies:
        steps = slot.on_message(body)
        for _ in range(_MOST_STEPS):
            if not slot.is_busy:
                break
            (forward,) = (step for step in steps if isinstance(step, Forward))
            assert len(forward.tpdu) in (_HEADER, _HEADER + forward.tpdu[4])
            steps = slot.on_response(next(answers, b"\x90\x00"))
        assert not slot.is_busy
        assert not any(isinstance(step, CloseReader) for step in steps)
        assert len([step for step in steps if isinstance(step, Reply)]) == (
            body not in (b"", b"\x00", b"\x01", b"\x02")
        )


def _check_mask(masked: Masked, raw: bytes) -> None:
    shown = masked.to_bytes()
    assert masked.raw == raw
    assert len(shown) == len(raw)
    assert len(masked.to_text()) == 2 * len(raw)
    for index, (before, after) in enumerate(zip(raw, shown, strict=True)):
        assert after == (0xFF if index in masked.hidden - masked.structure else before)
    assert all(0 <= index < len(raw) for index in masked.hidden)


def masks(raw: bytes) -> None:
    """Masks keep lengths and status words; of PINs, authentication, and what is no command, nothing is seen."""
    redactor = CardRedactor()
    # The one channel on which GET RESPONSE cannot bring the rest of an authentication's answer.
    harmless: int | None = None
    pending = iter(portions(raw))
    for command in pending:
        answer = next(pending, b"")
        _check_mask(redactor.command(command), command)
        shown, told = redactor.exchange(command, answer)
        _check_mask(shown, command)
        _check_mask(told, answer)
        assert told.to_bytes()[-2:] == answer[-2:] or len(answer) < 2
        everything = frozenset(range(max(0, len(answer) - 2)))
        if not tpdu.is_well_formed(command):
            assert shown.hidden == frozenset(range(len(command)))
            assert told.hidden == everything
            harmless = None
            continue
        channel, ins = class_byte(command[0]).channel, command[1]
        is_secret = ins in _AUTHENTICATE or (ins == _GET_RESPONSE and channel != harmless)
        harmless = None if is_secret else channel
        assert shown.to_bytes()[:_HEADER] == command[:_HEADER]
        if ins in _PIN | _AUTHENTICATE:
            assert shown.hidden == frozenset(range(_HEADER, len(command)))
        if is_secret:
            assert told.hidden == everything


def typed_lines(raw: bytes) -> None:
    """What is typed and holds a secret is not kept in the shell's history, however it is typed, slips included."""
    line = raw.decode("ascii", "replace")
    for typed in (line, line[:-1]):
        command = parse_hex_line(typed)
        if command is not None and CardRedactor().command(tpdu.tpdu_of_apdu(command)).hidden:
            digits = command.hex()
            for form in (line, digits, command.hex(" "), f" {command.hex(':')}\t", f"0x{digits}", digits[:-1]):
                assert is_secret(form)


def scrubbed_texts(raw: bytes) -> None:
    """Bytes of a card in a text, in any of the forms in which programs write them, are taken out of it."""
    for around, secret in zip(*[portions(raw)] * 2, strict=False):
        text = around.decode("latin-1").replace("'", "").replace('"', "").replace("\\", "")
        if len(secret) < _SHORTEST_SECRET:
            continue
        for form in (repr(secret), secret.hex(), secret.hex(" "), secret.hex(":").upper(), str(list(secret))):
            said = scrub(f"{text} {form} {text}")
            assert form not in said
            assert scrub(said) == said


def card_numbers(raw: bytes) -> None:
    """Reading the number of a card comes to an end, whatever the card answers, and gives digits or nothing."""
    answers = [answer for answer in portions(raw) if len(answer) >= 2]
    reading = read_iccid()
    command = next(reading)
    for step in range(2 * (_MOST_STEPS + 2)):
        CommandTpdu.from_bytes(command)
        try:
            command = reading.send(answers[min(step, len(answers) - 1)] if answers else b"\x6f\x00")
        except StopIteration as end:
            number: object = end.value
            break
    else:
        raise AssertionError("a card keeps its reader busy for ever")
    if number is not None:
        assert isinstance(number, str)
        assert is_iccid(number)


def card_identities(raw: bytes) -> None:
    """Reading all that a card says without a PIN comes to an end, asks for no PIN, and gives numbers or nothing."""
    answers = [answer for answer in portions(raw) if len(answer) >= 2]
    found = CardIdentity()
    reading = read_identity(found)
    command = next(reading)
    for step in range(7 * (_MOST_STEPS + 2)):
        CommandTpdu.from_bytes(command)
        assert not is_pin_command(command)
        try:
            command = reading.send(answers[min(step, len(answers) - 1)] if answers else b"\x6f\x00")
        except StopIteration:
            break
    else:
        raise AssertionError("a card keeps its reader busy for ever")
    assert found.iccid is None or is_iccid(found.iccid)
    assert found.imsi is None or (found.imsi.isdecimal() and 6 <= len(found.imsi) <= 15)
    assert found.eid is None or (found.eid.isdecimal() and len(found.eid) == 32)


def input_lines(raw: bytes) -> None:
    """Lines are the same however their stream is cut, and no longer than the longest that means anything."""
    found = []
    for pieces in (cut(raw), [b"".join(cut(raw))]):
        splitter = LineSplitter()
        for piece in pieces:
            splitter.feed(piece)
        splitter.end()
        lines = []
        while (line := splitter.pop()) is not None:
            lines.append(line)
            parse_hex_line(line.text)
        found.append(lines)
        assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert found[0] == found[1]


def guards(raw: bytes) -> None:
    """A guard that blocks lets no PIN be changed, however the selection came about; a finding shows the header only."""
    watching = Guard(PRESETS)
    blocking = Guard([replace(rule, action=Action.BLOCK) for rule in PRESETS])
    tracker = SelectionTracker()
    pending = iter(portions(raw))
    for command in pending:
        noted, blocked = watching.check(command), blocking.check(command)
        assert (noted is None) == (blocked is None)
        if noted is not None and blocked is not None:
            assert noted.header == blocked.header == (command[:_HEADER] if tpdu.is_well_formed(command) else b"")
            assert noted.path == tracker.target(command)
            assert blocked.is_blocked
            assert not noted.is_blocked
        elif len(command) >= _HEADER:
            # Asking for the tries left, with P1 and P3 of 00 and no data, changes nothing.
            assert command[1] not in _PIN_CHANGE or (command[2] == command[4] == 0 and len(command) == _HEADER)
        answer = next(pending, b"")
        for watcher in (watching, blocking, tracker):
            watcher.on_exchange(command, answer)


def ahead(raw: bytes) -> None:
    """Answering ahead, whatever modem and card say. A modem that sends what was guessed, or not, gets one answer."""
    session = AheadSession(Predictor([ContextModel()]), round_trip=1.0)
    pending = iter(portions(raw))
    for tag, command in enumerate(pending):
        decision = session.on_command(tag, command, float(tag))
        assert not isinstance(decision, Broken)
        if isinstance(decision, Run):
            for step in decision.restore:
                assert step.command[1] not in _PIN_CHANGE
            if decision.restore:
                session.on_restored(command)
        session.used.clear()
        if not isinstance(decision, Answer) or not decision.is_guess:
            session.on_response(tag, command, next(pending, b"\x90\x00"), float(tag))
        step_ahead = session.next_step()
        if step_ahead is not None:
            assert step_ahead.tpdu[1] not in _PIN_CHANGE or len(step_ahead.tpdu) == _HEADER
            session.on_step_done(next(pending, b"\x90\x00"))


@cache
def _profile() -> Profile:
    return load_profile("default")


def cards(raw: bytes) -> None:
    """The software card answers everything with data and a status word, and its state can be stored and read."""
    card = Uicc(_profile())
    for command in portions(raw):
        if not command:
            card.warm_reset()
            continue
        answer = card.transmit(command)
        assert 2 <= len(answer) <= 258
        assert answer[-2] & 0xF0 in (0x60, 0x90)
    stored = card.state.to_bytes()
    assert UiccState.from_bytes(stored, card.profile).to_bytes() == stored

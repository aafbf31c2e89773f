# SPDX-License-Identifier: Apache-2.0
"""Targets: files that operators write, and those that we keep. Settings, rules, slots, profiles, recordings, state."""

import atexit
import hashlib
import io
import tempfile
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

from remsim.ahead.library import from_text, to_text
from remsim.ahead.symbols import is_symbol
from remsim.bankd.certified_store import CertifiedFile
from remsim.bankd.recorded_starts import RecordedFile, read_starts
from remsim.bankd.slots.csv import parse_slots_csv
from remsim.bankd.slots.store import load_auto
from remsim.card.apdu_case import AS_TABLES_SAY
from remsim.config import (
    BankdConfig,
    ClientConfig,
    ClientRunConfig,
    ClientVpcdConfig,
    CommonConfig,
    ServerConfig,
    UiccConfig,
    load_config,
)
from remsim.core.identity import Role
from remsim.core.ids import BankSlot, ClientSlot
from remsim.emulators.script.recording import parse_recording
from remsim.policy.guard import PRESETS, parse_guard_policy
from remsim.policy.mapping import parse_mapping_policy
from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc, UiccState
from remsim.uicc.profile.model import Profile
from remsim.uicc.profile.toml import parse_profile
from tests.doubles.noted_log import NotedLog
from tools.captures import read_capture
from tools.replay_capture import compare

CONFIGS: Final[tuple[type[CommonConfig], ...]] = (
    ServerConfig,
    BankdConfig,
    ClientConfig,
    ClientRunConfig,
    ClientVpcdConfig,
    UiccConfig,
)
_ENVIRONMENT: Final = {"HOME": "/nowhere"}
_SLOTS: Final = 8
_SELECT_MF: Final = bytes.fromhex("00A40004023F00")


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="remsim-targets-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _text(raw: bytes) -> str:
    """Files are read as UTF-8; what is none is refused before anything of ours sees it."""
    return raw.decode("utf-8", "replace")


def settings(raw: bytes) -> None:
    """Any program's configuration file gives settings or is refused. The first byte chooses the program."""
    if not raw:
        return
    file = _folder() / "settings.toml"
    file.write_bytes(raw[1:])
    model = CONFIGS[raw[0] % len(CONFIGS)]
    config = load_config(model, environ=_ENVIRONMENT, file=file)
    # What was read stands for itself: built again from its values it is the same.
    assert type(config)(**{name: getattr(config, name) for name in config.model_fields_set}) == config


def slot_lines(raw: bytes) -> None:
    """The classic slot file gives each slot once, in order, or names its first bad line."""
    found = parse_slots_csv(_text(raw), bank_id=1, slots=_SLOTS, origin="slots.csv")
    numbers = [rule.slot_nr for rule in found.rules]
    assert numbers == sorted(set(numbers))
    assert all(0 <= number < _SLOTS for number in numbers)
    *about_lines, last = found.warnings or [""]
    assert all(warning.startswith("slots.csv line ") for warning in about_lines)
    assert last.startswith("slots.csv: no line" if not found.rules else ("slots.csv line ", ""))


def slot_memory(raw: bytes) -> None:
    """The file with the slots that readers were given."""
    file = _folder() / "slots.json"
    file.write_bytes(raw)
    plan = load_auto(file, _SLOTS)
    assert all(number >= 0 for number in plan.known)


def certified_lists(raw: bytes) -> None:
    """The file with the clients that have certificates is never a reason to stop, and holds clients only."""
    file = _folder() / "certified.json"
    file.write_bytes(raw)
    memory = CertifiedFile(file, NotedLog().logger).load()
    assert memory.is_readable or not memory.clients
    assert all(client.role is Role.CLIENT for client in memory.clients)


def mapping_rules(raw: bytes) -> None:
    """Rules decide every pair, with a reason; without a rule the default does."""
    policy = parse_mapping_policy(_text(raw), "policy.toml")
    for client in (ClientSlot(0, 0), ClientSlot(7, 1), ClientSlot(1023, 1023)):
        for bank in (BankSlot(0, 0), BankSlot(5, 3)):
            decision = policy.decide(client, bank, "8900")
            assert decision.reason
            if not any(rule.concerns(client) for rule in policy.rules):
                assert decision.is_allowed is policy.is_open


def guard_rules(raw: bytes) -> None:
    """Rules judge every command of every mapping."""
    policy = parse_guard_policy(_text(raw), "guard.toml", PRESETS)
    for client in (ClientSlot(0, 0), ClientSlot(7, 1)):
        guard = policy.guard_for(BankSlot(1, 0), client)
        for ins in range(256):
            finding = guard.check(bytes((0x00, ins, 0x00, 0x00, 0x01, 0xFF)))
            assert finding is None or finding.header[1] == ins


def profiles(raw: bytes) -> None:
    """A profile that is accepted makes a card that works."""
    profile = parse_profile(_text(raw))
    card = Uicc(profile)
    assert card.cold_reset() == profile.atr
    assert len(card.transmit(_SELECT_MF)) >= 2
    stored = card.state.to_bytes()
    assert UiccState.from_bytes(stored, profile).to_bytes() == stored


@cache
def _profile() -> Profile:
    return load_profile("default")


def card_states(raw: bytes) -> None:
    """A stored card that is accepted works, and is stored as it was read."""
    state = UiccState.from_bytes(raw, _profile())
    stored = state.to_bytes()
    assert UiccState.from_bytes(stored, _profile()).to_bytes() == stored
    card = Uicc(_profile(), state)
    card.cold_reset()
    assert len(card.transmit(_SELECT_MF)) >= 2


def captures(raw: bytes) -> None:
    """A capture of any format is steps in their order, no more than its bytes can hold, and each gets a decision."""
    formats = (None, "json", "pcapng", "pcap", "simtrace", "qualcomm")
    kind = formats[raw[0] % len(formats)] if raw else None
    capture = read_capture(raw[1:], kind)
    assert len(capture.steps) + capture.skipped <= len(raw)
    for card in {step.card for step in capture.steps}:
        places = [step.place for step in capture.steps if step.card == card]
        assert places == sorted(set(places))
    assert compare(capture.steps, AS_TABLES_SAY).commands <= len(capture.steps)


def starts(raw: bytes) -> None:
    """A file to learn from gives starts of what may be learnt, no more than its bytes can hold, or is refused."""
    file = RecordedFile(Path("start"))
    found = list(read_starts(io.BytesIO(raw), file))
    assert all(map(is_symbol, chain.from_iterable(found)))
    assert sum(map(len, found)) <= file.commands <= len(raw)
    assert sum(file.left_out.values()) <= len(raw)


def recordings(raw: bytes) -> None:
    """A recording is steps in the order of its lines."""
    steps = parse_recording(_text(raw).splitlines(), name="recording")
    lines = [step.line for step in steps]
    assert lines == sorted(set(lines))


def learnt(raw: bytes) -> None:
    """A file of what was learnt for answering ahead, its sum put right. What is read is written as it was."""
    body = raw.decode("ascii", "replace") + "\n"
    pair, model = from_text(f"{body}sha256 {hashlib.sha256(body.encode()).hexdigest()}\n")
    again, same = from_text(to_text(pair, model.recordings))
    assert (again, same.recordings) == (pair, model.recordings)

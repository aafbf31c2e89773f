# SPDX-License-Identifier: Apache-2.0
"""Virtual modem, virtual SIMtrace2, our host and the software card together: boots, resets at awkward moments."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from remsim.card.pps import Speed
from remsim.card.reset import ResetKind
from remsim.emulators.simtrace2.actions import FactKind, ShowSpeed
from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc
from tests.doubles.simtrace2_world import StoppedError, World
from tests.doubles.virtual_modem import SilenceError, VirtualModem
from tests.reference import reference

#: SELECT MF by FID, its GET RESPONSE, EF.ICCID, READ BINARY with a wrong length and the right one, STATUS.
COMMANDS = [bytes.fromhex(text) for text in ("00a40004023f00", "00a40804022fe2", "00b000000a", "80f2000000")]


def world_with(profile: str = "default", **settings: object) -> tuple[World, Uicc]:
    card = Uicc(load_profile(profile))
    world = World(card.transmit, lambda _kind: card.cold_reset())
    for name, value in settings.items():
        setattr(world, name, value)
    world.insert(card.profile.atr)
    return world, card


def trace(name: str) -> Iterator[dict[str, Any]]:
    with reference("traces", f"{name}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


@pytest.mark.parametrize("is_bulk_first", [False, True])
@pytest.mark.parametrize("name", ["iot-modem", "phone"])
def test_recorded_boot_gets_the_cards_own_answers(name: str, is_bulk_first: bool) -> None:
    world, _ = world_with(name, is_bulk_first=is_bulk_first)
    direct = Uicc(load_profile(name))
    modem = VirtualModem()
    count = 0
    for entry in trace(f"{name}-boot"):
        if "event" in entry:
            assert world.run(modem.cold_reset()) == direct.cold_reset()
            continue
        tpdu = bytes.fromhex(entry["cmd"])
        answer = world.run(modem.exchange(tpdu))
        assert answer == direct.transmit(tpdu)
        assert (answer[-2:].hex(), len(answer) - 2) == (entry["sw"], entry["rlen"])
        count += 1
    assert world.tpdus == [bytes.fromhex(entry["cmd"]) for entry in trace(f"{name}-boot") if "cmd" in entry]
    assert len(world.tpdus) == count
    assert world.slot.violations == []
    assert world.facts == []
    assert modem.nulls == 0


def test_speed_is_negotiated_and_shown() -> None:
    world, card = world_with()
    modem = VirtualModem(fastest=0x94)
    world.run(modem.cold_reset())
    assert modem.atr is not None
    assert modem.atr.raw == card.profile.atr
    if "TA1" in modem.atr.interface:
        assert world.speeds == [ShowSpeed(Speed(9, 4), is_applied=True)]
    world.run(modem.warm_reset())
    assert world.resets == [ResetKind.COLD, ResetKind.WARM]


@pytest.mark.parametrize("is_one_message", [True, False])
def test_lengths_around_packet_boundaries_pass(is_one_message: bool) -> None:
    data = bytes(range(256)) * 2
    # A card that takes and gives any number of bytes.
    card = World(
        lambda tpdu: (data[: tpdu[4] or 256] if len(tpdu) == 5 else b"") + b"\x90\x00",
        lambda _kind: None,
        is_one_message=is_one_message,
    )
    card.insert(bytes.fromhex("3b00"))
    modem = VirtualModem()
    card.run(modem.cold_reset())
    for length in (1, 46, 47, 48, 49, 50, 51, 111, 113, 114, 115, 177, 178, 239, 241, 242, 243, 255):
        assert card.run(modem.exchange(bytes((0, 0xB0, 0, 0, length)))) == data[:length] + b"\x90\x00"
        assert card.run(modem.exchange(bytes((0, 0xD6, 0, 0, length)) + data[:length])) == b"\x90\x00"
        assert card.tpdus[-1] == bytes((0, 0xD6, 0, 0, length)) + data[:length]
    assert card.run(modem.exchange(bytes((0, 0xB0, 0, 0, 0)))) == data[:256] + b"\x90\x00"
    assert card.slot.violations == []


def test_slow_card_keeps_the_modem_waiting_with_null_bytes() -> None:
    world, _ = world_with()
    modem = VirtualModem()
    world.run(modem.cold_reset())
    world.card_delay_s = 3.2
    assert world.run(modem.exchange(COMMANDS[0]))[0] in (0x61, 0x90)
    # One each half waiting time, which is about a second.
    assert modem.nulls >= 4


def test_impatient_modem_resets_and_the_late_answer_is_suppressed() -> None:
    world, card = world_with()
    modem = VirtualModem(patience=4)
    world.run(modem.cold_reset())
    world.card_delay_s = 5.0
    with pytest.raises(SilenceError):
        world.run(modem.exchange(COMMANDS[0]))
    world.card_delay_s = 0.0
    assert world.run(modem.warm_reset()) == card.profile.atr
    direct = Uicc(load_profile("default"))
    direct.cold_reset()
    for tpdu in COMMANDS:
        assert world.run(modem.exchange(tpdu)) == direct.transmit(tpdu)
    world.card_delay_s = 6.0
    with pytest.raises(SilenceError):
        world.run(modem.exchange(COMMANDS[0]))
    assert FactKind.LATE_ANSWER in [fact.kind for fact in world.facts]
    assert world.slot.violations == []


#: Header only, header with data, status word only; the positions are those of every character that passes.
AWKWARD = [bytes.fromhex(text) for text in ("00b000000a", "00a40804022fe2", "80f2000000")]


def reset_at(position: int, tpdu: bytes, *, kind: str, card_delay_s: float, idle_s: float) -> bool:
    """Reset in the middle of a command, go on after ``idle_s``; return whether the command was over before."""
    world, card = world_with(card_delay_s=card_delay_s)
    modem = VirtualModem(fastest=None)
    world.run(modem.cold_reset())
    for before in COMMANDS[:2]:
        world.run(modem.exchange(before))
    is_over = True
    try:
        world.run(modem.exchange(tpdu), stop_after=position)
    except StoppedError:
        is_over = False
    assert world.run(modem.cold_reset() if kind == "cold" else modem.warm_reset()) == card.profile.atr
    world.run(modem.pause(idle_s))
    direct = Uicc(load_profile("default"))
    direct.cold_reset()
    for after in COMMANDS:
        assert world.run(modem.exchange(after)) == direct.transmit(after), f"stopped at character {position}"
    assert world.slot.violations == [], f"stopped at character {position}"
    return is_over


@pytest.mark.parametrize("kind", ["cold", "warm"])
@pytest.mark.parametrize("card_delay_s", [0.0, 0.0015, 0.03, 0.1])
@pytest.mark.parametrize("idle_s", [0.0, 1.0])
@pytest.mark.parametrize("tpdu", AWKWARD, ids=bytes.hex)
def test_reset_at_each_byte_leaves_both_sides_usable(
    tpdu: bytes, idle_s: float, card_delay_s: float, kind: str
) -> None:
    position = 0
    while not reset_at(position, tpdu, kind=kind, card_delay_s=card_delay_s, idle_s=idle_s):
        position += 1
    assert position >= 7


def test_modem_without_card_hears_nothing() -> None:
    world, _ = world_with()
    modem = VirtualModem()
    world.run(modem.cold_reset())
    world.perform(world.card.select_sim(world.now, is_remote=False))
    with pytest.raises(SilenceError):
        world.run(modem.warm_reset())
    world.perform(world.card.select_sim(world.now, is_remote=True))
    world.run(modem.cold_reset())
    assert world.run(modem.exchange(COMMANDS[0]))[0] in (0x61, 0x90)


def test_unplugged_device_is_brought_back_with_the_same_card() -> None:
    world, card = world_with()
    modem = VirtualModem()
    world.run(modem.cold_reset())
    world.perform(world.card.on_unplugged(world.now))
    world.device.restart()
    world.slot = world.device.slots[0]
    with pytest.raises(SilenceError):
        world.run(modem.exchange(COMMANDS[0]))
    world.perform(world.card.start(world.now))
    world.pump()
    assert world.run(modem.cold_reset()) == card.profile.atr
    assert world.run(modem.exchange(COMMANDS[0]))[0] in (0x61, 0x90)
    assert world.slot.violations == []


def test_unknown_command_never_reaches_the_card() -> None:
    world, _ = world_with()
    modem = VirtualModem()
    world.run(modem.cold_reset())
    before = len(world.tpdus)
    assert world.run(modem.exchange(bytes.fromhex("80e0000003") + b"abc")) == b"\x6d\x00"
    assert world.run(modem.exchange(bytes.fromhex("b0b0000003"))) == b"\x6e\x00"
    assert len(world.tpdus) == before
    assert world.run(modem.exchange(COMMANDS[0]))[0] in (0x61, 0x90)


@pytest.mark.parametrize("position", range(5))
def test_reset_within_pps_leaves_both_sides_usable(position: int) -> None:
    world, _ = world_with()
    modem = VirtualModem(fastest=None)
    world.run(modem.cold_reset())
    with pytest.raises(StoppedError):
        world.run(modem.negotiate(0x94), stop_after=position)
    world.run(modem.cold_reset())
    assert world.run(modem.exchange(COMMANDS[0]))[0] in (0x61, 0x90)


def test_power_off_in_the_middle_is_survived_for_a_hundred_boots() -> None:
    world, card = world_with()
    modem = VirtualModem()
    for boot in range(100):
        assert world.run(modem.cold_reset()) == card.profile.atr
        assert world.run(modem.command(COMMANDS[0]))[-2:] == b"\x90\x00"
        with pytest.raises(StoppedError):
            world.run(modem.exchange(COMMANDS[1]), stop_after=boot % 9)
        world.run(modem.power_off())
    assert world.resets == [ResetKind.COLD] * 100
    assert world.slot.violations == []

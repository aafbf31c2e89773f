# SPDX-License-Identifier: Apache-2.0
"""What the demonstration shows."""

import re

import pytest
from rich.console import Console

from remsim.core.ids import BankSlot, ClientSlot
from remsim.demo.board import draw, timing_table
from remsim.demo.scene import LAST_COMMANDS, Scene
from tests import reference


def text_of(scene: Scene, *, width: int = 100, height: int = 40) -> str:
    console = Console(width=width, height=height, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(draw(scene, height))
        if scene.kinds:
            console.print(timing_table(scene))
    return capture.get()


def scene_in_service() -> Scene:
    scene = Scene(ClientSlot(1, 0), total=151)
    scene.bank_slot, scene.mapping_state, scene.atr = BankSlot(1, 2), "ACTIVE", b"\x3b\0"
    scene.cards = ("card 0", "card 1", "card 2")
    scene.start_boot()
    return scene


def test_scene_shows_command_answer_and_duration() -> None:
    scene = scene_in_service()
    scene.add_command(bytes.fromhex("00a40004023f00"), bytes.fromhex("6135"), 0.000123, is_expected=True)
    shown = text_of(scene)
    assert "SELECT MF" in shown
    assert "6135" in shown
    assert "123 µs" in shown
    assert "C1:0 ⇄" in shown
    assert "1 of 151" in shown


@pytest.mark.parametrize(("response", "shown"), [("019000", "9000 ok, 1 byte"), ("01029000", "9000 ok, 2 bytes")])
def test_one_byte_is_no_plural(response: str, shown: str) -> None:
    scene = scene_in_service()
    scene.add_command(bytes.fromhex("00b0000001"), bytes.fromhex(response), 0.001, is_expected=True)
    assert scene.last[-1].answer == shown


def test_scene_counts_answers_that_are_not_as_recorded() -> None:
    scene = scene_in_service()
    scene.add_command(bytes.fromhex("00b0000009"), bytes.fromhex("6a82"), 0.001, is_expected=False)
    assert (scene.played, scene.surprises) == (1, 1)


def test_scene_keeps_the_last_commands_and_fits_a_low_terminal() -> None:
    scene = scene_in_service()
    for number in range(40):
        scene.add_command(bytes((0, 0xB2, number, 4, 1)), bytes(1) + b"\x90\0", 0.001, is_expected=True)
    assert len(scene.last) == LAST_COMMANDS
    scene.server.place, scene.client.place = "port 44444, REST 44444", "an IoT modem starts"
    scene.bankd.place = "port 44444, 4 cards"
    scene.atr = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
    scene.cards = tuple(f"software card {number}" for number in range(4))
    scene.result = "The modem is up: 151 commands answered by the card in B1:2, each as recorded."
    for width, height in ((80, 24), (100, 30)):
        console = Console(width=width, height=height)
        with console.capture() as capture:
            console.print(draw(scene, height))
        lines = capture.get().splitlines()
        # The cursor stands below the picture.
        assert len(lines) <= height - 1
        shown = "\n".join(lines)
        for words in (scene.result, scene.server.place, "ACTIVE", "all 40 commands so far: median 1000 µs"):
            assert words in shown, (words, shown)


def test_scene_says_how_to_end_and_draws_nothing_in_dark_blue() -> None:
    scene = scene_in_service()
    console = Console(width=80, height=24, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(draw(scene, 24))
    assert "Ctrl-C ends it." in capture.get()
    # SGR 34: blue, which 16-colour terminals show too dark to read on black.
    assert not re.search(r"\x1b\[(?:\d+;)*34[;m]", capture.get())


def test_median_of_the_picture_is_that_of_the_table() -> None:
    scene = scene_in_service()
    for microseconds in (100, 200, 300, 400):
        scene.add_command(bytes.fromhex("00b0000001"), b"\x01\x90\x00", microseconds / 1e6, is_expected=True)
    shown = text_of(scene)
    assert "all 4 commands so far: median 200 µs, 99 % below 400 µs" in shown
    (row,) = [line.split() for line in shown.splitlines() if line.split()[1:2] == ["all"]]
    assert [cell for cell in row if cell.isdecimal()][:3] == ["4", "200", "400"]


def test_scene_without_commands_can_be_drawn() -> None:
    assert "free" in text_of(scene_in_service())


def test_recording_is_the_reference_one() -> None:
    shipped = reference.ROOT / "src" / "remsim" / "demo" / "iot-modem-boot.jsonl"
    assert shipped.read_bytes() == reference.reference("traces", "iot-modem-boot.jsonl").read_bytes()

# SPDX-License-Identifier: Apache-2.0
"""``remsim uicc``: the software card as a card in a real pcscd, and its behaviour as a program."""

import asyncio
import re
from pathlib import Path

import pytest

from remsim.readers.sim.profiles import load_profile
from tests.doubles.pcscd import READER_NAMES, VPCD_PORTS, PcscdNamespace
from tests.doubles.programs import Program, remsim

_READER = READER_NAMES[0]


def _card(namespace: PcscdNamespace, *options: str) -> Program:
    """Start the card and wait until pcscd has noticed it, which takes a moment longer than the connection."""
    card = namespace.program(remsim("uicc", "--vpcd", f"127.0.0.1:{VPCD_PORTS[0]}", *options))
    card.wait_for("card_inserted")
    _wait_for_pcscd(namespace)
    return card


def _wait_for_pcscd(namespace: PcscdNamespace) -> None:
    scan = namespace.program(["pcsc_scan", "-n"])
    scan.wait_for_stdout(f"ATR: {load_profile('default').atr.hex(' ').upper()}")
    scan.stop()


def _ask(namespace: PcscdNamespace, *commands: str) -> str:
    """What opensc-tool prints for these command APDUs, sent one after the other to the first reader."""
    sends = [word for command in commands for word in ("-s", command)]
    result = namespace.run(["opensc-tool", "--reader", "0", "--card-driver", "default", *sends])
    return result.stdout + result.stderr


def _wait_until_gone(namespace: PcscdNamespace) -> None:
    """pcscd sees with a delay that a card is gone; until then it would answer for it."""
    while re.search(r"^0\s+Yes", namespace.run(["opensc-tool", "--list-readers"]).stdout, re.MULTILINE):
        pass


def test_card_is_seen_and_read_through_pcscd(pcscd_namespace: PcscdNamespace) -> None:
    _card(pcscd_namespace, "--number", "3")
    said = _ask(pcscd_namespace, "00A4080C022FE2", "00B000000A")
    assert said.count("SW1=0x90, SW2=0x00") == 2, said
    iccid = load_profile("default").identity.derive(3).tokens()["iccid"]
    assert iccid.hex(" ").upper() in said


def test_state_survives_the_program(pcscd_namespace: PcscdNamespace, tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "card"))
    card = _card(pcscd_namespace, *options)
    assert "SW1=0x63, SW2=0xC2" in _ask(pcscd_namespace, "002000810830303030FFFFFFFF")
    card.kill()
    _wait_until_gone(pcscd_namespace)
    again = _card(pcscd_namespace, *options)
    assert "SW1=0x63, SW2=0xC2" in _ask(pcscd_namespace, "0020008100")
    again.stop()
    _wait_until_gone(pcscd_namespace)
    _card(pcscd_namespace, *options, "--fresh")
    assert "SW1=0x63, SW2=0xC3" in _ask(pcscd_namespace, "0020008100")


def test_card_comes_back_with_pcscd(pcscd_namespace: PcscdNamespace) -> None:
    card = _card(pcscd_namespace)
    pcscd_namespace.pcscd.stop()
    card.wait_for("vpcd_gone")
    card.wait_for("vpcd_away")
    after = card.mark()
    pcscd_namespace.start_pcscd()
    card.wait_for("card_inserted", after=after)
    _wait_for_pcscd(pcscd_namespace)
    assert "SW1=0x90, SW2=0x00" in _ask(pcscd_namespace, "00A4000C023F00")
    assert _READER in pcscd_namespace.run(["pcsc_scan", "-r"]).stdout


def test_program_waits_for_pcscd_in_one_line_and_ends_cleanly() -> None:
    card = Program(remsim("uicc", "--vpcd", "127.0.0.1:1"))
    card.wait_for("vpcd_away .*refused")
    card.stop()
    assert card.status == 0
    assert sum("vpcd_away" in line for line in card.stderr.lines) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--profile", "nix"), "no card profile 'nix'; hint: shipped: default, iot-modem, phone"),
        (("--profile", "/dev/null"), "'name' is missing"),
        (("--vpcd", ":1"), "not the address of a single host"),
        (("--number", "-1"), "number"),
        (("--colour", "red"), "colour"),
    ],
)
def test_wrong_options_end_with_one_line(options: tuple[str, ...], reason: str) -> None:
    program = Program(remsim("uicc", *options))
    status = program.wait()
    program.close_input()
    (line,) = program.stderr.lines
    assert (status, reason in line) == (2, True), line


async def test_card_serves_a_vpcd_of_our_own() -> None:
    """Without pcscd: the conversation on the socket, message by message, and the wait for the card's coming."""
    atr = load_profile("default").atr
    arrived: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda r, w: arrived.put_nowait((r, w)), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    card = await asyncio.create_subprocess_exec(*remsim("uicc", "--vpcd", f"127.0.0.1:{port}"), stderr=-3)
    try:
        async with asyncio.timeout(20):
            for _ in range(2):
                reader, writer = await arrived.get()
                writer.write(b"\x00\x01\x01\x00\x01\x04")
                assert await reader.readexactly(2 + len(atr)) == len(atr).to_bytes(2) + atr
                writer.write(b"\x00\x08" + bytes.fromhex("00A40004023F0000"))
                assert (await reader.readexactly(4))[:3] == b"\x00\x02\x61"
                writer.close()
                await writer.wait_closed()
            card.terminate()
            assert await card.wait() == 0
    finally:
        if card.returncode is None:
            card.kill()
            await card.wait()
        server.close()
        await server.wait_closed()

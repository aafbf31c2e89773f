# SPDX-License-Identifier: Apache-2.0
"""What a pcscd does that it should not, or seldom does, and what reader ``pcscd`` makes of it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.readers.errors import CardTransmissionError, ReaderBusyError, ReaderError
from remsim.readers.pcscd import PcscdDaemon, PcscdSource, PcscdUnwillingError, protocol_of, source
from remsim.readers.pcscd.protocol import PcscdCommand
from tests.doubles.scripted_pcscd import ScriptedPcscd, scripted_pcscd

PRESENT = 0x34
READ = bytes.fromhex("00b0000002")
#: Fifty bytes that are no UTF-8. As text, with the character for such bytes, they are longer than a name may be.
FOREIGN = "\udce9" * 50


@asynccontextmanager
async def shared(folder: Path, *, deadline_s: float = 5.0) -> AsyncIterator[tuple[ScriptedPcscd, PcscdSource]]:
    async with scripted_pcscd(folder / "s", ("R", PRESENT)) as pcscd:
        source = PcscdSource(daemons=[PcscdDaemon(folder / "s")], is_shared=lambda _reader: True, deadline_s=deadline_s)
        await source.start()
        try:
            yield pcscd, source
        finally:
            await source.stop()


async def test_name_that_is_no_text_does_not_end_the_watching(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scripted_pcscd(tmp_path / "s", (FOREIGN, PRESENT), ("R", PRESENT)):
        source = PcscdSource(daemons=[PcscdDaemon(tmp_path / "s")], finds_places=True, usb_devices=tmp_path)
        await source.start()
        strange, usual = await source.names()
        assert usual == "R"
        with pytest.raises(ReaderError, match="there is no such reader"):
            await source.reader(strange).open()
        reader = source.reader("R")
        await reader.open()
        await reader.close()
        await source.stop()
    assert "driver_error" not in capsys.readouterr().err


@pytest.mark.parametrize("response", [b"", b"\x90"])
async def test_response_without_a_status_word_ends_the_command_and_the_transaction(
    tmp_path: Path, response: bytes
) -> None:
    async with shared(tmp_path) as (pcscd, source):
        reader = source.reader("R")
        await reader.open()
        pcscd.response = response
        assert await asyncio.wait_for(reader.transmit(READ), 2.0) == response
        pcscd.response = b"\x90\x00"
        assert await reader.transmit(READ) == b"\x90\x00"
        await reader.close()
        begun, ended = (pcscd.log.count(one) for one in (PcscdCommand.BEGIN_TRANSACTION, PcscdCommand.END_TRANSACTION))
        assert begun == ended == 2


async def test_card_that_another_program_has_reset_is_told_as_that(tmp_path: Path) -> None:
    async with shared(tmp_path) as (pcscd, source):
        reader = source.reader("R")
        await reader.open()
        pcscd.response = 0x80100068
        with pytest.raises(CardTransmissionError, match="another program has reset the card"):
            await reader.transmit(READ)
        pcscd.on_begin = 0x80100068
        with pytest.raises(CardTransmissionError, match="another program has reset the card"):
            await reader.transmit(READ)
        await reader.close()
        assert pcscd.log[-1] is PcscdCommand.RELEASE_CONTEXT


async def test_transaction_of_another_program_that_does_not_end_is_a_busy_card(tmp_path: Path) -> None:
    async with shared(tmp_path, deadline_s=0.2) as (pcscd, source):
        reader = source.reader("R")
        await reader.open()
        pcscd.on_begin = 0x8010000B
        with pytest.raises(ReaderBusyError, match="another program uses the card"):
            await reader.transmit(READ)
        await reader.close()


async def test_table_is_full_whatever_the_readers_are_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"R {number:02d}", PRESENT) for number in range(14)]
    async with scripted_pcscd(tmp_path / "s", *rows, ("T", PRESENT), ("T", PRESENT)):
        source = PcscdSource(daemons=[PcscdDaemon(tmp_path / "s")])
        await source.start()
        assert len(await source.names()) == 14
        await source.stop()
    said = capsys.readouterr().err
    assert "readers_of_one_name" in said
    assert f"pcsc_readers_at_limit readers=16 protocol=4:4 socket={tmp_path / 's'}" in said


async def test_pcscd_that_does_not_answer_is_unwilling_and_not_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_PROBE_S", 0.1)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen(1)
        with pytest.raises(PcscdUnwillingError, match="does not answer"):
            await protocol_of(tmp_path / "s")

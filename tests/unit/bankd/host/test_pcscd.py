# SPDX-License-Identifier: Apache-2.0
"""What is learnt of pcscd over its socket, with one of each version behind it, and from ``pcscd --version``."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.bankd.host import pcscd
from remsim.bankd.host.pcscd import PcscLite, ReaderSeen, ask_pcscd, parse_version
from tests.doubles.bank_facts import DEBIAN_12, DEBIAN_13


def test_version_and_features_are_read() -> None:
    assert parse_version(DEBIAN_12) == PcscLite("1.9.9", has_polkit=False)
    assert parse_version(DEBIAN_13) == PcscLite("2.3.3", has_polkit=True)
    assert parse_version("command not found") == PcscLite()


@asynccontextmanager
async def stub(
    socket: Path,
    version: tuple[int, int],
    *,
    accepts: bool = True,
    says: bytes | None = None,
    on_connect: int = 0x80100009,
) -> AsyncIterator[None]:
    """Answers as pcscd of ``version`` does; with ``says``, says that and closes. ``on_connect``: rv of each CONNECT."""
    rows = struct.pack("=128sIIi33s3xII", b"ACME [CCID] 00 00", 1, 0x14, 0, b"\x3b", 1, 1) + bytes(184 * 15)

    def reply(command: int, body: bytes) -> bytes:
        match command:
            case 17:
                wanted = struct.unpack("=iiI", body)[:2]
                is_good = accepts and (wanted == version or version >= (4, 6))
                return struct.pack("=iiI", *version, 0 if is_good else 0x8010001E)
            case 1:
                return struct.pack("=III", 0, 7, 0)
            case 4:
                return body[:-4] + struct.pack("=I", on_connect)
            case 22:
                return struct.pack("=i", 1)
            case 23:
                return rows[:184]
        assert command == 18
        return rows

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if says is not None:
            await reader.read(1)
            writer.write(says)
            writer.close()
            return
        while header := await reader.read(8):
            size, command = struct.unpack("=II", header)
            writer.write(reply(command, await reader.readexactly(size)))
        writer.close()

    server = await asyncio.start_unix_server(talk, socket)
    try:
        yield
    finally:
        server.close()


@pytest.mark.parametrize("version", [(4, 4), (4, 5), (4, 6)])
async def test_each_version_of_pcscd_is_understood(version: tuple[int, int], tmp_path: Path) -> None:
    async with stub(tmp_path / "comm", version):
        found = await ask_pcscd(tmp_path / "comm")
    assert (found.trouble, found.protocol) == (None, version)
    assert found.readers == (ReaderSeen("ACME [CCID] 00 00", has_card=True),)


@pytest.mark.parametrize(("on_connect", "forbids"), [(0x80100009, False), (0x8010006A, True)])
@pytest.mark.parametrize("version", [(4, 5), (4, 6)])
async def test_polkit_is_asked_about_cards_without_touching_one(
    version: tuple[int, int], on_connect: int, forbids: bool, tmp_path: Path
) -> None:
    async with stub(tmp_path / "comm", version, on_connect=on_connect):
        found = await ask_pcscd(tmp_path / "comm", has_polkit=True)
    assert (found.trouble, found.forbids_cards) == (None, forbids)


@pytest.mark.parametrize(("says", "trouble"), [(b"", "refused"), (b"abc", "refused")])
async def test_refusal_is_told_apart(says: bytes, trouble: str, tmp_path: Path) -> None:
    async with stub(tmp_path / "comm", (4, 5), says=says):
        assert (await ask_pcscd(tmp_path / "comm")).trouble == trouble


async def test_version_to_come_is_told(tmp_path: Path) -> None:
    async with stub(tmp_path / "comm", (5, 0), accepts=False):
        found = await ask_pcscd(tmp_path / "comm")
    assert (found.trouble, found.detail) == ("foreign", "version 5:0 is none that is known")
    async with stub(tmp_path / "older", (4, 3), accepts=False):
        found = await ask_pcscd(tmp_path / "older")
    assert (found.trouble, found.detail) == ("foreign", "it speaks 4:3; known are 4:4, 4:5, 4:6")


async def test_silence_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcscd, "DEADLINE_S", 0.05)
    done = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_unix_server(say_nothing, tmp_path / "comm")
    assert (await ask_pcscd(tmp_path / "comm")).trouble == "silent"
    done.set()
    server.close()


async def test_what_is_no_socket_is_told(tmp_path: Path) -> None:
    assert (await ask_pcscd(tmp_path / "comm")).trouble == "absent"
    (tmp_path / "comm").touch()
    assert (await ask_pcscd(tmp_path / "comm")).trouble == "no socket"

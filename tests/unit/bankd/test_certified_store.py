# SPDX-License-Identifier: Apache-2.0
"""The file that keeps who has a certificate: whole or not at all, and never mistaken for an empty one."""

import stat
from pathlib import Path

import pytest

from remsim.bankd import certified_store
from remsim.bankd.certified_store import NAME, CertifiedFile
from remsim.bankd.core.certified import CertifiedMemory
from remsim.core.identity import Identity
from tests.doubles.noted_log import NotedLog

CLIENTS = (Identity.client(7, 0), Identity.client(23))


async def save(file: CertifiedFile) -> None:
    file.want()
    await file.save(lambda: CLIENTS)


async def test_what_was_saved_is_loaded_again(tmp_path: Path) -> None:
    log, path = NotedLog(), tmp_path / "state" / NAME
    file = CertifiedFile(path, log.logger)
    assert file.load() == CertifiedMemory()
    await save(file)
    assert CertifiedFile(path, log.logger).load() == CertifiedMemory(CLIENTS)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)] == [0o600, 0o700]
    assert [each.name for each in path.parent.iterdir()] == [NAME]
    assert log.is_empty()


async def test_file_is_written_only_when_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / NAME
    file = CertifiedFile(path, NotedLog().logger)
    await file.save(lambda: CLIENTS)
    assert not path.exists()
    await save(file)
    before = path.stat().st_ino
    await file.save(lambda: ())
    assert path.stat().st_ino == before
    assert file.load() == CertifiedMemory(CLIENTS)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"version": 2, "clients": []}',
        b'{"version": 1, "clients": {}}',
        b'{"version": 1, "clients": [23]}',
        b'{"version": 1, "clients": ["bank/1"]}',
        b'{"version": 1, "clients": ["client/2000"]}',
        b'{"version": 1, "clients": ["client/23"',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_file_that_cannot_be_used_is_reported_and_left(tmp_path: Path, content: bytes) -> None:
    log, path = NotedLog(), tmp_path / NAME
    path.write_bytes(content)
    assert not CertifiedFile(path, log.logger).load().is_readable
    said = await log.next("certified_list_unreadable")
    assert (said["level"], said["file"]) == ("error", str(path))
    assert "plain TCP is refused to all clients" in said["hint"]
    assert path.read_bytes() == content


async def test_file_that_is_too_large_or_no_file_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, path = NotedLog(), tmp_path / NAME
    file = CertifiedFile(path, log.logger)
    await save(file)
    monkeypatch.setattr(certified_store, "_MAX_BYTES", 40)
    assert not file.load().is_readable
    assert "larger than 40 bytes" in (await log.next("certified_list_unreadable"))["error"]
    path.unlink()
    path.mkdir()
    assert not file.load().is_readable


async def test_trouble_with_writing_is_reported_once_and_tried_again(tmp_path: Path) -> None:
    log, folder = NotedLog(), tmp_path / "state"
    folder.write_text("in the way")
    file = CertifiedFile(folder / NAME, log.logger)
    await save(file)
    await file.save(lambda: CLIENTS)
    await log.next("certified_list_not_stored")
    assert log.is_empty()
    folder.unlink()
    await file.save(lambda: CLIENTS)
    assert file.load() == CertifiedMemory(CLIENTS)

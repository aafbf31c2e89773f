# SPDX-License-Identifier: Apache-2.0
"""A client's and a bank's files on a disk that is really full, at each page, or read-only: what stands goes on."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.ahead.context_model import ContextModel
from remsim.bankd.learnt_files import LearntFiles
from remsim.core.errors import StartError
from remsim.logs import get_logger
from remsim.net.runtime.certificates import FIRST_RETRY_S, CertificateManager
from remsim.net.runtime.state_lock import StateLock
from remsim.net.tls.contexts import TlsContexts
from remsim.pki.credentials import Credentials
from remsim.pki.enrol import enroll
from remsim.pki.errors import KeyFileError
from remsim.pki.toolkit import CryptographyToolkit
from tests.doubles.certificates import CLIENT, DAY_S, CertificateWorld
from tests.doubles.enrolment_server import EnrolmentServer, enrolment_server
from tests.doubles.noted_log import NotedLog
from tests.doubles.programs import PATIENCE_S, remsim
from tests.doubles.pseudo_terminal import PseudoTerminal
from tests.doubles.rspro_peers import FakeBankd, FakeServer
from tests.doubles.small_disk import PAGE, SmallDisk, small_disk
from tests.doubles.tls_world import noted_world

TOOL = CryptographyToolkit()
#: Key, certificate, authority, list and where they are from, and one draft: more is never written.
MOST_PAGES = 8


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "state", pages=16) as disk:
        yield disk


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EnrolmentServer]:
    async with enrolment_server(CertificateWorld(tmp_path / "lab")) as server:
        yield server


async def test_enrolment_succeeds_with_the_same_code_when_there_is_room(
    disk: SmallDisk, server: EnrolmentServer
) -> None:
    host = Credentials(disk.folder / "tls")
    code = server.ca.authority.make_code(CLIENT, now=server.now)
    refusals: list[KeyFileError] = []
    for pages in range(MOST_PAGES):
        disk.fill(leaving=pages)
        try:
            facts = await asyncio.to_thread(enroll, server.url, code, host, TOOL)
        except KeyFileError as error:
            refusals.append(error)
            assert not host.exist()
        else:
            assert host.check() == facts
            break
    # The key needs a page, and so does the certificate beside it, at least.
    assert len(refusals) >= 2
    assert all("No space left on device" in str(error) and "make room" in error.hint for error in refusals)
    host.check_origin()
    assert TlsContexts(host).identity == CLIENT
    # However often it was asked for: there is one certificate.
    assert len(server.ca.authority.issued_to(CLIENT)) == 1


async def test_renewal_keeps_the_old_certificate_in_use_until_there_is_room(
    disk: SmallDisk, server: EnrolmentServer
) -> None:
    host, log = Credentials(disk.folder / "tls"), NotedLog()
    await asyncio.to_thread(enroll, server.url, server.ca.authority.make_code(CLIENT, now=server.now), host, TOOL)
    contexts, before = TlsContexts(host), host.certificate()
    async with noted_world() as (links, _, _):
        manager = CertificateManager(contexts, links, log=log.logger)
        server.now += 61 * DAY_S
        now = server.now
        for pages in range(MOST_PAGES):
            disk.fill(leaving=pages)
            await manager.check_age(now)
            if host.certificate() != before:
                break
            told = await log.next("certificate_not_renewed")
            assert "No space left on device" in str(told["error"])
            assert "make room" in str(told["hint"])
            host.check_origin()
            assert contexts.identity == CLIENT
            now += FIRST_RETRY_S * 2**pages
        assert pages >= 1
        await log.next("certificate_renewed")
        host.check_origin()


async def test_list_of_revocations_without_room_is_refused_and_taken_at_the_next_push(
    disk: SmallDisk, server: EnrolmentServer
) -> None:
    host = Credentials(disk.folder / "tls")
    await asyncio.to_thread(enroll, server.url, server.ca.authority.make_code(CLIENT, now=server.now), host, TOOL)
    stored = host.revocations()
    newer = server.ca.authority.publish_list(server.now + 3600)
    disk.fill()
    with pytest.raises(KeyFileError, match="No space left on device"):
        host.accept_revocations(newer, TOOL)
    assert host.revocations() == stored
    disk.make_room()
    assert host.accept_revocations(newer, TOOL) == host.revocations() != stored


async def test_read_only_certificate_serves_and_is_neither_got_nor_renewed(
    disk: SmallDisk, server: EnrolmentServer
) -> None:
    host, new = Credentials(disk.folder / "tls"), Credentials(disk.folder / "new")
    await asyncio.to_thread(enroll, server.url, server.ca.authority.make_code(CLIENT, now=server.now), host, TOOL)
    disk.remount("ro")
    code = server.ca.authority.make_code(CLIENT, now=server.now)
    for credentials in (host, new):
        with pytest.raises(KeyFileError, match="Read-only file system") as refused:
            await asyncio.to_thread(enroll, server.url, code, credentials, TOOL)
        assert "findmnt" in refused.value.hint
    assert TlsContexts(host).identity == host.check().identity == CLIENT
    StateLock(host.directory / "client.lock", what="the slot").take(get_logger("test"))
    disk.remount("rw")
    await asyncio.to_thread(enroll, server.url, code, new, TOOL)


def test_lock_without_room_for_its_note_is_a_lock(disk: SmallDisk) -> None:
    disk.fill()
    path = disk.folder / "x.lock"
    first, second = StateLock(path, what="the thing"), StateLock(path, what="the thing")
    first.take(get_logger("test"))
    with pytest.raises(StartError, match=r"the thing is in use by another program$"):
        second.take(get_logger("test"))
    first.release()
    second.take(get_logger("test"))
    second.release()


def test_what_was_learnt_stays_and_is_stored_when_there_is_room(
    disk: SmallDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    files, model = LearntFiles(disk.folder / "ahead", get_logger("test")), ContextModel()
    model.learn([bytes.fromhex("00a40004023f00")] * 3)
    assert files.save(None, model)
    before = files.path(None).read_bytes()
    model.learn([bytes.fromhex("00b0000001")] * PAGE)
    for _ in range(2):
        disk.fill()
        assert not files.save(None, model)
        assert files.path(None).read_bytes() == before
    assert [path.name for path in (disk.folder / "ahead").iterdir()] == [files.path(None).name]
    disk.make_room()
    assert files.save(None, model)
    assert files.load_general().recordings == model.recordings
    assert capsys.readouterr().err.count("learnt_not_stored") == 1


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A server that gives out a card which says 9000 to all."""
    async with FakeBankd(lambda _tpdu: b"\x90\x00") as bankd, FakeServer(bankd=bankd) as server:
        yield f"127.0.0.1:{server.port}"


@asynccontextmanager
async def ending(process: Process) -> AsyncIterator[None]:
    """End the program with the block, whatever happens in it."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_script_that_cannot_write_its_dump_says_so_in_one_line(
    disk: SmallDisk, tmp_path: Path, address: str
) -> None:
    recording = tmp_path / "recording.jsonl"
    recording.write_text('{"cmd": "00b0000000", "sw": "9000"}\n' * 2, encoding="utf-8")
    disk.fill()
    words = remsim("client", "script", str(recording), "--plaintext", "--server", address, "--client", "7:0")
    argv = [*words, "--dump", str(disk.folder / "dump")]
    process = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    async with ending(process):
        async with asyncio.timeout(PATIENCE_S):
            _, told = await process.communicate()
    assert process.returncode == 1
    (line,) = [line for line in told.decode().splitlines() if line.startswith("remsim client:")]
    assert "cannot write the dump: No space left on device" in line
    assert "hint:" in line
    assert b"Traceback" not in told


@pytest.mark.parametrize("how", ["full", "ro"])
async def test_shell_on_a_terminal_works_and_keeps_no_history(disk: SmallDisk, address: str, how: str) -> None:
    folder, terminal = disk.folder / "remsim" / "client", PseudoTerminal()
    folder.mkdir(mode=0o700, parents=True)
    (folder / "history").write_text("\n# before\n+00b0000001\n", encoding="utf-8")
    disk.fill()
    # The file's one page has room for more.
    (folder / "history").write_bytes((folder / "history").read_bytes().ljust(PAGE, b"\n"))
    if how == "ro":
        disk.remount("ro")
    environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "XDG_STATE_HOME": str(disk.inside)}
    end, words = terminal.theirs, ("shell", "--plaintext", "--server", address, "--client", "7:0")
    process = await asyncio.create_subprocess_exec(
        *disk.command(remsim("client", *words)), stdin=end, stdout=end, stderr=end, env=environment
    )
    async with ending(process):
        await terminal.see("card inserted")
        for line in ("00a4000000", "00b0000002"):
            await terminal.see("C7:0>")
            terminal.type(line + "\r")
            await terminal.see("9000 ok")
        await terminal.see("C7:0>")
        terminal.type("quit\r")
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    terminal.close()
    assert "00a4" not in (folder / "history").read_text(encoding="utf-8")

# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor server``: database, tokens, disk and authority; real files."""

import asyncio
import shutil
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from remsim.config import BankdConfig, HostPort, ServerConfig
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Role
from remsim.doctor.check import Situation
from remsim.doctor.server import (
    check_authority,
    check_database,
    check_disk,
    examine_authority,
    judge_database,
    judge_disk,
)
from remsim.pki.authority import CERTIFICATE_FILE, KEY_FILE, LIST_FILE, Authority
from remsim.server.core.tokens import TokenRole
from remsim.server.store.database import revisions
from remsim.server.store.examine import DatabaseFacts, Trouble, look_at_database, read_sqlite
from remsim.server.store.tokens import create_token, revoke_token

DAY_S = 86400.0


def outcomes(findings: list[Finding]) -> list[tuple[str, Outcome]]:
    assert all(finding.mend for finding in findings if finding.outcome is not Outcome.OK)
    return [(finding.check, finding.outcome) for finding in findings]


def server(state: Path) -> Situation:
    config = ServerConfig(state_dir=state)
    return Situation(HostPort("", 1), role=Role.SERVER, server_config=config)


async def examine(state: Path) -> list[Finding]:
    return list(await check_database(server(state)))


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """A server's state directory, with a database and one token in it."""
    folder = tmp_path / "server"
    await asyncio.to_thread(create_token, ServerConfig(state_dir=folder), name="first", role=TokenRole.ADMIN)
    return folder


async def test_database_of_a_server_is_well(state: Path) -> None:
    file = state / "server.sqlite"
    before = file.read_bytes()
    first, token = await examine(state)
    assert (first.outcome, first.text) == (Outcome.OK, f"{file} has the form {revisions()[-1]}")
    assert (token.outcome, token.text) == (Outcome.OK, "1 valid token")
    assert file.read_bytes() == before


async def test_tokens_that_are_revoked_or_over_do_not_count(state: Path) -> None:
    config = ServerConfig(state_dir=state)
    _, second = await asyncio.to_thread(create_token, config, name="short", role=TokenRole.VIEWER, lifetime_s=60.0)
    assert second.name == "short"
    assert read_sqlite(state / "server.sqlite", time.time()).tokens == 2
    assert read_sqlite(state / "server.sqlite", time.time() + 61).tokens == 1
    await asyncio.to_thread(revoke_token, config, second.token_id)
    assert read_sqlite(state / "server.sqlite", time.time()).tokens == 1


async def test_server_without_a_token_is_told(state: Path) -> None:
    with closing(sqlite3.connect(state / "server.sqlite")) as connection:
        connection.execute("DELETE FROM tokens")
        connection.commit()
    findings = await examine(state)
    assert outcomes(findings) == [("database", Outcome.OK), ("token", Outcome.PROBLEM)]
    assert "remsim token create" in findings[1].mend


async def test_database_is_read_beside_a_program_that_writes(state: Path) -> None:
    with closing(sqlite3.connect(state / "server.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        assert outcomes(await examine(state)) == [("database", Outcome.OK), ("token", Outcome.OK)]


async def test_missing_database_is_told_and_not_made(tmp_path: Path) -> None:
    (finding,) = await examine(tmp_path)
    assert (finding.outcome, finding.text) == (Outcome.PROBLEM, f"there is no database {tmp_path / 'server.sqlite'}")
    assert "remsim server init" in finding.mend
    assert not (tmp_path / "server.sqlite").exists()


@pytest.mark.parametrize(
    ("content", "part"), [("", "is empty"), ("table", "belongs to another program"), ("text", "cannot be used")]
)
async def test_file_that_is_no_database_of_ours_is_told(content: str, part: str, tmp_path: Path) -> None:
    file = tmp_path / "server.sqlite"
    file.write_text("no database at all, but a text " * 100 if content == "text" else "")
    if content == "table":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE music (title TEXT)")
    (finding,) = await examine(tmp_path)
    assert finding.outcome is Outcome.PROBLEM
    assert part in finding.text
    assert "backup" in finding.mend


async def test_database_that_others_can_read_is_told(state: Path) -> None:
    (state / "server.sqlite").chmod(0o644)
    findings = await examine(state)
    assert ("database", Outcome.PROBLEM) in outcomes(findings)
    assert f"chmod 600 {state / 'server.sqlite'}" in [finding.mend for finding in findings]


def test_forms_of_other_versions_are_told() -> None:
    known = ["0001", "0002", "0003"]
    (older,) = judge_database(DatabaseFacts("db", revision="0001"), known)
    (newer,) = judge_database(DatabaseFacts("db", revision="0009"), known)
    assert (older.outcome, newer.outcome) == (Outcome.NOTE, Outcome.PROBLEM)
    assert "brings it to 0003" in older.text
    assert "newer version" in newer.text


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        (Trouble.NO_RIGHTS, Outcome.NOTE),
        (Trouble.READ_ONLY, Outcome.PROBLEM),
        (Trouble.SERVER, Outcome.PROBLEM),
        (Trouble.SETTING, Outcome.PROBLEM),
    ],
)
def test_database_that_cannot_be_looked_at(trouble: Trouble, outcome: Outcome) -> None:
    (finding,) = judge_database(DatabaseFacts("/nowhere/db", trouble, "reason", "hint"), ["1"])
    assert finding.outcome is outcome
    assert finding.mend


async def test_url_that_is_none_is_told_without_repeating_it() -> None:
    facts = await look_at_database("nonsense://secret@host/", 0.0)
    assert facts.trouble is Trouble.SETTING
    assert "secret" not in facts.reason


@pytest.mark.parametrize(("free_mib", "outcome"), [(10_000, Outcome.OK), (400, Outcome.NOTE), (10, Outcome.PROBLEM)])
def test_room_on_the_disk_is_judged(free_mib: int, outcome: Outcome) -> None:
    finding = judge_disk(Path("/var"), free_mib << 20, 20_000 << 20)
    assert finding.outcome is outcome
    assert finding.text == f"{free_mib} MiB of 20000 MiB are free at /var"


async def test_disk_of_a_folder_to_come_is_that_of_the_one_above(tmp_path: Path) -> None:
    (finding,) = await check_disk(server(tmp_path / "not" / "yet"))
    assert finding.text.endswith(f"are free at {tmp_path}")


async def test_disk_of_a_bank_is_judged_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: SimpleNamespace(free=10 << 20, total=20_000 << 20))
    bank = Situation(HostPort("127.0.0.1", 9998), role=Role.BANK, bankd=BankdConfig(state_dir=tmp_path))
    (finding,) = await check_disk(bank)
    assert (finding.outcome, finding.text) == (Outcome.PROBLEM, f"10 MiB of 20000 MiB are free at {tmp_path}")
    assert "forgets which reader belongs to which slot" in finding.mend


# Authority


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """An authority that is a year old."""
    folder = tmp_path / "ca"
    Authority.create(folder, name="lab", now=time.time() - 365 * DAY_S).publish_list(time.time())
    return folder


def test_good_authority_is_well(authority: Path) -> None:
    assert outcomes(examine_authority(authority, time.time())) == [("authority", Outcome.OK)]


@pytest.mark.parametrize(("days", "expected"), [(9 * 365 - 100, Outcome.NOTE), (9 * 365 + 10, Outcome.PROBLEM)])
def test_authority_that_ends_is_told(authority: Path, days: int, expected: Outcome) -> None:
    findings = examine_authority(authority, time.time() + days * DAY_S)
    found = [finding for finding in findings if finding.text.startswith("the authority end")]
    assert [finding.outcome for finding in found] == [expected]


def test_list_of_a_time_to_come_is_told(authority: Path) -> None:
    Authority(authority).publish_list(time.time() + 70 * DAY_S)
    (finding,) = examine_authority(authority, time.time())
    assert finding.outcome is Outcome.PROBLEM
    assert "which is to come: a clock is wrong, or was" in finding.text


def test_clock_that_is_behind_the_last_good_time_is_told(authority: Path) -> None:
    record = authority / "clock.json"
    record.write_text(f'{{"good": {time.time() + DAY_S}, "seen": null}}\n')
    record.chmod(0o600)
    (finding,) = examine_authority(authority, time.time())
    assert (finding.outcome, "has been already" in finding.text) == (Outcome.PROBLEM, True)


def test_list_that_is_old_or_missing_is_a_note(authority: Path) -> None:
    assert outcomes(examine_authority(authority, time.time() + 2 * DAY_S))[-1] == ("authority", Outcome.NOTE)
    (authority / LIST_FILE).unlink()
    assert outcomes(examine_authority(authority, time.time()))[-1] == ("authority", Outcome.NOTE)


@pytest.mark.parametrize("name", [KEY_FILE, CERTIFICATE_FILE])
def test_files_of_the_authority_that_are_damaged_or_open_are_told(authority: Path, name: str) -> None:
    file = authority / name
    if name == KEY_FILE:
        file.chmod(0o644)
    else:
        file.write_bytes(b"nothing")
    assert outcomes(examine_authority(authority, time.time())) == [("authority", Outcome.PROBLEM)]


def test_missing_key_is_told(authority: Path) -> None:
    (authority / KEY_FILE).unlink()
    (finding,) = examine_authority(authority, time.time())
    assert (finding.outcome, KEY_FILE in finding.text) == (Outcome.PROBLEM, True)


async def test_host_without_an_authority_is_a_note(tmp_path: Path) -> None:
    (finding,) = await check_authority(server(tmp_path))
    assert finding.outcome is Outcome.NOTE
    assert "hosts cannot enrol here" in finding.text


def test_modes_that_are_judged_are_those_of_files(state: Path) -> None:
    assert read_sqlite(state / "server.sqlite", 0.0).mode == stat.S_IRUSR | stat.S_IWUSR

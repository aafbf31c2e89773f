# SPDX-License-Identifier: Apache-2.0
"""A password for PostgreSQL: where it may stand, and that nothing shows it."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from remsim.cli.main import main
from remsim.cli.options import NO_COMMON_OPTIONS, resolve
from remsim.config import ServerConfig
from remsim.core.errors import ConfigError
from remsim.core.finding import Outcome
from remsim.doctor.server import judge_database
from remsim.logs import get_logger
from remsim.server.store.database import revisions
from remsim.server.store.examine import Trouble, look_at_database
from remsim.server.store.writer import Store
from tests.doubles.databases import DatabasePlace
from tests.doubles.postgres import Postgres
from tests.doubles.programs import Program, remsim
from tests.doubles.server_rig import connect_bank, rest_client, running_server

PASSWORD = "Gh7-not.to@be#seen"
QUOTED = "Gh7-not.to%40be%23seen"
OPTIONS = ("--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0")


@pytest.fixture
def name(postgres: Postgres) -> Iterator[str]:
    """A database of a role that needs a password."""
    with postgres.database() as made:
        postgres.sql("DROP ROLE IF EXISTS secretive")
        postgres.sql(f"CREATE ROLE secretive LOGIN PASSWORD '{PASSWORD}'")
        postgres.sql(f"ALTER DATABASE {made} OWNER TO secretive")
        postgres.sql("ALTER SCHEMA public OWNER TO secretive", name=made)
        yield made
        postgres.sql(f"ALTER DATABASE {made} OWNER TO CURRENT_USER")
        postgres.sql("DROP OWNED BY secretive CASCADE", name=made)
        postgres.sql("DROP ROLE secretive")


def with_password(postgres: Postgres, name: str, password: str = QUOTED) -> str:
    return postgres.url(name, user=f"secretive:{password}")


def secrets_in(text: str) -> list[str]:
    return [secret for secret in (PASSWORD, QUOTED) if secret in text]


def test_password_is_taken_from_the_environment_and_from_a_file_and_shown_nowhere(
    postgres: Postgres, name: str, tmp_path: Path
) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"localhost:5432:{name}:secretive:{PASSWORD}\n", encoding="utf-8")
    passfile.chmod(0o600)
    without = postgres.url(name, user="secretive")
    for environment in (
        {"REMSIM_DATABASE": with_password(postgres, name)},
        {"REMSIM_DATABASE": without, "PGPASSFILE": str(passfile)},
    ):
        argv = remsim("server", "--state", str(tmp_path), "--log-level", "debug", *OPTIONS)
        with Program(argv, env=environment) as program:
            program.wait_for("server started")
            assert not secrets_in(Path(f"/proc/{program.pid}/cmdline").read_text(encoding="utf-8"))
            assert program.stop() == 0
            assert not secrets_in(program.describe() + "\n".join(program.stderr.lines))
    for words in (("token", "list"), ("doctor", "server")):
        with Program(remsim(*words, "--json"), env={"REMSIM_DATABASE": with_password(postgres, name)}) as program:
            program.wait()
            assert json.loads("\n".join(program.stdout.lines)) is not None
            assert not secrets_in(program.describe())


@pytest.mark.parametrize(
    "url", ["postgresql://u:not/quoted@h/n", "postgresql://u@r:p@h/n", "postgresql://u:p:?q@/n?host=/run"]
)
def test_password_is_seen_where_the_library_sees_one(url: str) -> None:
    assert make_url(url).password
    with pytest.raises(ConfigError, match="has a password in it"):
        resolve(ServerConfig, NO_COMMON_OPTIONS, database=url)


@pytest.mark.parametrize(
    "url", ["postgresql://u@h:5432/n", "postgresql://u@[::1]:5432/n", "sqlite+aiosqlite:////a:b@c"]
)
def test_url_without_a_password_is_taken(url: str) -> None:
    assert not make_url(url).password
    assert resolve(ServerConfig, NO_COMMON_OPTIONS, database=url).database == url


@pytest.mark.parametrize("command", [["server"], ["token", "list"], ["server", "init"]])
def test_password_on_the_command_line_is_refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for url in (f"postgresql://u:{QUOTED}@h/n", f"postgresql+asyncpg:///n?user=u&password={QUOTED}"):
        assert main([*command, "--database", url]) == 2
        said = capsys.readouterr()
        assert "has a password in it" in said.err
        assert "REMSIM_DATABASE" in said.err
        assert not secrets_in(said.out + said.err)


async def test_password_is_in_no_bundle_and_no_answer(postgres: Postgres, name: str, tmp_path: Path) -> None:
    async with (
        running_server(tmp_path, database=with_password(postgres, name)) as service,
        rest_client(service, over_socket=False) as rest,
        await connect_bank(service, 1),
    ):
        bundle = await rest.get("/api/v2/bundles/B1:0")
        assert bundle.status_code == 200
        with tarfile.open(fileobj=io.BytesIO(bundle.content), mode="r:gz") as archive:
            files = [archive.extractfile(member) for member in archive.getnames()]
            texts = [file.read().decode() for file in files if file is not None]
        assert any('"database": "set"' in text for text in texts)
        assert not [text for text in texts if secrets_in(text)]


async def test_doctor_says_what_is_wrong_with_a_postgresql(postgres: Postgres, name: str) -> None:
    good = with_password(postgres, name)
    empty = await look_at_database(good, 0.0)
    (finding,) = judge_database(empty, revisions())
    assert (finding.outcome, finding.mend.partition(":")[0]) == (
        Outcome.PROBLEM,
        "name the server's database in the URL; an empty one gets its tables at the first start",
    )
    assert finding.text == f"the database {name} at {postgres.folder} is empty"
    store = Store.at(good, log=get_logger("test"))
    await store.open()
    await store.close()
    form, token = judge_database(await look_at_database(good, 0.0), revisions())
    assert (form.outcome, token.outcome) == (Outcome.OK, Outcome.PROBLEM)
    for url, reason in (
        (with_password(postgres, name, "wrong"), "password authentication failed"),
        (with_password(postgres, "nothing"), "does not exist"),
        (good.replace(str(postgres.folder), "/nowhere"), "No such file"),
    ):
        facts = await look_at_database(url, 0.0)
        assert facts.trouble is Trouble.SERVER
        assert reason in facts.reason
        assert not secrets_in(facts.reason)


async def test_other_programs_database_is_told(postgres: Postgres) -> None:
    with postgres.database() as other:
        place = DatabasePlace("postgresql", postgres.url(other))
        await place.rows("create table mine (a integer)")
        (finding,) = judge_database(await look_at_database(place.url, 0.0), revisions())
        assert "belongs to another program" in finding.text

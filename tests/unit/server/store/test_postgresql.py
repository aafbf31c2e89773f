# SPDX-License-Identifier: Apache-2.0
"""How PostgreSQL is reached: what its URL may say, and what the driver is told beside it."""

import inspect

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy.engine import make_url

from remsim.core.errors import StartError
from remsim.server.store import postgresql
from remsim.server.store.database import open_engine
from remsim.server.store.postgresql import CONNECT_TIMEOUT_S, connect_args


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("postgresql://u@h/n?sslmode=require", {"ssl": "require"}),
        ("postgresql+asyncpg://u@/n?host=a:1&host=b:2&ssl=disable", {"host": ("a:1", "b:2"), "ssl": "disable"}),
        (
            "postgresql://u@h/n?passfile=/f&target_session_attrs=primary",
            {"passfile": "/f", "target_session_attrs": "primary"},
        ),
    ],
)
async def test_parameters_are_those_of_the_driver(given: str, understood: dict[str, object]) -> None:
    engine = open_engine(given)
    assert engine.url.drivername == "postgresql+asyncpg"
    assert dict(engine.url.query) == understood
    await engine.dispose()


@pytest.mark.parametrize("name", ["connect_timeout", "sslrootcert", "options", "o%1bther"])
def test_parameter_that_the_driver_does_not_know_is_named(name: str) -> None:
    with pytest.raises(StartError, match="a parameter that is not known here: ") as caught:
        open_engine(f"postgresql://u:not.seen@h/n?ssl=require&{name}=1")
    assert "known are gsslib, host, " in caught.value.hint
    assert "not.seen" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "environment", "ssl"),
    [
        ("//u@db.example.net/n", {}, "verify-full"),
        ("//u@192.0.2.7/n", {}, "verify-full"),
        ("//u@[2001:db8::7]/n", {}, "verify-full"),
        ("//u@/n?host=db.example.net", {}, "verify-full"),
        ("//u@/n?host=db.example.net:5433", {}, "verify-full"),
        ("//u@/n?host=/run/postgresql&host=db.example.net", {}, "verify-full"),
        ("//u@/n", {"PGHOST": "db.example.net"}, "verify-full"),
        # A name that only looks like one of this host.
        ("//u@localhost.example.net/n", {}, "verify-full"),
        ("//u@db.example.net/n?ssl=disable", {}, None),
        ("//u@db.example.net/n", {"PGSSLMODE": "require"}, None),
        ("//u@/n", {}, None),
        ("//u@/n", {"PGHOST": "/run/postgresql"}, None),
        ("//u@/n?host=/run/postgresql", {"PGHOST": "db.example.net"}, None),
        ("//u@localhost/n", {}, None),
        ("//u@127.0.0.1/n", {}, None),
        ("//u@[::1]:5433/n", {}, None),
    ],
)
def test_other_hosts_must_prove_who_they_are_unless_it_is_said_otherwise(
    url: str, environment: dict[str, str], ssl: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Without "ssl" the driver does what the URL or the environment says.
    assert connect_args(make_url(f"postgresql+asyncpg:{url}")).get("ssl") == ssl


def test_connections_have_a_name_and_limits_and_notice_a_host_that_is_gone() -> None:
    given = connect_args(make_url("postgresql+asyncpg:///n"))
    assert given["timeout"] == CONNECT_TIMEOUT_S
    settings = given["server_settings"]
    assert isinstance(settings, dict)
    assert settings["application_name"] == "remsim"
    assert int(settings["lock_timeout"]) > 0
    noticed_s = int(settings["tcp_keepalives_idle"]) + 3 * int(settings["tcp_keepalives_interval"])
    assert (settings["tcp_keepalives_count"], noticed_s) == ("3", 30)


def test_parameters_that_are_known_are_the_drivers() -> None:
    assert inspect.signature(asyncpg.connect).parameters.keys() >= postgresql._PARAMETERS

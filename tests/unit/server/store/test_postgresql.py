# SPDX-License-Identifier: Apache-2.0
"""How PostgreSQL is reached: what the driver is told beside the URL."""

import inspect

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy.engine import make_url

from remsim.core.errors import StartError
from remsim.server.store import postgresql
from remsim.server.store.postgresql import CONNECT_TIMEOUT_S, connect_args


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


@pytest.mark.parametrize(
    ("option", "hint"), [("sslmode=verify-full", "write ssl="), ("Host=x", "host"), ("connect_timeout=9", "passfile")]
)
def test_option_that_the_driver_does_not_have_is_refused_by_its_name_alone(option: str, hint: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(StartError, match=f"unknown option '{name}'") as caught:
        connect_args(make_url(f"postgresql+asyncpg://u@db.example.net/n?ssl=require&{option}"))
    assert hint in caught.value.hint
    assert value not in str(caught.value)


def test_options_that_are_taken_are_the_drivers() -> None:
    assert inspect.signature(asyncpg.connect).parameters.keys() >= postgresql._OPTIONS

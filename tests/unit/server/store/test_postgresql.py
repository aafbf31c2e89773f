# SPDX-License-Identifier: Apache-2.0
"""What the URL of a PostgreSQL may say."""

import pytest

from remsim.core.errors import StartError
from remsim.server.store.database import open_engine


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
    assert "known are host, " in caught.value.hint
    assert "not.seen" not in str(caught.value)
    assert "\x1b" not in str(caught.value)

# SPDX-License-Identifier: Apache-2.0
"""Errors that reach a Python program name its arguments; for other checks of them see tests/integration/test_api.py."""

import asyncio
from pathlib import Path
from typing import TypedDict

import pytest

import remsim
from remsim.api.arguments import arguments_named
from remsim.client.core.server_link import NO_NUMBERS
from remsim.core.errors import ConfigError, RemsimError, StartError


class _Arguments(TypedDict, total=False):
    server: str
    client: str
    config: str
    plaintext: str | bool


@pytest.fixture(autouse=True)
def no_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none on this host."""
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME", "REMSIM_TLS_DIR"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "text", "hint"),
    [
        ({"client": "x"}, "client: 'x' is no client slot", "write it as NUMBER:SLOT, for example C1:0 or 1:0"),
        ({"client": "9999:0"}, "client: client id 9999 is outside 0..1023", "see help(remsim.connect)"),
        ({"server": ""}, "server: '' names no port", "write HOST:PORT, for example 127.0.0.1:9998"),
        ({"plaintext": "abc"}, "plaintext: 'abc' is not a network", "write ADDRESS/BITS with no bits set"),
        ({"config": "/nowhere/x"}, "cannot read /nowhere/x", "check the path given with config"),
        ({}, "RSPRO over plain TCP is not allowed", "or allow plain TCP with plaintext=True"),
        (
            {"plaintext": True, "server": "10.1.2.3:9998", "client": "1:0"},
            'is allowed (127.0.0.0/8, ::1/128); see plaintext="NET"',
            'for example plaintext="10.1.2.3"',
        ),
    ],
)
def test_errors_name_arguments(arguments: _Arguments, text: str, hint: str) -> None:
    async def use() -> None:
        async with remsim.connect(**arguments):
            pytest.fail("there is no card")

    with pytest.raises((ConfigError, StartError)) as raised:
        asyncio.run(use())
    assert text in str(raised.value)
    assert hint in raised.value.hint
    assert "--" not in f"{raised.value} {raised.value.hint}"


def test_hint_of_a_missing_card_does_too() -> None:
    with pytest.raises(RemsimError) as raised, arguments_named():
        raise RemsimError("no card within 1 s", hint=NO_NUMBERS)
    assert raised.value.hint == 'the server gives no numbers, so name the client slot (client="ID:SLOT")'


@pytest.mark.parametrize("text", ["see remsim pki --help", "give --state DIR of the server", "--server-side", "a -- b"])
def test_options_that_are_no_arguments_stay(text: str) -> None:
    with pytest.raises(RemsimError) as raised, arguments_named():
        raise RemsimError(text, hint=text)
    assert (str(raised.value), raised.value.hint) == (text, text)

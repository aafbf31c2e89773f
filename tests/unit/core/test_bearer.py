# SPDX-License-Identifier: Apache-2.0
"""Access tokens as HTTP carries them."""

import pytest

from remsim.cli.rest import RestClient
from remsim.core.bearer import bearer
from remsim.core.errors import ConfigError
from remsim.rest import Rest

TOKEN = "remsim_8a475619034e_" + "a" * 52


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f" {TOKEN}\r\n", f"\t{TOKEN} "])
def test_what_stands_around_a_token_is_left_out(text: str) -> None:
    assert bearer(text) == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the access token is empty"),
        (" \n", "the access token is empty"),
        (f"{TOKEN}\nX-Other: 1", "the access token has a character that no token has"),
        (f"{TOKEN[:-1]}\xf6", "the access token has a character that no token has"),
        (f"{TOKEN[:30]} {TOKEN[30:]}", "the access token has a character that no token has"),
        (f"{TOKEN}\0", "the access token has a character that no token has"),
    ],
)
def test_what_no_header_can_hold_is_refused_and_not_shown(text: str, said: str) -> None:
    for use in (
        bearer,
        lambda token: RestClient("127.0.0.1:9", token=token),
        lambda token: Rest("http://127.0.0.1:9", token=token),
    ):
        with pytest.raises(ConfigError) as refused:
            use(text)
        assert str(refused.value) == said
        assert TOKEN[:30] not in f"{refused.value!r} {refused.value.hint}"

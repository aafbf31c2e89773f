# SPDX-License-Identifier: Apache-2.0
"""What a caller shows: the cookie of a session, read before anybody has proven anything."""

import http.cookies
import sys
from collections.abc import Callable
from functools import partial

import pytest
from starlette.types import Scope

from remsim.server.api.judging import cookie_of

NAME = "remsim-9997"


def with_cookies(*headers: str) -> Scope:
    """A request with these headers."""
    raw = [(b"cookie", header.encode("latin-1")) for header in headers]
    return {"type": "http", "scheme": "http", "server": ("127.0.0.1", 9997), "headers": raw}


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], None),
        ([f"{NAME}=abc"], "abc"),
        ([f"a=b; {NAME}=abc ;c=d"], "abc"),
        (["a=b", f"{NAME}=abc"], "abc"),
        ([f"{NAME}=", f"{NAME}=abc"], "abc"),
        ([f"x{NAME}=abc", f"{NAME}x=abc", NAME, ";;=;"], None),
        ([f"remsim-9998=other; {NAME}=a=b"], "a=b"),
        ([f'x="\\\\;{NAME}=abc'], "abc"),
    ],
)
def test_session_is_found_among_other_cookies(headers: list[str], found: str | None) -> None:
    assert cookie_of(with_cookies(*headers)) == found


@pytest.mark.parametrize("unit", ["\\", '\\"', "\\0", ";", "=", '"', f";{NAME}="])
def test_long_cookie_takes_no_time_of_the_standard_library(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise AssertionError("it takes quadratic time in Python 3.11.2, which Debian 12 has")

    monkeypatch.setattr(http.cookies, "_unquote", refuse)
    steps = [calls_of(partial(cookie_of, with_cookies(f'x="{unit * size}"'))) for size in (1000, 2000, 4000)]
    assert steps[2] - steps[1] <= 2.5 * (steps[1] - steps[0]) + 100


def calls_of(work: Callable[[], object]) -> int:
    """How many functions are called, those written in C included."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count

# SPDX-License-Identifier: Apache-2.0
"""Templates to HTML. Everything that a peer or person wrote is escaped, because nothing here is marked as safe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from remsim.server.page import assets, states

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_ABSENT: Final = "–"


@cache
def environment() -> Environment:
    """All templates. Made at the first look at the page: a server that nobody looks at does without."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("remsim.server.page"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["seconds"] = to_seconds
    made.filters["dashed"] = dashed
    made.filters["without_wait"] = without_wait
    made.filters["sentence"] = sentence
    made.filters["ms"] = ms
    made.globals |= {
        "asset": lambda name: assets.asset(name).address,
        "symbols": states.SYMBOLS,
        "meanings": states.MEANINGS,
    }
    return made


def template(name: str) -> Template:
    """One of them."""
    return environment().get_template(name)


def render(name: str, /, **values: object) -> str:
    """One of them, filled in."""
    return template(name).render(**values)


def to_seconds(at: str | None) -> str:
    """A time of v2 without its fraction, so that a moment that is reckoned twice looks the same."""
    return "" if at is None else f"{at[:19]}Z"


def dashed(value: object) -> str:
    """A value, or a dash where there is none."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = ", ".join(str(part) for part in value)
    return _ABSENT if value in (None, "") else str(value)


def sentence(text: str | None) -> str:
    """What stands alone, with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def ms(us: float) -> str:
    """Microseconds in milliseconds, with two digits where it is less than one."""
    return f"{us / 1000:.2f} ms" if us < 1000 else f"{us / 1000:.1f} ms"


def without_wait(reason: str) -> str:
    """A reason without how long somebody has waited, which stands beside it as an age."""
    return re.sub(r"; it has waited for [0-9]+ s", "", reason)

# SPDX-License-Identifier: Apache-2.0
"""Makes docs/limits.md from the tables of limits."""

from collections.abc import Sequence
from typing import Final

from remsim.bankd.limits import LIMITS as BANKD
from remsim.client.limits import LIMITS as CLIENT
from remsim.core.limits import Limit
from remsim.metrics import LIMITS as METRICS
from remsim.net.link_limits import LINE_LIMIT, LINK_LIMITS, LISTENER_LIMITS
from remsim.server.limits import LIMITS as SERVER

#: The table of each program.
PROGRAMS: Final[dict[str, Sequence[Limit]]] = {"server": SERVER, "bankd": BANKD, "client": CLIENT}

_HEAD: Final = """\
# Limits

What others can make a program hold or do, and where that ends. This page is made from the tables in
`remsim/*/limits.py`, `remsim/net/link_limits.py` and `remsim/metrics/__init__.py`; do not edit it, but run
`.venv/bin/python -m tools.generate_docs`.

A peer that reaches a limit loses something; all others continue. Each time is counted in the metric
`remsim_limit_reached_total{limit="NAME"}` of the program, which shows all its limits from the start, with 0. The
numbers are part of the program except where a setting is named; [settings.md](settings.md) explains those.

Not in the tables: that a silent peer is given up ([architecture.md](architecture.md#liveness)); what the protocol
itself bounds, such as the 16 bits of a frame's length and of a message of vpcd; and what operators do to themselves,
such as the length of the shell's history.
"""


def limits_page() -> str:
    """The whole page."""
    shared = {*LINK_LIMITS, *LISTENER_LIMITS, LINE_LIMIT, *METRICS}
    parts = [
        _HEAD,
        _section("Every link, of all programs", LINK_LIMITS),
        _section("Peers that connect to server or bankd", (*LISTENER_LIMITS, LINE_LIMIT)),
        *(
            _section(f"remsim {name}", [limit for limit in table if limit not in shared])
            for name, table in PROGRAMS.items()
        ),
        _section("The metrics port, of all programs", METRICS),
    ]
    return "\n".join(parts)


def _section(title: str, limits: Sequence[Limit]) -> str:
    lines = [f"## {title}", "", "| name | limit | reason | when it is reached |", "|---|---|---|---|"]
    return "\n".join([*lines, *(_row(limit) for limit in limits), ""])


def _row(limit: Limit) -> str:
    settings = ", ".join(f"`{name.strip()}`" for name in limit.setting.split(",") if name)
    value = f"{limit.value_text} ({settings})" if settings else limit.value_text
    return f"| `{limit.name.value}` | {value} | {limit.reason} | {limit.effect} |"

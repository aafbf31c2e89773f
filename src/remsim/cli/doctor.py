# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor``: examine this host and print what is found. Exit status 1 if something is wrong."""

import json as json_module
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from remsim.cli.options import Flag, verb_app

if TYPE_CHECKING:
    from rich.console import Console

    from remsim.doctor.check import CheckResult, Situation

app = verb_app("doctor", "Find out what is wrong with a client host, and how to mend it.")

_STYLES: Final = {"OK": "green", "NOTE": "yellow", "PROBLEM": "bold red"}


@app.default
def doctor(
    *,
    config: Annotated[
        Path | None, Parameter(metavar="FILE.toml", show_default=False, help="The client's configuration.")
    ] = None,
    server: Annotated[
        str | None, Parameter(metavar="HOST:PORT", show_default=False, help="The server, instead of the file's.")
    ] = None,
    vpcd: Annotated[
        str | None, Parameter(metavar="HOST:PORT", show_default=False, help="Look for a virtual reader here.")
    ] = None,
    json: Annotated[Flag, Parameter(help="Print JSON.")] = None,
) -> int:
    """Examine this host: what the client needs, what is wrong, and how to mend it. Changes nothing."""
    import asyncio

    from remsim.doctor.check import CheckOutcome
    from remsim.doctor.configuration import read_situation
    from remsim.logs import setup_logging

    setup_logging(level="warning", log_format="text")
    situation = read_situation(file=config, environ=os.environ, server=server, vpcd=vpcd)
    findings = asyncio.run(_examine(situation, is_json=bool(json)))
    is_ill = any(finding.outcome is CheckOutcome.PROBLEM for finding in findings)
    if json:
        rows = [
            {"check": found.check, "outcome": found.outcome.value, "text": found.text, "mend": found.mend}
            for found in findings
        ]
        print(json_module.dumps({"ok": not is_ill, "findings": rows}, indent=2))
    return int(is_ill)


async def _examine(situation: "Situation", *, is_json: bool) -> "list[CheckResult]":
    from remsim.doctor.check import examine

    console = None if is_json else _console()
    findings = []
    async for finding in examine(situation):
        findings.append(finding)
        if console is not None:
            _show(console, finding)
    return findings


def _console() -> "Console":
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def _show(console: "Console", finding: "CheckResult") -> None:
    from rich.text import Text

    line = Text(f"{finding.outcome.value:<8}", style=_STYLES[finding.outcome.name])
    line.append(f"{finding.check:<14}", style="bold").append(finding.text, style="not bold default")
    console.print(line)
    if finding.mend:
        console.print(Text(f"{'':22}→ {finding.mend}"))

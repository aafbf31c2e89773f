# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor``: examine this host and print what is found. Exit status 1 if something is wrong."""

import asyncio
import json as json_module
import os
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from remsim.cli.options import Flag, command_app
from remsim.doctor.check import Finding, Outcome, Situation, examine
from remsim.doctor.configuration import read_situation
from remsim.logs import setup_logging

app = command_app("doctor", "Find what is wrong with a client host, and how to fix it.")

_STYLES: Final = {Outcome.OK: "green", Outcome.NOTE: "yellow", Outcome.PROBLEM: "bold red"}


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
    setup_logging(level="warning", log_format="text")
    situation = read_situation(file=config, environ=os.environ, server=server, vpcd=vpcd)
    findings = asyncio.run(_examine(situation, is_json=bool(json)))
    is_ill = any(finding.outcome is Outcome.PROBLEM for finding in findings)
    if json:
        rows = [
            {"check": found.check, "outcome": found.outcome.value, "text": found.text, "mend": found.mend}
            for found in findings
        ]
        print(json_module.dumps({"ok": not is_ill, "findings": rows}, indent=2))
    return int(is_ill)


async def _examine(situation: Situation, *, is_json: bool) -> list[Finding]:
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    findings = []
    async for finding in examine(situation):
        findings.append(finding)
        if not is_json:
            _show(console, finding)
    return findings


def _show(console: Console, finding: Finding) -> None:
    line = Text(f"{finding.outcome.value:<8}", style=_STYLES[finding.outcome])
    line.append(f"{finding.check:<14}", style="bold").append(finding.text, style="not bold default")
    console.print(line)
    if finding.mend:
        console.print(Text(f"{'':22}→ {finding.mend}"))

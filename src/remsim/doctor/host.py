# SPDX-License-Identifier: Apache-2.0
"""What every host needs: a clock that is right."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import remsim
from remsim.core.finding import Finding, Outcome
from remsim.doctor.check import Situation
from remsim.net.runtime.commands import output_of

_CLOCK_DEADLINE_S: Final = 3.0


async def check_clock(_situation: Situation) -> Sequence[Finding]:
    """Certificates, logs and traces need the right time; a small board without a battery starts in the past."""
    now = datetime.now(UTC)
    installed = _installed()
    if now < installed:
        text = f"it is {now:%Y-%m-%d %H:%M} UTC here, before this program was installed ({installed:%Y-%m-%d})"
        return [Finding("clock", Outcome.PROBLEM, text, "set the clock: timedatectl set-ntp true")]
    synchronised = await _is_synchronised()
    text = f"{now:%Y-%m-%d %H:%M} UTC"
    if synchronised is False:
        return [Finding("clock", Outcome.NOTE, f"{text}, set by no time server", "timedatectl set-ntp true")]
    return [Finding("clock", Outcome.OK, text + (", set by a time server" if synchronised else ""))]


def _installed() -> datetime:
    return datetime.fromtimestamp(Path(remsim.__file__).stat().st_mtime, UTC)


async def _is_synchronised() -> bool | None:
    """What the system says; None if it cannot be asked."""
    command = ("timedatectl", "show", "--property=NTPSynchronized", "--value")
    said = await output_of(*command, deadline_s=_CLOCK_DEADLINE_S)
    return None if said is None else {b"yes": True, b"no": False}.get(said.strip())

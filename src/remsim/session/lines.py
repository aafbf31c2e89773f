# SPDX-License-Identifier: Apache-2.0
"""What the lines of the modem's slot do to the card: edges count, not levels (rspro.md, 9.4)."""

from dataclasses import dataclass

from remsim.card.reset import ResetKind
from remsim.wire.messages.rspro import SlotPhysStatus


@dataclass(slots=True)
class ResetEdges:
    """Turns the lines of the modem's slot into resets. Both ends of a session follow them alike.

    Fresh for every connection that does not go on with a session: what the previous client left behind would swallow a
    reset.
    """

    vcc: bool = True
    rst: bool = False

    def on_status(self, status: SlotPhysStatus) -> ResetKind | None:
        """The reset that this change of lines asks for, if any."""
        kind = None
        if status.vcc_present is False:
            kind = ResetKind.COLD if self.vcc else None
        elif status.reset_active and not self.rst:
            kind = ResetKind.WARM
        if status.vcc_present is not None:
            self.vcc = status.vcc_present
        self.rst = status.reset_active
        return kind

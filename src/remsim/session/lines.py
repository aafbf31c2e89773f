# SPDX-License-Identifier: Apache-2.0
"""What the lines of the modem's slot do to the card: edges count, not levels (rspro.md, 9.4)."""

from dataclasses import dataclass

from remsim.card.reset import ResetKind


@dataclass(slots=True)
class LineEdges:
    """The lines as they were shown last. Both ends of a session follow them alike."""

    vcc: bool = True
    rst: bool = False

    def on_lines(self, *, reset_active: bool, vcc_present: bool | None) -> ResetKind | None:
        """The reset that these lines ask for, if any. ``vcc_present`` None: it is not known, and stays."""
        kind = None
        if vcc_present is False:
            kind = ResetKind.COLD if self.vcc else None
        elif reset_active and not self.rst:
            kind = ResetKind.WARM
        if vcc_present is not None:
            self.vcc = vcc_present
        self.rst = reset_active
        return kind

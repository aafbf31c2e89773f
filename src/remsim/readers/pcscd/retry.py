# SPDX-License-Identifier: Apache-2.0
"""When a pcscd that was lost is tried again. No I/O; times are those of the caller, in seconds.

Where systemd holds the socket (``pcscd.socket``), connecting is what starts pcscd: after a loss it is done at once, so
that the readers are back as soon as they can be. systemd gives a socket up for good when its service was started five
times within ten seconds (systemd.unit(5), ``StartLimitBurst=``), so a pcscd that dies again and again is tried at
growing intervals. Where nothing listens, connecting starts nothing and costs nothing.
"""

from typing import Final

#: How often it is looked whether anything listens.
ABSENT_S: Final = 0.5
#: Delay before the second attempt at a pcscd that listens and does not stay; it doubles, up to the longest.
FIRST_S: Final = 1.0
MOST_S: Final = 4.0
#: A pcscd that served for so long was well.
STEADY_S: Final = 10.0


class PcscdRetry:
    """The losses of one pcscd."""

    __slots__ = ("_losses", "_served_since")

    def __init__(self) -> None:
        # In a row, of connections that were accepted.
        self._losses = 0
        self._served_since: float | None = None

    def on_served(self, now: float) -> None:
        """It has shown its readers."""
        if self._served_since is None:
            self._served_since = now

    def on_lost(self, now: float, *, was_reached: bool) -> float:
        """It is lost, or could not be had; return the seconds to wait. ``was_reached``: something listened."""
        since, self._served_since = self._served_since, None
        if not was_reached:
            self._losses = 0
            return ABSENT_S
        if since is not None and now - since >= STEADY_S:
            self._losses = 0
        self._losses += 1
        return min(MOST_S, FIRST_S * 2.0 ** (self._losses - 2)) if self._losses > 1 else 0.0

# SPDX-License-Identifier: Apache-2.0
"""What an operator decides about a client slot's session."""

from dataclasses import field

from remsim.card.atr_policy import AtrPolicy
from remsim.core.values import dataclass
from remsim.session.hold import HoldTimes


@dataclass(frozen=True, slots=True)
class AtrOptions:
    """Which ATR the modem sees."""

    #: Shown if the bankd names none, or always if ``keeps_default``.
    default: bytes
    keeps_default: bool
    #: What becomes of the bankd's.
    policy: AtrPolicy
    #: A modem that was shown the default takes note of the true one by a reset of its own, rather than by a card that
    #: is removed and inserted.
    resets_modem: bool


@dataclass(frozen=True, slots=True)
class HoldOptions:
    """What becomes of the session when its link is lost, if the bankd allows it."""

    times: HoldTimes = field(default_factory=HoldTimes)
    #: How long the emulator can keep its modem waiting; None: for any time.
    stall_limit_s: float | None = None

# SPDX-License-Identifier: Apache-2.0
"""Who of the processes of a measurement goes first where processors are few.

What is measured shares them with what would be other machines in earnest. Those who play commands and note the time
go first, so that what they wait for is the programs; those who only make trouble go last.
"""

import os
from typing import Final

#: How far behind: only what the others leave, and off a processor as soon as they want it; or little, but some, also
#: on a machine that has more to do than it can.
BEHIND: Final = ("idle", "low")
_NICE: Final = 10
_REAL_TIME: Final = (os.SCHED_FIFO, os.SCHED_RR)


def step_forward() -> None:
    """Let this process go before the programs, if the measurement was started with a real-time priority (chrt -f)."""
    policy = os.sched_getscheduler(0)
    if policy in _REAL_TIME:
        most = os.sched_get_priority_max(policy)
        own = os.sched_getparam(0).sched_priority
        os.sched_setscheduler(0, policy, os.sched_param(min(most, own + 1)))


def step_aside(how: str) -> None:
    """Let everything else of the measurement go before this process, in one of the ways of ``BEHIND``."""
    policy = os.sched_getscheduler(0)
    if policy in _REAL_TIME:
        os.sched_setscheduler(0, policy, os.sched_param(os.sched_get_priority_min(policy)))
    elif how == "idle":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(_NICE)

# SPDX-License-Identifier: Apache-2.0
"""All limits of ``remsim client`` in one table. See ``remsim.core.limits``.

The client listens for nobody but readers of metrics.
"""

from typing import Final

from remsim.client.scripting.runner import MAX_WAITING
from remsim.core.limits import Limit, LimitName
from remsim.emulators.simtrace2.header import MAX_MESSAGE
from remsim.metrics import LIMITS as METRICS_LIMITS
from remsim.net.link_limits import LINK_LIMITS, RECURRENCE_LIMIT, TRACE_LIMIT

_SLOTS: Final = (
    Limit(
        LimitName.SCRIPT_CALLS,
        MAX_WAITING,
        "calls that wait for the event script of a slot",
        "more wait only if the script hangs",
        "events are left out, and requests that a later one makes obsolete",
    ),
    Limit(
        LimitName.USB_MESSAGE,
        MAX_MESSAGE,
        "bytes",
        "the buffer of a SIMtrace2's firmware; a longer length field is a mistake on the bus",
        "what came is dropped, and the next packet begins afresh",
    ),
)

LIMITS: Final = (*LINK_LIMITS, *_SLOTS, RECURRENCE_LIMIT, TRACE_LIMIT, *METRICS_LIMITS)

# SPDX-License-Identifier: Apache-2.0
"""The event loop that the programs use: uvloop where it is installed."""

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import TypeVar

T = TypeVar("T")


def loop_name() -> str:
    """Which event loop ``run`` uses."""
    return "asyncio" if find_spec("uvloop") is None else "uvloop"


def _factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if loop_name() == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def run(work: Coroutine[object, object, T]) -> T:
    """Run ``work`` to its end."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(work)

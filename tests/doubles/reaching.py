# SPDX-License-Identifier: Apache-2.0
"""Marks tests that reach a limit, so that one test can prove that each limit of each table is reached by some."""

from collections.abc import Callable
from typing import TypeVar

from remsim.core.limits import LimitName

T = TypeVar("T", bound=Callable[..., object])


def reaches(*names: LimitName) -> Callable[[T], T]:
    """The test reaches these limits, sees them counted, and sees that a neighbour goes on.

    The arguments must be written as ``LimitName.X``: they are read from the source.
    """
    assert names

    def mark(test: T) -> T:
        return test

    return mark

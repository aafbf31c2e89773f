# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl warnings``: what is wrong now, since when, and what to do."""

from typing import TYPE_CHECKING

from remsim.cli.ctl import tables
from remsim.cli.ctl.session import Given, dumped
from remsim.core.text import lasting

if TYPE_CHECKING:
    from remsim.rest.warnings import WarningModel


def warnings(*, session: Given) -> int:
    """List what is wrong now, since when, and what to do."""
    from remsim.rest.warnings import list_warnings

    with session.rest.v2() as rest:
        found = list(rest.items(list_warnings()))
    return session.show([dumped(each) for each in found], lambda: tables.print_warnings([_row(each) for each in found]))


def _row(found: "WarningModel") -> list[str]:
    return [found.severity, found.about, found.kind, lasting(found.age_s), found.text, found.hint]

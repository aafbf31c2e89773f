# SPDX-License-Identifier: Apache-2.0
"""What the commands of ``remsim ctl`` get: the way to the server, and whether to print JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from remsim.cli.ctl.tables import TableOf, print_rows
from remsim.cli.rest import RestClient

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


@dataclass(frozen=True)
class CtlSession:
    """A command's way to the server, and whether to print JSON."""

    rest: RestClient
    is_json: bool

    def show(self, value: object, print_table: Callable[[], None]) -> int:
        """Print ``value`` as JSON, or what ``print_table`` makes of it; return the exit status."""
        if self.is_json:
            print(json.dumps(value, indent=2))
        else:
            print_table()
        return 0

    def show_list(self, found: "Sequence[M]", table: TableOf, row: "Callable[[M], list[str]]") -> int:
        """Print a list as JSON, or as this table with a ``row`` for each; return the exit status."""
        return self.show([dumped(each) for each in found], lambda: print_rows(table, [row(each) for each in found]))


def dumped(found: "BaseModel") -> dict[str, object]:
    """An answer of REST v2, as ``--json`` prints it."""
    return found.model_dump(mode="json", exclude_none=True)


#: How a command gets its session: from the options of ``remsim ctl``, not from the words of the command line.
Given = Annotated[CtlSession, Parameter(parse=False)]
IdText = Annotated[str | None, Parameter(show_default=False)]

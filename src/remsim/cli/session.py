# SPDX-License-Identifier: Apache-2.0
"""What the commands of ``remsim ctl`` get: the way to the server, and whether to print JSON."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from remsim.cli.rest import RestClient


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


#: How a command gets its session: from the options of ``remsim ctl``, not from the words of the command line.
Given = Annotated[CtlSession, Parameter(parse=False)]
IdText = Annotated[str | None, Parameter(show_default=False)]

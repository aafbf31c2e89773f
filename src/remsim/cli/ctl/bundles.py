# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl bundle``: diagnostics of a slot in a file that others may read."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from remsim.cli.ctl.session import Given
from remsim.core.errors import RemsimError
from remsim.core.ids import BankSlot, ClientSlot

To = Annotated[
    str | None, Parameter(metavar="FILE", show_default=False, help="Where to (default: remsim-B1-3.tar.gz, here).")
]


def bundle(slot: str, /, *, to: To = None, session: Given) -> int:
    """Write what the server knows of a slot, B1:3 or C7:0, into an archive for a bug report, made anonymous."""
    where = str(ClientSlot.parse(slot.upper()) if slot[:1] in "Cc" else BankSlot.parse(slot.upper()))
    target = Path(f"remsim-{where.replace(':', '-')}.tar.gz" if to is None else to)
    with session.rest.v2() as rest:
        content = rest.bundle(where)
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except OSError as error:
        raise RemsimError(f"cannot write {target}: {error.strerror or error}", hint="see --to FILE") from None
    text = f"{target}: {len(content)} bytes; read it before you pass it on"
    return session.show({"file": str(target), "bytes": len(content)}, lambda: print(text))

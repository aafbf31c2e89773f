# SPDX-License-Identifier: Apache-2.0
"""Files that belong to the user of a service: who examines the host as somebody else is told how to look at them.

Not to be allowed to look is no fault of the host, so this makes notes and no problems.
"""

import os
import pwd
from pathlib import Path

from remsim.core.finding import Finding, Outcome


def is_of_another(path: Path) -> bool:
    """Whether ``path``, or what stands above it if it cannot be seen, belongs to another user who is not root."""
    return _owner(path) not in (None, 0, os.geteuid())


def not_looked_at(path: Path, *, check: str) -> Finding:
    """The finding on a directory or file that this user may not see, or should not judge."""
    owner = _owner(path)
    if owner in (None, os.geteuid()):
        return Finding(check, Outcome.NOTE, f"not looked at: this user may not see {path}", "run this as root")
    name = _name(owner or 0)
    mend = f"run this as its user: sudo -u {name} remsim doctor ..."
    return Finding(check, Outcome.NOTE, f"not looked at: {path} belongs to the user {name}", mend)


def _owner(path: Path) -> int | None:
    for place in (path, *path.absolute().parents):
        try:
            return place.stat().st_uid
        except PermissionError:
            continue
        except OSError:
            # What is not there belongs to nobody.
            return None
    return None


def _name(owner: int) -> str:
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"#{owner}"

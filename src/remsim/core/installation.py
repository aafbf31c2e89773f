# SPDX-License-Identifier: Apache-2.0
"""How to install what is missing: a command that works where this package came from.

Extras bring optional libraries (``pyproject.toml``). ``pip install 'remsim[usb]'`` finds them only if an index has this
package; a package from a checkout is asked for by its folder, and one from a file by the libraries themselves.
"""

import json
import re
import shlex
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

_NAME: Final = "remsim"
_OF_EXTRA: Final = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")

#: pip escapes ASCII characters only, such as blanks, in the folder's URL.
_ESCAPE: Final = re.compile("%([0-7][0-9A-Fa-f])")


def install_command(*extras: str, package: Distribution | None = None) -> str:
    """The command that installs these extras; ``package`` is the one that runs, unless another one is meant."""
    try:
        package = package or distribution(_NAME)
    except PackageNotFoundError:
        return f"install the libraries of the extras {', '.join(extras)}: pyproject.toml lists them"
    wanted = f"[{','.join(extras)}]"
    origin = package.read_text("direct_url.json")
    if origin is None:
        return install_packages(f"{_NAME}{wanted}")
    folder, is_editable = _folder(origin)
    if folder is None:
        return install_packages(*_libraries(package, extras))
    return install_packages(f"{folder}{wanted}", is_editable=is_editable)


def install_packages(*names: str, is_editable: bool = False) -> str:
    """The command that installs packages into the environment of this program."""
    words = [sys.executable or "python3", "-m", "pip", "install", *(["-e"] if is_editable else []), *names]
    return shlex.join(words)


def _folder(origin: str) -> tuple[Path | None, bool]:
    """The folder that a package was installed from, if it is there, and whether it is used in place (PEP 610)."""
    try:
        facts: object = json.loads(origin)
    except ValueError:
        return None, False
    if not isinstance(facts, dict) or not isinstance(facts.get("dir_info"), dict):
        return None, False
    url = str(facts.get("url"))
    folder = Path(_ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), url.removeprefix("file://")))
    is_there = url.startswith("file:///") and (folder / "pyproject.toml").is_file()
    return (folder if is_there else None), facts["dir_info"].get("editable") is True


def _libraries(package: Distribution, extras: tuple[str, ...]) -> list[str]:
    found: dict[str, None] = {}
    for requirement in package.requires or ():
        name, _, marker = requirement.partition(";")
        extra = _OF_EXTRA.search(marker)
        if extra is not None and extra[1] in extras:
            found[name.strip()] = None
    return list(found)

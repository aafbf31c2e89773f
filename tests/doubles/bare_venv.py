# SPDX-License-Identifier: Apache-2.0
"""A virtual environment into which the package is installed as on a host that has no compiler, without a package index.

The wheels are those that ``tools/setup.sh`` has installed for the tests, packed again: of ``requirements/check.txt``,
which is installed from wheels only. What that file does not list, such as pyscard, cannot be had, just as there is no
wheel of it in the index.
"""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path, PurePath
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.reference import ROOT

_PINNED: Final = ROOT / "requirements" / "check.txt"
_PIN: Final = re.compile(r"^([\w.-]+)==", re.MULTILINE)
#: What pip writes at the installation; no part of a wheel.
_BY_PIP: Final = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"})


def install_bare(folder: Path, *extras: str) -> Path:
    """Install the package, as built from this checkout, with ``extras``; return the folder of its programs.

    Raises CalledProcessError, with pip's words in ``stderr``, if anything but wheels would be needed.
    """
    wheels, bare, empty = folder / "wheels", folder / "bare", folder / "empty"
    empty.mkdir()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, text=True)
    (ours,) = wheels.iterdir()
    for package in _closure([Requirement(line) for line in distribution("remsim").requires or ()], set(extras)):
        _pack(package, wheels)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    wanted = f"{ours}[{','.join(extras)}]" if extras else str(ours)
    options = ["--isolated", "--no-index", "--find-links", str(wheels), "--only-binary", ":all:", "--no-compile"]
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(bare / "bin" / "python"), "install", *options, wanted],
        # No compiler, no swig: there are no programs at all.
        env={"PATH": str(empty), "HOME": str(empty), "PIP_CONFIG_FILE": "/dev/null"},
        check=True,
        capture_output=True,
        text=True,
    )
    return bare / "bin"


def _closure(wanted: Iterable[Requirement], extras: set[str]) -> list[Distribution]:
    """The installed packages that these requirements lead to and that are pinned."""
    pinned = {canonicalize_name(name) for name in _PIN.findall(_PINNED.read_text(encoding="utf-8"))}
    found: dict[str, Distribution] = {}
    waiting = [(requirement, extras) for requirement in wanted]
    while waiting:
        requirement, given = waiting.pop()
        name = canonicalize_name(requirement.name)
        is_meant = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in (given or {""})
        )
        if not is_meant or name not in pinned or name in found:
            continue
        found[name] = distribution(name)
        waiting += [(Requirement(line), requirement.extras) for line in found[name].requires or ()]
    return list(found.values())


def _pack(package: Distribution, folder: Path) -> None:
    """Make a wheel of an installed package (PEP 427); its programs are made anew from its entry points."""
    tag = re.search(r"^Tag: (\S+)$", package.read_text("WHEEL") or "", re.MULTILINE)
    assert tag is not None, package.name
    name = re.sub(r"[-_.]+", "_", package.name)
    with zipfile.ZipFile(folder / f"{name}-{package.version}-{tag[1]}.whl", "w") as wheel:
        records = []
        for path in _files(package):
            wheel.write(Path(str(package.locate_file(path))), str(path))
            records.append(f"{path},,")
        info = next(path.parent for path in _files(package) if path.name == "METADATA")
        wheel.writestr(f"{info}/RECORD", "\n".join([*records, f"{info}/RECORD,,", ""]))


def _files(package: Distribution) -> Iterator[PurePath]:
    for path in package.files or ():
        is_outside = path.parts[0] == ".."
        if not is_outside and path.suffix != ".pyc" and path.name not in _BY_PIP:
            yield path

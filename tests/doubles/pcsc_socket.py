# SPDX-License-Identifier: Apache-2.0
"""Lets PC/SC of this very process talk to the pcscd in a test's namespaces.

libpcsclite reads the path of its socket from the environment once and remembers it, so it is given a symbolic link
that follows the namespace of the running test.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.doubles.pcscd import PcscdNamespace

_links: list[Path] = []


def _link() -> Path:
    if not _links:
        folder = Path(tempfile.mkdtemp(prefix="remsim-pcsc-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _links.append(folder / "pcscd.comm")
        os.environ["PCSCLITE_CSOCK_NAME"] = str(_links[0])
    return _links[0]


def pcsc_through(namespace: PcscdNamespace) -> AbstractContextManager[None]:
    """While it lasts, PC/SC in this process means the pcscd in ``namespace``."""
    return pcsc_at(namespace.socket)


@contextmanager
def pcsc_at(socket: Path) -> Iterator[None]:
    """While it lasts, PC/SC in this process means the pcscd at ``socket``."""
    link = _link()
    link.symlink_to(socket)
    try:
        yield
    finally:
        link.unlink()

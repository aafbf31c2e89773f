# SPDX-License-Identifier: Apache-2.0
"""Recorded facts that the tests are held against, and the stand-ins that tests and benches are measured with.

``vectors``, ``traces`` and ``tools`` lie beside this file; each has a README that says how its contents were made. A
missing file is a failure and never a reason to skip: a suite that has nothing to compare with proves nothing.
"""

from pathlib import Path

#: The repository's root.
ROOT = Path(__file__).resolve().parent.parent.parent

_HERE = Path(__file__).resolve().parent


def reference(*parts: str) -> Path:
    """A file or folder of the reference: ``reference("vectors", "rspro", "messages.json")``.

    May be called while a module is collected, for ``parametrize``. Fails the test if it does not exist.
    """
    path = _HERE.joinpath(*parts)
    if not path.exists():
        # Programs that tests and benches start look for their files here, too: it would be a fifth of their start.
        import pytest

        pytest.fail(f"tests/reference has no {'/'.join(parts)}", pytrace=False)
    return path

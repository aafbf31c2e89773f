# SPDX-License-Identifier: Apache-2.0
"""Where the captured vectors and traces lie that the tests are held against.

They are kept beside the repository, in ``../shared``; the environment's ``REMSIM_SHARED`` names another place. Their
absence is a failure and never a reason to skip: a suite that has nothing to compare with proves nothing.
"""

import os
from pathlib import Path

import pytest

#: The repository's root.
ROOT = Path(__file__).resolve().parent.parent


def shared_root() -> Path:
    """The folder with ``vectors``, ``traces`` and ``protocol``. Fails the test (or the collection) if it is missing."""
    root = Path(os.environ.get("REMSIM_SHARED") or ROOT.parent / "shared").resolve()
    if not (root / "vectors").is_dir():
        pytest.fail(
            f"no vectors under {root}: put the reference folder there, or name it in REMSIM_SHARED", pytrace=False
        )
    return root


def shared(*parts: str) -> Path:
    """A file or folder below the reference folder: ``shared("vectors", "rspro", "messages.json")``.

    May be called while a module is collected, for ``parametrize``. Fails if it does not exist.
    """
    path = shared_root().joinpath(*parts)
    if not path.exists():
        pytest.fail(f"the reference folder has no {'/'.join(parts)}", pytrace=False)
    return path

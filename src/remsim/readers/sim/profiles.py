# SPDX-License-Identifier: Apache-2.0
"""Where profiles of the software UICC come from: shipped ones by name, others by the path of their file."""

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

from remsim.config.files import TextError, read_text
from remsim.core.errors import reason_of
from remsim.uicc.errors import ProfileError
from remsim.uicc.profile.model import Profile
from remsim.uicc.profile.toml import parse_profile

_SUFFIX: Final = ".toml"


def profile_names() -> list[str]:
    """Names of the shipped profiles."""
    folder = resources.files("remsim.uicc").joinpath("profiles")
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in folder.iterdir() if entry.name.endswith(_SUFFIX))


@lru_cache(maxsize=16)
def load_profile(name: str) -> Profile:
    """The shipped profile ``name``, or the one in the file ``name`` if that is a path (has a slash or ends in .toml).

    Raises ProfileError if there is none or it cannot be used. Profiles are shared: they never change.
    """
    try:
        if "/" in name or name.endswith(_SUFFIX):
            text = read_text(Path(name))
        elif name in profile_names():
            text = resources.files("remsim.uicc").joinpath("profiles", name + _SUFFIX).read_text(encoding="utf-8")
        else:
            raise ProfileError(f"there is no card profile {name!r}", hint=f"shipped: {', '.join(profile_names())}")
    except (OSError, TextError) as error:
        raise ProfileError(f"cannot read card profile {name}: {reason_of(error)}") from error
    return parse_profile(text)

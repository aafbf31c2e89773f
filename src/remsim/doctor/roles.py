# SPDX-License-Identifier: Apache-2.0
"""Which programs this host is for: by the file that is named, the services configured, the state that is there."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from remsim.config import (
    AUTHORITY_NAME,
    CREDENTIALS_NAME,
    BankdConfig,
    ClientConfig,
    ClientRunConfig,
    ClientVpcdConfig,
    CommonConfig,
    ServerConfig,
    default_state_dir,
    read_toml,
)
from remsim.core.errors import ConfigError
from remsim.core.identity import Role
from remsim.core.values import dataclass

PROGRAMS: Final = {Role.CLIENT: "client", Role.BANK: "bankd", Role.SERVER: "server"}
_MODELS: Final[dict[Role, tuple[type[CommonConfig], ...]]] = {
    Role.CLIENT: (ClientRunConfig, ClientVpcdConfig, ClientConfig),
    Role.BANK: (BankdConfig,),
    Role.SERVER: (ServerConfig,),
}
#: Where the packaged units have settings and state.
SETTINGS: Final = Path("/etc/remsim")
STATES: Final = Path("/var/lib")
_DATABASE_NAME: Final = "server.sqlite"


@dataclass(frozen=True, slots=True)
class Place:
    """One program of this host. ``why`` is for people."""

    role: Role
    why: str
    config: Path | None = None
    #: Its state directory, where that is not the default one of this user.
    state: Path | None = None


def role_of_file(values: Mapping[str, object]) -> Role:
    """Whose settings these are: those of the program that knows most of the keys; of the client if two know as many."""
    if isinstance(slots := values.get("slot"), list):
        keys = {key for slot in slots if isinstance(slot, dict) for key in slot}
        if keys & {"emulator", "client"}:
            return Role.CLIENT
        if keys & {"reader", "pattern"}:
            return Role.BANK
    known = {role: max(len(values.keys() & set(one.model_fields)) for one in _MODELS[role]) for role in _MODELS}
    return max(known, key=lambda role: known[role])


def find_places(
    environ: Mapping[str, str], *, file: Path | None = None, settings: Path = SETTINGS, states: Path = STATES
) -> list[Place]:
    """The programs of this host, at least one. A file that is named decides alone. Never raises."""
    if file is None and environ.get("REMSIM_CONFIG"):
        file = Path(environ["REMSIM_CONFIG"])
    if file is not None:
        role = Role.CLIENT
        with contextlib.suppress(ConfigError):
            role = role_of_file(read_toml(file))
        return [Place(role, str(file), file)]
    found = [place for role in Role for place in _places_of(role, environ, settings, states)]
    return found or [Place(Role.CLIENT, "nothing is configured here")]


def place_of(
    role: Role,
    environ: Mapping[str, str],
    *,
    file: Path | None = None,
    settings: Path = SETTINGS,
    states: Path = STATES,
) -> Place:
    """The program of this role on this host, whether or not anything of it is there."""
    if file is not None:
        return Place(role, str(file), file)
    return next(iter(_places_of(role, environ, settings, states)), Place(role, "as asked"))


def _places_of(role: Role, environ: Mapping[str, str], settings: Path, states: Path) -> list[Place]:
    own = _own_states(role, environ)
    if own:
        return [Place(role, str(state), state=state) for state in own]
    config = settings / f"{PROGRAMS[role]}.toml"
    state = states / f"remsim-{PROGRAMS[role]}"
    has_config, has_state = _is_there(config), _is_there(state)
    if has_config or has_state:
        why = str(config if has_config else state)
        return [Place(role, why, config if has_config else None, state if has_state else None)]
    return []


def _own_states(role: Role, environ: Mapping[str, str]) -> list[Path]:
    """This user's state directories of the program in which there is something: one for each bank."""
    try:
        folder = default_state_dir("bank-1" if role is Role.BANK else role.value, environ)
    except ConfigError:
        return []
    candidates = [folder]
    if role is Role.BANK and not environ.get("STATE_DIRECTORY"):
        with contextlib.suppress(OSError):
            # Banks on one host keep apart by their number.
            candidates += sorted(place for place in folder.parent.glob("bank-*") if place != folder)
    marks = (CREDENTIALS_NAME, *((AUTHORITY_NAME, _DATABASE_NAME) if role is Role.SERVER else ()))
    if role is Role.BANK:
        marks = (*marks, "slots.json", "certified.json")
    return [place for place in candidates if any(_is_there(place / mark) for mark in marks)]


def _is_there(path: Path) -> bool:
    """Whether it exists; what this user must not see does."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True

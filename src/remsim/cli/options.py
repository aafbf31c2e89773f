# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and the way from options to a frozen configuration.

Options are taken as text: ranges, types and contradictions are judged in ``remsim.config``, so that a bad value is
told in the same words whether it stands on the command line, in the environment or in a file.

``remsim.config`` is imported by the commands, neither here nor at the top of their modules: where pydantic is there
while words are parsed, cyclopts makes a validator of each option with it, which takes a tenth of a start.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from cyclopts import App, Parameter

from remsim import __version__
from remsim.core.errors import ConfigError

if TYPE_CHECKING:
    from remsim.config import CommonConfig

C = TypeVar("C", bound="CommonConfig")

#: Settings whose option has another name.
_KEYS: Final = {"tls": "tls_dir"}

#: An option that is only there or not; a file or the environment can say true or false.
Flag = Annotated[bool | None, Parameter(negative=(), show_default=False)]


def repeatable(metavar: str) -> Parameter:
    """Return the parameter of an option that may be given several times."""
    return Parameter(metavar=metavar, negative=(), show_default=False)


def _text(text: str, metavar: str) -> Parameter:
    return Parameter(help=text, metavar=metavar, show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every command takes."""

    config: Annotated[str | None, _text("TOML file with settings; options override it.", "FILE.toml")] = None
    log_level: Annotated[str | None, _text("debug, info, warning or error.", "LEVEL")] = None
    log_format: Annotated[str | None, _text("text or json, one line per event.", "FORMAT")] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DaemonOptions(CommonOptions):
    """What server, bankd and client take."""

    metrics: Annotated[str | None, _text("Serve Prometheus metrics here.", "HOST:PORT")] = None
    name: Annotated[str | None, _text("Name shown to peers (default: the host name).", "NAME")] = None
    plaintext: Annotated[
        str | None,
        _text("Allow RSPRO over plain TCP from these networks; without a value, from loopback.", "[=NET,...]"),
    ] = None
    tls: Annotated[str | None, _text("Key and certificate are here (default: tls in the state directory).", "DIR")] = (
        None
    )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RestOptions:
    """What commands take that ask a server, besides what every command takes."""

    rest: Annotated[str | None, _text("The server's REST interface (default: port 9997 of this host).", "URL")] = None
    authority: Annotated[
        str | None,
        _text("Use https, and accept only a server of this authority; the server's own host finds it.", "FILE"),
    ] = None


#: A password in a URL: of a user, with whatever characters SQLAlchemy takes for a part of it, or as a parameter.
_PASSWORD: Final = re.compile(r"^[^/]*://[^/:]*:[^@]+@|[?&]password=")

#: For default arguments: nothing was given.
NO_COMMON_OPTIONS: Final = CommonOptions()
NO_REST_OPTIONS: Final = RestOptions()
NO_DAEMON_OPTIONS: Final = DaemonOptions()


def resolve(model: type[C], common: CommonOptions, /, **given: object) -> C:
    """Return the configuration from file, environment and these options. Raises ConfigError."""
    from remsim.config import load_config

    _refuse_password(given.get("database"))
    options = {_KEYS.get(key, key): value for key, value in vars(common).items() if key != "config"}
    return load_config(
        model,
        options=options | given,
        environ=os.environ,
        file=Path(common.config) if common.config is not None else None,
    )


def _refuse_password(url: object) -> None:
    """Options are shown to every user of the host, by ps for example. Raises ConfigError."""
    if isinstance(url, str) and _PASSWORD.search(url):
        raise ConfigError(
            "the URL given with --database has a password in it, which every user of this host could read",
            hint="write the URL as database in the configuration file or to REMSIM_DATABASE, or the password alone to "
            "~/.pgpass",
        )


def command_app(name: str, text: str) -> App:
    """Return the cyclopts App of ``remsim NAME``."""
    return App(name=f"remsim {name}", help=text, version=__version__, help_format="plaintext")

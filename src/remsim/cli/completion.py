# SPDX-License-Identifier: Apache-2.0
"""Completion of commands and options in a shell: its script, shown or installed. Imports all commands, runs none."""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, cast, get_args

from cyclopts import App

from remsim.core.errors import ConfigError

Shell = Literal["bash", "zsh", "fish"]
SHELLS: Final[tuple[str, ...]] = get_args(Shell)


def _shell(text: str) -> Shell:
    if text not in SHELLS:
        raise ConfigError(f"{text!r} is no shell that is known", hint=f"shells are {', '.join(SHELLS)}")
    return cast(Shell, text)


def _everything(commands: Iterable[str]) -> App:
    """All commands as one, which is never run."""
    root = App(name="remsim")
    for name in commands:
        module = importlib.import_module(f"remsim.cli.{name}")
        # Where options stand before a command, too, the commands are beside the application.
        root.command(getattr(module, "commands", module.app), name=name)
    return root


#: What is generated for zsh defines a function of this name. That is enough for a file of the same name, whose first
#: use calls it; not for one that is called _remsim, as is usual, or that is read by ``source``.
_ZSH_FUNCTION: Final = "_cyclopts_remsim"
_ZSH_END: Final = f"""
if [[ $funcstack[1] == (_remsim|{_ZSH_FUNCTION}) ]]; then
  {_ZSH_FUNCTION} "$@"
elif (( $+functions[compdef] )); then
  compdef {_ZSH_FUNCTION} remsim
fi
"""


def script(shell: str, commands: Iterable[str]) -> str:
    """The completion script for a shell. Raises ConfigError."""
    known = _shell(shell)
    text = _everything(commands).generate_completion(prog_name="remsim", shell=known)
    return f"{text.rstrip()}\n{_ZSH_END}" if known == "zsh" else text


def install(shell: str, commands: Iterable[str]) -> Path:
    """Write it where the shell finds it, for this user; returns the file. Raises ConfigError and OSError."""
    return _everything(commands).install_completion(shell=_shell(shell), add_to_startup=True)

# SPDX-License-Identifier: Apache-2.0
"""``remsim``: finds the command, hands it the other words, and turns every outcome into an exit status.

0: done; 1: failed; 2: the command line or the configuration is wrong; 128 + n: ended by signal n. A command's module is
imported only when the command is used, so that a client on a small board needs none of the server's libraries. This
module imports next to nothing: ``remsim --help`` needs no more, and every command pays for what stands here.
"""

import contextlib
import difflib
import gc
import importlib
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Final

from remsim import __version__
from remsim.core.errors import RemsimError
from remsim.net.runtime.report import SIGNAL_EXIT_BASE, report_error, say_error

#: Each command has a module or package ``remsim.cli.<command>`` with an ``app``.
COMMANDS: Final = {
    "demo": "Watch a modem's start-up being served by a card somewhere else.",
    "server": "Run the server: mappings, RSPRO and REST.",
    "bankd": "Run a bank of SIM cards.",
    "client": "Use cards of a bank: emulators, virtual reader, shell or script.",
    "ctl": "Look at banks, clients and mappings of a server, and change mappings.",
    "trace": "Watch the commands at a slot live: decoded, as JSON, or for Wireshark.",
    "top": "See banks, clients, cards and problems of a server, live.",
    "token": "Make, list and revoke access tokens for the server's REST interface.",
    "doctor": "Find what is wrong with this host, and how to fix it.",
    "uicc": "Run a software card.",
    "pki": "Create an authority, issue, renew and revoke certificates, make enrolment codes.",
    "enroll": "Get a certificate for this host from the server, or renew it.",
}

#: Which extra brings a library that is missing; by the command that was called.
_EXTRAS: Final = {
    "server": "server,pki",
    "token": "server",
    "pki": "pki",
    "bankd": "pyscard,sim",
    "uicc": "sim",
    "demo": "server,sim",
    "top": "top",
}

_ROOT_OPTIONS: Final = {
    "--help (-h)": "Show this text.",
    "--version": "Show the version.",
    "--install-completion SHELL": "Let bash, zsh or fish complete commands and options.",
    "--show-completion SHELL": "Print the script for that.",
}
_HELP_WIDTH: Final = 80

USAGE_STATUS: Final = 2
#: What is imported stays: to look through it for garbage takes a tenth of the start. No start makes as many objects.
_START_GC_THRESHOLDS: Final = (500_000, 20, 50)


class CommandLineError(RemsimError):
    """The words of a command line cannot be understood."""

    exit_status = USAGE_STATUS


def main(tokens: Sequence[str] | None = None) -> int:
    """Run ``remsim`` with the words behind its name and return the exit status."""
    words = own_words() if tokens is None else list(tokens)
    if not words or words[0] in ("-h", "--help"):
        return guarded("remsim", lambda: _print(root_help()))
    if words[0] == "--version":
        return guarded("remsim", lambda: _print(__version__))
    if words[0] in ("--install-completion", "--show-completion"):
        return guarded("remsim", lambda: _complete(words[0], words[1:]))
    command = words[0]
    if command.startswith("-"):
        say_error(f"unknown option {command}", hint="name a command first; see remsim --help")
        return USAGE_STATUS
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"commands are {', '.join(COMMANDS)}"
        say_error(f"there is no command {command!r}", hint=hint)
        return USAGE_STATUS
    rest = expand_bare_plaintext(words[1:])
    return guarded(command, lambda: _run_for_program(command, rest) if _asks_for_json(rest) else _run(command, rest))


def own_words() -> list[str]:
    """Return the words behind the program's name, of a process that has just started for them."""
    gc.set_threshold(*_START_GC_THRESHOLDS)
    # pydantic would look for plug-ins of its own in all packages that are installed here. None has a part in this.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    return sys.argv[1:]


def guarded(program: str, work: Callable[[], int]) -> int:
    """Run ``work``; whatever it raises becomes one line on stderr and an exit status."""
    try:
        status = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return SIGNAL_EXIT_BASE + signal.SIGINT
    except BrokenPipeError:
        return on_closed_output()
    except ModuleNotFoundError as error:
        if (error.name or "remsim").partition(".")[0] == "remsim":
            return report_error(error, program=program)
        from remsim.core.installation import install_command

        extras = _EXTRAS.get(program, "all").split(",")
        say_error(f"{error.name} is not installed", hint=f"install it: {install_command(*extras)}", program=program)
        return RemsimError.exit_status
    except Exception as error:  # noqa: BLE001  # the top of the process: nothing may end as a bare traceback
        return report_error(error, program=program)
    return status


def expand_bare_plaintext(words: Sequence[str]) -> list[str]:
    """Give ``--plaintext`` without networks a value, because the parser knows no optional ones."""
    end = words.index("--") if "--" in words else len(words)
    return ["--plaintext=true" if word == "--plaintext" else word for word in words[:end]] + list(words[end:])


def root_help() -> str:
    """Return what ``remsim --help`` shows. Only the commands are named: none is imported."""
    lines = ["Usage: remsim COMMAND", "", "Remote SIM: use SIM cards in one place from modems in another."]
    for title, entries in (("Commands", sorted(COMMANDS.items())), ("Options", list(_ROOT_OPTIONS.items()))):
        lines += ["", f"{title}:"]
        for name, text in entries:
            lines += textwrap.wrap(text, _HELP_WIDTH, initial_indent=f"  {name:<12} ", subsequent_indent=" " * 15)
    return "\n".join([*lines, "", "remsim COMMAND --help shows the options of a command."])


def _complete(option: str, words: Sequence[str]) -> int:
    """Show or install a shell's completion. Raises CommandLineError."""
    shell = words[0] if words else os.environ.get("SHELL", "").rpartition("/")[2]
    if len(words) > 1:
        raise CommandLineError(f"{option} takes one shell", hint="write for example remsim --install-completion bash")
    # It imports the parser and all commands.
    from remsim.cli import completion

    if option == "--show-completion":
        return _print(completion.script(shell, COMMANDS))
    return _print(f"wrote {completion.install(shell, COMMANDS)}; begin a new shell to use it")


def _print(text: str) -> int:
    print(text)
    return 0


def _run(command: str, words: Sequence[str]) -> int:
    """Let the command's parser judge the words and call what they mean. Raises UsageError, and what that raises."""
    from cyclopts import App, CycloptsError, UnusedCliTokensError

    app = importlib.import_module(f"remsim.cli.{command}").app
    if not isinstance(app, App):
        raise TypeError(f"remsim.cli.{command}.app is no cyclopts.App")
    try:
        result = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        chain = [word for word in (command, *(error.command_chain or ())) if word not in ("remsim", "")]
        hint = f"see {' '.join(['remsim', *dict.fromkeys(chain)])} --help"
        left = error.unused_tokens if isinstance(error, UnusedCliTokensError) else ()
        text = f"unexpected: {' '.join(left)}" if left else _in_one_line(str(error))
        raise CommandLineError(text, hint=hint) from None
    return result if isinstance(result, int) else 0


def _in_one_line(text: str) -> str:
    text = " ".join(text.split())
    if text.endswith("..."):
        # The first few of many commands would read as all there are; the help lists them.
        text = text.partition(" Available commands:")[0]
    return text.rstrip("., ")


def _asks_for_json(words: Sequence[str]) -> bool:
    end = words.index("--") if "--" in words else len(words)
    return "--json" in words[:end]


def _run_for_program(command: str, words: Sequence[str]) -> int:
    """Like ``_run``, for a program that reads JSON: errors are JSON, too, on stdout."""
    try:
        return _run(command, words)
    except RemsimError as error:
        import json

        print(json.dumps(error.as_object()))
        return error.exit_status


def on_closed_output() -> int:
    """The reader of our output has left, as ``head`` does. Python must not complain about it again at exit."""
    with contextlib.suppress(OSError):
        output = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)
    return RemsimError.exit_status

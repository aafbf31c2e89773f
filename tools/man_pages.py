# SPDX-License-Identifier: Apache-2.0
"""Manual pages for ``man``, made from the commands themselves: one for each command of ``remsim``.

roff as man(7) has it. Files go to ``packaging/man``; the wheel brings them to ``share/man/man1``.
"""

import importlib
import inspect
from collections.abc import Iterator
from typing import Final

from cyclopts import App
from cyclopts.argument import Argument
from docstring_parser import parse

from remsim import __version__
from remsim.cli.main import COMMANDS

#: What the exit status of every command means; as ``remsim.cli.main`` has it.
_STATUS: Final = (("0", "done"), ("1", "failed"), ("2", "the command line or the configuration is wrong"))
_ENVIRONMENT: Final = (
    ("REMSIM_TOKEN", "the access token for a server's REST interface"),
    ("REMSIM_…", "each setting, by its name in capitals; options override it, it overrides the file"),
)
#: The programs that are started by names of their own, too, and what to read of that.
_CLASSIC: Final = {
    "server": "remsim-server",
    "bankd": "remsim-bankd",
    "client": "remsim-client-st2 and remsim-client-shell",
    "ctl": "remsim-apitool",
}


def page_names() -> list[str]:
    """The pages there are: ``remsim.1`` and one for each command."""
    return ["remsim.1", *(f"remsim-{command}.1" for command in COMMANDS)]


def man_page(name: str) -> str:
    """The text of one page."""
    title = name.removesuffix(".1")
    if title == "remsim":
        return "".join(f"{line}\n" for line in _root())
    return "".join(f"{line}\n" for line in _command(title.removeprefix("remsim-")))


def _head(title: str, summary: str) -> Iterator[str]:
    yield '.\\" SPDX-License-Identifier: Apache-2.0'
    yield f'.TH {title.upper()} 1 "" "remsim {__version__}" "remsim"'
    yield ".SH NAME"
    yield f"{_text(title)} \\- {_text(summary)}"


def _root() -> Iterator[str]:
    yield from _head("remsim", "use SIM cards in one place from modems in another")
    yield ".SH SYNOPSIS"
    yield ".B remsim"
    yield ".I COMMAND"
    yield "[options]"
    yield ".SH DESCRIPTION"
    yield "A modem sits in one place, its SIM card in another; remsim joins them over a network."
    yield "Each command has a page of its own."
    yield ".SH COMMANDS"
    for name, summary in sorted(COMMANDS.items()):
        yield ".TP"
        yield f".BR remsim\\-{name} (1)"
        yield _text(summary)
    yield from _foot()


def _command(name: str) -> Iterator[str]:
    app = _app_of(name)
    summary = COMMANDS[name].rstrip(".")
    yield from _head(f"remsim-{name}", summary[0].lower() + summary[1:])
    # What is called with the words of ``remsim ctl`` only hands them on to the real commands.
    commands = _own_commands(getattr(importlib.import_module(f"remsim.cli.{name}"), "commands", app))
    yield ".SH SYNOPSIS"
    if app.default_command is not None or not commands:
        yield from _synopsis(name, app)
    for words, command in _walk(commands):
        yield ".br"
        yield from _synopsis(f"{name} {words}", command)
    if app.default_command is not None:
        yield ".SH DESCRIPTION"
        yield from _description(app)
        yield from _arguments(app, ".SH OPTIONS")
    if commands:
        yield ".SH COMMANDS"
        for words, command in _walk(commands):
            yield f".SS {_text(f'{name} {words}')}"
            yield from _description(command)
            yield from _arguments(command, None)
    yield from _foot(_CLASSIC.get(name))


def _foot(classic: str | None = None) -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for value, meaning in _STATUS:
        yield ".TP"
        yield f".B {value}"
        yield meaning
    yield ".SH ENVIRONMENT"
    for variable, meaning in _ENVIRONMENT:
        yield ".TP"
        yield f".B {_text(variable)}"
        yield meaning
    yield ".SH SEE ALSO"
    if classic is not None:
        yield f"Under the name {_text(classic)}, the same program takes the options of the C suite."
        yield ".br"
    yield "The manual, in the folder docs of the source."


def _app_of(name: str) -> App:
    app = importlib.import_module(f"remsim.cli.{name}").app
    if not isinstance(app, App):
        raise TypeError(f"remsim.cli.{name}.app is no cyclopts.App")
    return app


def _own_commands(app: App) -> dict[str, App]:
    return {name: app[name] for name in app if not name.startswith("-")}


def _walk(commands: dict[str, App], before: str = "") -> Iterator[tuple[str, App]]:
    seen: set[int] = set()
    for name, command in commands.items():
        if id(command) in seen:
            # A second name of the same.
            continue
        seen.add(id(command))
        if command.default_command is not None:
            yield f"{before}{name}", command
        yield from _walk(_own_commands(command), f"{before}{name} ")


def _shown(app: App) -> list[Argument]:
    return [argument for argument in app.assemble_argument_collection() if argument.show]


def _synopsis(words: str, app: App) -> Iterator[str]:
    yield f".B remsim {_text(words)}"
    for argument in _shown(app):
        if not argument.name.startswith("-"):
            several = "\\|.\\|.\\|." if argument.field_info.kind is inspect.Parameter.VAR_POSITIONAL else ""
            shown = f"\\fI{_text(argument.name)}\\fR{several}"
            yield shown if argument.required else f"[{shown}]"
    yield "[options]"


def _description(app: App) -> Iterator[str]:
    found = parse(inspect.getdoc(app.default_command) or "")
    for text in (found.short_description, found.long_description):
        if text:
            for paragraph in text.split("\n\n"):
                yield ".PP"
                yield _text(" ".join(paragraph.split()))


def _arguments(app: App, heading: str | None) -> Iterator[str]:
    found = parse(inspect.getdoc(app.default_command) or "")
    told = {each.arg_name: each.description or "" for each in found.params}
    shown = _shown(app)
    if shown and heading is not None:
        yield heading
    for argument in shown:
        help_text = argument.parameter.help or told.get(argument.field_info.name, "")
        if not (help_text or argument.name.startswith("-")):
            # The text above has it by its name.
            continue
        yield ".TP"
        value = _value_of(argument)
        names = ", ".join(f"\\fB{_text(name)}\\fR" for name in argument.names)
        yield f"{names} \\fI{_text(value)}\\fR" if value else names
        yield _text(" ".join(help_text.split())) or "\\&"


def _value_of(argument: Argument) -> str:
    if not argument.name.startswith("-") or argument.hint in (bool, bool | None):
        return ""
    metavar = argument.parameter.metavar
    return metavar if isinstance(metavar, str) else "VALUE"


def _text(text: str) -> str:
    """Text for roff: its own characters are escaped, and no line begins as a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "\\|.\\|.\\|.")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped

# SPDX-License-Identifier: Apache-2.0
"""Draws the scene for a terminal. Nothing is decided here."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from remsim.demo.scene import LAST_COMMANDS, DemoProgram, Scene

_UP, _DOWN = "green", "yellow"
#: Frames of what has no state. Not blue: on a black terminal of 16 colours that can hardly be read.
_FRAME = "cyan"
#: Lines of the picture apart from the commands, and one for the cursor below it.
_OTHER_LINES = 18
#: How to end, and where to go next.
ENDING = "Ctrl-C ends it."
_FEWEST_COMMANDS = 3


def draw(scene: Scene, height: int) -> RenderableType:
    """The whole picture, for a terminal with ``height`` lines."""
    commands = min(LAST_COMMANDS, max(_FEWEST_COMMANDS, height - _OTHER_LINES))
    return Group(
        Text("A modem here, its SIM card there: every command below crosses real sockets.", style="bold"),
        _peers(scene),
        _cards(scene),
        _commands(scene, commands),
        _progress(scene),
        _figures(scene),
        Text(scene.result or ENDING, style="" if not scene.result else "bold red" if scene.surprises else "bold green"),
    )


def timing_table(scene: Scene) -> Table:
    """Durations per kind of command, the longest in total first."""
    table = Table(title="time per command, modem to card and back", title_justify="left", title_style="bold")
    table.add_column("command")
    for heading in ("count", "median µs", "99 % µs", "total ms"):
        table.add_column(heading, justify="right")
    kinds = sorted(scene.kinds.items(), key=lambda entry: -sum(entry[1].durations_s))
    for name, kind in [*kinds, ("all", scene.all_timing)]:
        table.add_row(
            name,
            str(len(kind.durations_s)),
            f"{kind.quantile_s(0.5) * 1e6:.0f}",
            f"{kind.quantile_s(0.99) * 1e6:.0f}",
            f"{sum(kind.durations_s) * 1e3:.1f}",
            end_section=name == kinds[-1][0],
        )
    return table


def _peers(scene: Scene) -> Table:
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(3):
        grid.add_column(ratio=1)
    grid.add_row(*(_peer(peer) for peer in (scene.client, scene.server, scene.bankd)))
    return grid


def _peer(peer: DemoProgram) -> Panel:
    colour = _UP if peer.is_up else _DOWN
    body = Text.assemble((f"● {peer.state}", colour), "\n", (peer.place, "dim"), no_wrap=True)
    return Panel(body, title=f"[bold]{peer.title}", title_align="left", border_style=colour)


def _cards(scene: Scene) -> Panel:
    grid = Table.grid(padding=(0, 2))
    for slot_nr, name in enumerate(scene.cards):
        is_mapped = scene.bank_slot is not None and scene.bank_slot.slot_nr == slot_nr
        arrow = f"{scene.client_slot} ⇄ " if is_mapped else ""
        style = "bold green" if is_mapped else "dim"
        state = f"{scene.mapping_state}  ATR {scene.atr.hex().upper()}" if is_mapped else "free"
        grid.add_row(
            Text(arrow, style),
            Text(f"B{_bank(scene)}:{slot_nr}", style),
            Text(name, style),
            Text(state, style, no_wrap=True, overflow="ellipsis"),
        )
    return Panel(grid, title="[bold]bank: which card has the modem?", title_align="left", border_style=_FRAME)


def _bank(scene: Scene) -> int:
    return scene.bank_slot.bank_id if scene.bank_slot else 1


def _commands(scene: Scene, count: int) -> Panel:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(justify="right", style="dim", width=4)
    table.add_column(ratio=3, no_wrap=True)
    table.add_column(ratio=4, no_wrap=True)
    table.add_column(justify="right", width=9)
    visible = list(scene.last)[-count:]
    for shown in visible:
        colour = "" if shown.is_expected else "red"
        table.add_row(
            str(shown.number), Text(shown.command), Text(shown.answer, colour), f"{shown.duration_s * 1e6:,.0f} µs"
        )
    for _ in range(count - len(visible)):
        table.add_row("", "", "", "")
    return Panel(
        table, title="[bold]the modem's commands and the card's answers", title_align="left", border_style=_FRAME
    )


def _progress(scene: Scene) -> Table:
    grid = Table.grid(padding=(0, 1))
    text = f"start {scene.boots}: {scene.played} of {scene.total} commands"
    grid.add_row(Text(text, "bold"), ProgressBar(total=scene.total, completed=scene.played, width=24))
    return grid


def _figures(scene: Scene) -> Text:
    """The same numbers as in the last row of the table at the end."""
    timing = scene.all_timing
    count = len(timing.durations_s)
    figures = f"median {timing.quantile_s(0.5) * 1e6:.0f} µs, 99 % below {timing.quantile_s(0.99) * 1e6:.0f} µs"
    return Text(f"all {count} commands so far: {figures}", no_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""The screen of ``remsim top``: fits 80 columns and 24 lines, and needs no more than 16 colours."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Input, RichLog, Static, TabbedContent, TabPane
from textual.worker import Worker

from remsim.rest import AsyncRest, RestApiError
from remsim.rest.trace_lines import Tone
from remsim.top.follow import Follower
from remsim.top.overview import Overview, TableRow, age_text
from remsim.top.slot_trace import SlotTrace

#: The ages on the screen go on so often.
_TICK_S: Final = 1.0
#: Lines of a trace are gathered for so long.
_LINES_S: Final = 0.1
_MAX_PROBLEMS: Final = 4
#: Lines of a trace that can be scrolled back to.
MAX_LINES: Final = 2000
_TRACE: Final = "trace"
_HEADING: Final = "time (UTC)       card  network  ms; g, r, i: asked by the bankd, *: ahead"
_STYLES: Final = {Tone.PLAIN: "", Tone.DIM: "dim", Tone.MARKED: "cyan", Tone.WRONG: "bold red"}
_SLOTS_OF_EVENT: Final = 2
_COLUMNS: Final = {
    "slots": ("SLOT", "CARD", "LABEL OR NUMBER", "CLIENT", "STATE", "AGE"),
    "clients": ("CLIENT", "LINK", "AGE", "LABEL OR NAME", "CARD", "VERSION"),
    "events": ("TIME", "KIND", "SLOTS", "DETAILS"),
}


class TopScreen(App[str]):
    """Shows an overview, and follows its server meanwhile. Returns why it ended, empty if the user wanted it."""

    CSS = """
    Screen { background: ansi_default; }
    #state { height: 1; text-style: bold; }
    #problems { height: auto; max-height: 5; }
    DataTable { height: 1fr; background: ansi_default; scrollbar-size: 1 1; }
    RichLog { height: 1fr; background: ansi_default; scrollbar-size: 1 1; }
    #heading, #keys { height: 1; }
    #keys { link-style: none; link-style-hover: reverse; link-color: ansi_default; link-background: ansi_default; }
    TabbedContent { height: 1fr; }
    TabPane { padding: 0; }
    Input { display: none; height: 1; border: none; padding: 0; }
    Input.shown { display: block; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("1", "show_tab('slots')", "slots"),
        Binding("2", "show_tab('clients')", "clients"),
        Binding("3", "show_tab('events')", "events"),
        Binding("t", "trace", "trace"),
        Binding("slash", "search", "search", key_display="/"),
        Binding("escape", "leave", "all", show=False),
    ]

    def __init__(self, base: str, connect: Callable[[], AsyncRest], now: Callable[[], float] = monotonic) -> None:
        """``base`` is what the server is called; ``connect`` as for Follower."""
        super().__init__(ansi_color=True)
        self._base = base
        self._now = now
        self._wanted = ""
        self.overview = Overview()
        self.follower = Follower(self.overview, connect, self._on_change, now)
        self._connect = connect
        self._trace: SlotTrace | None = None
        self._tracer: Worker[None] | None = None
        self._lines: deque[Text] = deque(maxlen=MAX_LINES)
        self._is_due = False

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(id="state", markup=False)
        yield Static(id="problems")
        with TabbedContent(initial="slots"):
            for name in _COLUMNS:
                with TabPane(name, id=name):
                    yield DataTable(id=f"{name}-table", cursor_type="row", zebra_stripes=False)
            with TabPane(_TRACE, id=_TRACE):
                yield Static(_HEADING, id="heading", markup=False)
                yield RichLog(id="trace-log", max_lines=MAX_LINES, wrap=False, min_width=0)
        yield Input(placeholder="search, Enter to keep, Esc to see all", id="search", compact=True)
        yield Static(_keys_line(), id="keys")

    def on_mount(self) -> None:
        """Begin to follow."""
        for name, columns in _COLUMNS.items():
            table = self._table(name)
            for column in columns:
                table.add_column(column, key=column)
        self.set_interval(_TICK_S, self.draw)
        self.set_interval(_LINES_S, self._write_lines)
        self.run_worker(self._follow(), exit_on_error=False)
        self._table("slots").focus()
        self.draw()

    async def _follow(self) -> None:
        try:
            await self.follower.run()
        except RestApiError as error:
            self.exit(str(error))

    def _on_change(self) -> None:
        if not self._is_due:
            self._is_due = True
            self.call_later(self.draw)

    def draw(self) -> None:
        """Show what is known, with ages as of now."""
        self._is_due = False
        now = self._now()
        self.query_one("#state", Static).update(self._state_line(now))
        self.query_one("#problems", Static).update(self._problem_lines(now))
        active = self.query_one(TabbedContent).active
        if active == _TRACE:
            return
        rows = {
            "slots": lambda: self.overview.slot_rows(now, self._wanted),
            "clients": lambda: self.overview.client_rows(now, self._wanted),
            "events": lambda: self.overview.event_rows(self._wanted),
        }[active]()
        self._fill(self._table(active), rows)

    def _state_line(self, now: float) -> Text:
        overview = self.overview
        if not overview.has_heard:
            return Text(f" NOT CONNECTED YET to {self._base} {overview.stale_reason}", style="bold reverse")
        if overview.stale_since is None:
            return Text(f" {self._base}  live  {overview.counts()}", style="reverse")
        ago = age_text(now - overview.stale_since)
        return Text(f" NOT LIVE, all below as of {ago} ago: {overview.stale_reason}", style="bold reverse red")

    def _problem_lines(self, now: float) -> Text:
        problems = self.overview.problems(now)
        width = max(40, self.size.width) - 2
        text = Text()
        for problem in problems[:_MAX_PROBLEMS]:
            line = Text(f"! {problem.where} {problem.text}", style="bold red" if problem.is_error else "bold yellow")
            age = age_text(problem.age_s)
            line.truncate(width - len(age) - 1, overflow="ellipsis", pad=True)
            text.append_text(line).append(f" {age}\n")
        if len(problems) > _MAX_PROBLEMS:
            text.append(f"  and {len(problems) - _MAX_PROBLEMS} more\n", style="yellow")
        if not problems and self.overview.has_heard and self.overview.stale_since is None:
            text.append("no problems known\n", style="green")
        elif not problems:
            # Nobody may take silence for health.
            text.append("what is wrong now is not known\n", style="yellow")
        text.right_crop(1)
        return text

    def _fill(self, table: "DataTable[Text]", rows: list[TableRow]) -> None:
        """Make the table's lines these, and leave cursor and scrolling where they are where the lines are the same."""
        shown = [str(key.value) for key in table.rows]
        columns = list(table.columns)
        if shown != [row.name for row in rows]:
            line = table.cursor_row
            table.clear()
            for row in rows:
                table.add_row(*(_cell(row, cell) for cell in row.cells), key=row.name)
            table.move_cursor(row=min(line, max(0, len(rows) - 1)))
            return
        for row in rows:
            for column, cell in zip(columns, row.cells, strict=True):
                if str(table.get_cell(row.name, column)) != cell:
                    table.update_cell(row.name, column, _cell(row, cell))

    def _table(self, name: str) -> "DataTable[Text]":
        return self.query_one(f"#{name}-table", DataTable)

    def action_show_tab(self, name: str) -> None:
        """Show this table, or the trace. A trace that nobody looks at ends."""
        self.query_one(TabbedContent).active = name
        if name == _TRACE:
            self.query_one("#trace-log", RichLog).focus()
        else:
            self._end_trace()
            self._table(name).focus()
        self.draw()

    def action_trace(self) -> None:
        """Trace the slot on which the cursor is, live; or if a trace is shown, go back."""
        active = self.query_one(TabbedContent).active
        if active == _TRACE:
            self.action_show_tab("slots")
            return
        slot = self._chosen(active)
        if slot is None:
            self.bell()
            return
        log = self.query_one("#trace-log", RichLog)
        log.clear()
        self._lines.clear()
        self.query_one(TabbedContent).get_tab(_TRACE).label = f"{_TRACE} {slot}"
        self._trace = SlotTrace(slot, self._connect, self._show_line)
        self._tracer = self.run_worker(self._trace.run(), group=_TRACE, exclusive=True, exit_on_error=False)
        self.action_show_tab(_TRACE)

    def _chosen(self, name: str) -> str | None:
        """The slot on which the cursor is; of an event, the first that it names."""
        table = self._table(name)
        if not table.row_count:
            return None
        if name == "events":
            places = str(table.get_row_at(table.cursor_row)[_SLOTS_OF_EVENT]).split()
            return places[0] if places else None
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    def _show_line(self, text: str, tone: Tone) -> None:
        line = Text(text, style=_STYLES[tone], no_wrap=True)
        line.truncate(max(20, self.size.width - 2), overflow="ellipsis")
        self._lines.append(line)

    def _write_lines(self) -> None:
        """What has come since the last time, at once: two hundred lines a second would not let the screen rest."""
        if self._lines:
            self.query_one("#trace-log", RichLog).write(Text("\n").join(self._lines))
            self._lines.clear()

    def _end_trace(self) -> None:
        tracer, self._tracer, self._trace = self._tracer, None, None
        if tracer is not None:
            tracer.cancel()

    def action_leave(self) -> None:
        """Leave the trace, or show everything again."""
        if self.query_one(TabbedContent).active == _TRACE:
            self.action_show_tab("slots")
        else:
            self.action_clear_search()

    def action_search(self) -> None:
        """Let the user type what to look for."""
        search = self.query_one("#search", Input)
        search.add_class("shown")
        search.focus()

    def action_clear_search(self) -> None:
        """Show everything again."""
        search = self.query_one("#search", Input)
        search.value = ""
        self._hide_search(search)

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        self._wanted = event.value.strip()
        self.draw()

    @on(Input.Submitted)
    def _keep_search(self, event: Input.Submitted) -> None:
        self._hide_search(event.input)

    @on(TabbedContent.TabActivated)
    def _on_tab(self, event: TabbedContent.TabActivated) -> None:
        """By mouse or arrow keys, too."""
        if event.pane.id != _TRACE:
            self._end_trace()

    def _hide_search(self, search: Input) -> None:
        search.remove_class("shown")
        active = self.query_one(TabbedContent).active
        if active != _TRACE:
            self._table(active).focus()


def _keys_line() -> str:
    """What each key does; a click does it, too.

    The library's own line makes new widgets at each change of the focus and does not give the old ones back.
    """
    shown = [each for each in TopScreen.BINDINGS if isinstance(each, Binding) and each.show]
    return "  ".join(
        f"[@click=app.{each.action}][bold]{each.key_display or each.key}[/bold] {each.description}[/]" for each in shown
    )


def _cell(row: TableRow, cell: str) -> Text:
    return Text(cell, style="bold yellow" if row.is_wrong else "", no_wrap=True)


def run(base: str, connect: Callable[[], AsyncRest]) -> str:
    """Show the screen until the user has had enough; returns why it ended otherwise, else nothing."""
    return asyncio.run(TopScreen(base, connect).run_async()) or ""

# SPDX-License-Identifier: Apache-2.0
"""Every command that README and docs show is run, and what they show of its output is what comes out.

How a page is read stands in tests/doubles/console_pages.py, how it is run in tests/doubles/page_stage.py. Each page is
one scene in namespaces of its own.
"""

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from remsim.bankd.slots.csv import CSV_NAME, parse_slots_csv
from remsim.config import BankdConfig, ClientConfig, ClientRunConfig, CommonConfig, CtlConfig, ServerConfig, load_config
from remsim.policy.guard import PRESETS, parse_guard_policy
from remsim.policy.mapping import parse_mapping_policy
from remsim.rest.models import FleetOrder
from tests.doubles.console_pages import Command, FileText, Place, is_part_of, spans, steps
from tests.doubles.page_stage import ELSEWHERE, PageStage
from tests.doubles.pcscd import VPCD_PORTS, PcscdNamespace
from tests.doubles.postgres import Postgres, shared_postgres
from tests.doubles.programs import remsim
from tests.doubles.usb_host import UsbHost
from tests.reference import ROOT, reference

PAGES: Final = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]

#: Profile of the card in each reader of vpcd, for the pages whose bank has real readers.
CARDS: Final = {
    "docs/manual.md": ("default", "default"),
    "docs/manual/readers.md": ("default", "default"),
    "docs/manual/moving.md": ("default", "default"),
    "docs/manual/virtual-reader.md": ("default",),
}

#: Files of rules, and what reads them.
RULES: Final[dict[str, Callable[[str], object]]] = {
    "policy.toml": lambda text: parse_mapping_policy(text, "policy.toml"),
    "guard.toml": lambda text: parse_guard_policy(text, "guard.toml", PRESETS),
}

#: Pages on whose host a card-emulation device is plugged in.
HARDWARE: Final = {"docs/manual/hardware.md"}

#: Pages that use PostgreSQL, and the databases and roles that they make.
POSTGRES: Final = {"docs/manual/database.md": (("remsim", "copy"), ("remsim-server",))}

#: Which program reads a file of this name.
MODELS: Final[dict[str, type[CommonConfig]]] = {
    "server.toml": ServerConfig,
    "bankd.toml": BankdConfig,
    "bank-6.toml": BankdConfig,
    "client.toml": ClientConfig,
    "modems.toml": ClientRunConfig,
    "slots.toml": ClientRunConfig,
    "ctl.toml": CtlConfig,
}

#: Calls in running text that no console block shows, with the reason.
SPANS: Final = {
    ".venv/bin/remsim": "the demonstration and all integration tests start it",
    ".venv/bin/pytest tests/unit/wire/test_ber.py -k name": "this is how the tests themselves are run",
    ".venv/bin/python -m tools.generate_docs": "tests/unit/test_generated_docs.py makes the same and compares",
    ".venv/bin/python -m tools.site FOLDER": "tests/integration/test_site.py builds it",
    ".venv/bin/python -m tests.fuzz.guided": "tests/integration/test_guided.py hunts in all targets, for a short while",
    ".venv/bin/python -m tests.fuzz.guided NAME --replay HEX": "tests/integration/test_guided.py runs it",
    ".venv/bin/python -m tests.fuzz.guided NAME --keep": "tests/integration/test_guided.py keeps inputs",
    ".venv/bin/python -m tests.fuzz.rest N": "tests/integration/test_rest_schema.py makes the same calls, some of them",
    ".venv/bin/python -m tests.kills": "tests/integration/test_kill_loop.py does the same, a few times",
    ".venv/bin/python -m tests.soak": "tests/integration/test_soak.py does the same, with fewer commands",
    "tools/measured.py": "make test loads it as a plug-in of pytest",
    "tools/replay_capture.py": "tests/unit/test_replay_capture.py runs it",
    "remsim trace B1:0 --pcapng - | wireshark -k -i -": "the page pipes the same into tshark",
    "remsim bankd learn FILE": "tests/integration/test_ahead.py teaches a bank",
    "remsim ctl latency B1:3": "tests/integration/test_ahead.py asks for a slot of its own",
    "remsim client script FILE --json": "tests/integration/test_client_programs.py runs it",
    "remsim client script --dump": "tests/integration/test_client_programs.py runs it",
    "tools/compile-requirements.sh": "asks a package index; tests/unit/test_requirements.py holds its results",
    "remsim client run --auto --auto-client 7:0": "tests/integration/test_simtrace2_usb.py runs it",
    "remsim bankd --guard FILE": "tests/integration/test_bankd_service.py has a bank with such a file",
    "remsim server --policy FILE": "tests/contract/test_rest_access.py has a server with such a file",
    "remsim pki init": "tests/contract/test_pki_commands.py runs it",
    "remsim pki issue IDENTITY --out DIR": "tests/contract/test_pki_commands.py runs it",
    "systemctl status pcscd.socket": "no systemd here; tests/integration/test_pcscd_activated.py has such a socket",
    "systemctl restart pcscd": "no systemd here",
    "remsim enroll --renew": "tests/contract/test_pki_commands.py runs it",
    "systemctl reset-failed pcscd": "no systemd here",
    "systemctl restart pcscd.socket": "no systemd here",
    "remsim ctl map iccid:NUMBER C7:0 --follow": "tests/contract/test_rest_naming.py maps so",
    "remsim ctl unmap C7:0": "tests/contract/test_rest_following.py does so",
    ".venv/bin/python -m tools.page_pictures": "tests/browser takes these pictures",
    "remsim top": "tests/contract/test_top.py shows its screen",
    "remsim uicc": "puts the cards into the readers of these pages",
}


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _commands() -> list[Command]:
    return [step for page in PAGES for step in steps(_text(page), page) if isinstance(step, Command)]


PAGES_WITH_COMMANDS: Final = sorted({command.place.page for command in _commands()})


@pytest.fixture
def usb_host() -> Iterator[Callable[[], UsbHost]]:
    """``usb_host()``: emulated USB with one device, for the pages that show one."""
    with ExitStack() as stack:

        def prepare() -> UsbHost:
            host = stack.enter_context(UsbHost())
            host.plug("simtrace", "1-4")
            return host

        yield prepare


@pytest.fixture
def postgres_of() -> Iterator[Callable[[str], Postgres | None]]:
    """``postgres_of(page)``: the one of this run, if the page uses it; what the page makes is dropped behind."""
    with ExitStack() as stack:

        def prepare(page: str) -> Postgres | None:
            if page not in POSTGRES:
                return None
            server = shared_postgres()
            databases, roles = POSTGRES[page]
            for role in roles:
                stack.callback(server.sql, f'DROP ROLE IF EXISTS "{role}"')
            for name in databases:
                stack.callback(server.sql, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            return server

        yield prepare


@pytest.fixture
def stage(
    tmp_path: Path,
    pcscd_namespace: PcscdNamespace,
    usb_host: Callable[[], UsbHost],
    postgres_of: Callable[[str], Postgres | None],
) -> Callable[[str], PageStage]:
    """``stage(page)``: the page's scene with its cards in their readers and the recordings at hand."""

    def prepare(page: str) -> PageStage:
        for port, (number, profile) in zip(VPCD_PORTS, enumerate(CARDS.get(page, ())), strict=False):
            options = ["--vpcd", f"127.0.0.1:{port}", "--number", str(number), "--profile", profile]
            pcscd_namespace.program(remsim("uicc", *options)).wait_for("card_inserted")
        environment = usb_host().environment if page in HARDWARE else None
        made = PageStage(pcscd_namespace, tmp_path, environment=environment, postgres=postgres_of(page))
        for name in ("iot-modem-boot.jsonl", "phone-boot.jsonl"):
            shutil.copy(reference("traces", name), made.folder)
        return made

    return prepare


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS)
def test_commands_of_page_do_what_it_shows(page: str, stage: Callable[[str], PageStage]) -> None:
    scene = stage(page)
    for step in steps(_text(page), page):
        if isinstance(step, FileText):
            scene.write(step)
        else:
            scene.run(step)
    scene.finish()


@pytest.mark.parametrize("page", PAGES)
def test_calls_in_the_text_are_run_somewhere(page: str) -> None:
    run = [command.text for command in _commands()]
    astray = [
        f"{place}: {span}"
        for place, span in spans(_text(page), page)
        if span not in SPANS
        and not any(re.fullmatch(how.pattern, span) for how in ELSEWHERE)
        and not any(is_part_of(span, command) for command in run)
    ]
    assert not astray


def _files() -> list[FileText]:
    return [step for page in PAGES for step in steps(_text(page), page) if isinstance(step, FileText)]


@pytest.mark.parametrize("file", _files(), ids=lambda file: f"{file.place} {file.name}")
def test_files_on_pages_are_accepted(file: FileText, tmp_path: Path) -> None:
    path = tmp_path / file.name
    path.write_text(file.text, encoding="utf-8")
    match file.kind:
        case "toml" if file.name == "fleet.toml":
            FleetOrder.model_validate(tomllib.loads(file.text))
        case "toml" if file.name in RULES:
            RULES[file.name](file.text)
        case "toml":
            load_config(MODELS[file.name], environ={"HOME": str(tmp_path)}, file=path)
        case "csv":
            bank = int(re.search(r"\d+", file.text)[0])  # type: ignore[index]
            assert parse_slots_csv(file.text, bank_id=bank, slots=8, origin=CSV_NAME).rules
        case "json":
            json.loads(file.text)
        case "ini" | "yaml" | "jsonl" | "python":
            # These are used by the commands of their page.
            assert any(command.place.page == file.place.page for command in _commands()), file.place
        case _:
            pytest.fail(f"{file.place}: nothing checks a {file.kind} file")


@pytest.mark.parametrize("page", PAGES)
def test_parts_of_files_on_pages_are_accepted(page: str, tmp_path: Path) -> None:
    """TOML blocks without a name are parts of some program's file: one of them must know all keys."""
    for number, text in enumerate(re.findall(r"```toml\n(.*?)```", _text(page), re.DOTALL)):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        assert any(_is_accepted(model, path) for model in MODELS.values()), f"{Place(page, 0)}: {tomllib.loads(text)}"


def _is_accepted(model: type[CommonConfig], path: Path) -> bool:
    from remsim.core.errors import ConfigError

    try:
        load_config(model, environ={"HOME": str(path.parent)}, file=path)
    except ConfigError:
        return False
    return True


def test_events_in_the_table_of_troubles_are_those_of_the_programs() -> None:
    rows = re.findall(r"^\| (.*?) \|.*\|.*\|$", _text("docs/manual/operation.md"), re.MULTILINE)
    events = {
        word
        for row in rows
        for span in re.findall(r"`([^`]+)`", row)
        for word in re.findall(r"^[a-z]+(?:_[a-z0-9]+)+$", span.split()[0])
    }
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert len(events) > 20
    # Metrics are named in parts.
    assert not {event for event in events if f'"{event}"' not in sources and not event.startswith("remsim_")}


def test_each_excuse_is_still_needed() -> None:
    shown = [command.text for command in _commands()] + [span for page in PAGES for _, span in spans(_text(page), page)]
    assert not [how.pattern for how in ELSEWHERE if not any(re.fullmatch(how.pattern, text) for text in shown)]
    assert not SPANS.keys() - set(shown)

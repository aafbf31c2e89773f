# SPDX-License-Identifier: Apache-2.0
"""Dashboard and alert rules: every metric and label that they use exists in what the running programs give."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import yaml
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import ScriptPlayer
from remsim.emulators.script.recording import load_recording
from tests.doubles.rounds import until
from tests.doubles.suite import Suite
from tests.reference import ROOT, reference

RULES: Final = ROOT / "packaging" / "prometheus" / "remsim.rules.yml"
DASHBOARD: Final = ROOT / "packaging" / "grafana" / "remsim.json"
_NAME: Final = re.compile(r"remsim_[a-z_]+")
#: A metric with the labels that are asked of it.
_SELECTOR: Final = re.compile(r"(remsim_[a-z_]+)\{([^}]*)\}")
_EQUALS: Final = re.compile(r'([a-z_]+)="([^"]*)"')
#: Words of a rule's text that stand for labels.
_TEMPLATE: Final = re.compile(r"\$labels\.([a-z_]+)")
#: Durations that are totals are in whole milliseconds, as everywhere else in our tables.
_ABOUT_UNITS: Final = re.compile(r'use base unit "seconds" instead of "milliseconds"')
#: What is shown of each kind of metric.
_SAMPLES: Final = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def expressions() -> dict[str, str]:
    """All expressions of both files, by where they are."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found = {f"alert {rule['alert']}": rule["expr"] for group in groups for rule in group["rules"]}
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        found |= {f"panel {panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    return found


async def shown_texts(folder: Path) -> list[str]:
    """All that three running programs show, after a modem's start."""
    emulator = DrivenEmulator()
    steps = load_recording(reference("traces", "iot-modem-boot.jsonl"))
    async with Suite(folder, [emulator], profile="iot-modem") as suite, asyncio.timeout(60):
        await ScriptPlayer(emulator, steps, repeat=1, card_wait_s=60).run()
        return [
            generate_latest(metrics.registry).decode()
            for metrics in (suite.server_metrics, suite.bankd_metrics, suite.metrics)
        ]


async def shown(folder: Path) -> list[Metric]:
    """The same as families."""
    return [family for text in await shown_texts(folder) for family in text_string_to_metric_families(text)]


async def test_everything_that_is_asked_for_exists(tmp_path: Path) -> None:
    families = await shown(tmp_path)
    names = {f"{family.name}{suffix}" for family in families for suffix in _SAMPLES.get(family.type, ("",))}
    values: dict[tuple[str, str], set[str]] = {}
    for family in families:
        for sample in family.samples:
            for label, value in sample.labels.items():
                values.setdefault((sample.name, label), set()).add(value)
    missing: list[str] = []
    for place, expression in expressions().items():
        missing += [f"{place}: {name}" for name in _NAME.findall(expression) if name not in names]
        for name, selected in _SELECTOR.findall(expression):
            missing += [
                f"{place}: {name} with {label}={value}"
                for label, value in _EQUALS.findall(selected)
                if value not in values.get((name, label), set())
            ]
    assert not missing
    assert len(names) > 40


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["what_to_do"].endswith(".")
            kept = re.search(r"by \(([^)]*)\)", rule["expr"])
            used = set(_TEMPLATE.findall(json.dumps(rule["annotations"])))
            # An aggregation drops all other labels.
            assert kept is None or used <= {name.strip() for name in kept[1].split(",")}, rule["alert"]


def promtool(*words: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run it; tools/setup-system.sh brings it, and without it this fails."""
    found = shutil.which("promtool", path=f"{os.environ['PATH']}:{Path(sys.executable).parent}")
    assert found is not None, "there is no promtool: tools/setup-system.sh fetches it, or says how"
    return subprocess.run([found, *words], input=given, capture_output=True, check=False, timeout=50)


def test_promtool_takes_the_rules() -> None:
    ran = promtool("check", "rules", str(RULES))
    assert ran.returncode == 0, ran.stderr


def test_promtool_takes_the_query_of_each_panel(tmp_path: Path) -> None:
    queries = {place: expression for place, expression in expressions().items() if place.startswith("panel ")}
    assert len(queries) > 10
    # Grafana puts a time here.
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(queries.values())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    ran = promtool("check", "rules", str(file))
    assert ran.returncode == 0, ran.stderr


async def test_promtool_takes_what_the_programs_show(tmp_path: Path) -> None:
    for text in await shown_texts(tmp_path):
        ran = await asyncio.to_thread(promtool, "check", "metrics", given=text.encode())
        complaints = [line for line in ran.stderr.decode().splitlines() if line]
        # 1: it could not be parsed; 3: it was, and promtool would name things otherwise.
        assert ran.returncode in (0, 3), complaints
        assert not [line for line in complaints if not _ABOUT_UNITS.search(line)]


def test_dashboard_has_no_two_panels_in_one_place() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in panels}) == len(panels)


async def test_network_is_measured_at_both_ends_without_cards(tmp_path: Path) -> None:
    often = {"keepalive": {"interval_s": 0.02, "own_s": 0.02}}
    async with Suite(
        tmp_path, [DrivenEmulator()], profile="iot-modem", resume="always", bankd=often, client=often
    ) as suite:
        pings = [suite.metrics.pings.labels("C7:0", peer) for peer in ("bankd", "server")]
        pings += [suite.bankd_metrics.pings.labels(peer) for peer in ("client", "server")]
        async with asyncio.timeout(60):
            await until(lambda: all(each.buckets()[-1][1] >= 3 for each in pings))
        assert all(each.sum_s > 0 for each in pings)

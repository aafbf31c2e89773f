# SPDX-License-Identifier: Apache-2.0
"""``remsim demo`` as a person starts it."""

import signal

import httpx2

from remsim.core.ids import BankSlot
from remsim.demo.stage import CARDS, Stage
from tests.doubles.programs import Program, remsim


def test_demo_once_plays_the_whole_start_and_ends_with_success() -> None:
    with Program(remsim("demo", "--once")) as demo:
        demo.wait_for_stdout(r"The modem is up: 151 commands answered by the card in B1:2")
        demo.wait_for_stdout(r"Next: .*remsim.* --help lists the programs, docs/manual.md")
        assert demo.wait() == 0


def test_demo_ends_when_asked_to() -> None:
    with Program(remsim("demo")) as demo:
        demo.wait_for_stdout(r"mapped: C1:0 to B1:3")
        demo.stop(signal.SIGINT)
        assert demo.status == 0


def test_the_link_that_the_demo_prints_logs_in_to_its_page_once() -> None:
    with Program(remsim("demo")) as demo:
        address, secret = demo.wait_for_stdout(r"page:   (http://127\.0\.0\.1:\d+)/login#(\S+)").groups()
        # The bank is there before the link is good for anything else than a start page.
        demo.wait_for_stdout(r"mapped: C1:0 to B1:3")
        for expected in (303, 401):
            with httpx2.Client(base_url=address, trust_env=False) as browser:
                answer = browser.post("/login", data={"link": secret})
                assert answer.status_code == expected, answer.text
                if expected == 303:
                    overview = browser.get(answer.headers["location"])
                    assert overview.status_code == 200
                    assert "B1:3" in overview.text
        demo.stop(signal.SIGINT)
        assert demo.status == 0


async def test_stage_serves_one_start_after_another_from_every_card() -> None:
    async with Stage() as stage:
        await stage.wait_for_peers()
        for slot_nr in (*range(CARDS), 0):
            bank_slot = BankSlot(1, slot_nr)
            await stage.boot(bank_slot, pace_s=0.0, on_change=lambda: None)
            await stage.unmap(bank_slot)
        assert stage.scene.boots == CARDS + 1
        assert stage.scene.surprises == 0

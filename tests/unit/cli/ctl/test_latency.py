# SPDX-License-Identifier: Apache-2.0
"""What ``remsim ctl latency`` makes of the figures of both ends, or of one."""

import pytest

from remsim.cli.ctl.latency import SlotLatency, as_json, lines_of, parts_of, rows_of
from remsim.rest.models import LatencyModel, NetworkBy, NetworkModel


def figures(**known: float | None) -> LatencyModel:
    rest = dict.fromkeys(("hold_s", "guesses", "hits", "misses", "undone", "restores", "saved_s"), 0)
    return LatencyModel.model_validate({"commands": 100, "round_trips": 40, **rest, **known})


BANK = figures(
    card_s=0.2, hold_s=9.0, guesses=70, hits=60, misses=3, undone=10, restores=5, saved_s=5.5, round_trip_s=0.1
)
CLIENT = figures(waited_s=6.2, hold_s=2.0, hits=60, misses=4, saved_s=6.0, round_trip_s=0.11)


def told(bank: LatencyModel | None = BANK, client: LatencyModel | None = CLIENT) -> SlotLatency:
    return SlotLatency("B1:3", "C7:0", bank, client, 4.0)


def test_network_has_what_neither_card_nor_hold_has() -> None:
    parts = parts_of(BANK, CLIENT)
    assert (parts.commands, parts.round_trips, parts.waited_s, parts.hold_s) == (100, 40, 6.2, 2.0)
    assert parts.card_s == pytest.approx(0.2)
    assert parts.network_s == pytest.approx(4.0)
    assert list(rows_of(parts)) == [
        ("card", "0.20 s", "3 %", "5.0 ms"),
        ("network", "4.00 s", "65 %", "100.0 ms"),
        ("hold", "2.00 s", "32 %", ""),
    ]


def test_card_is_taken_by_commands_where_the_ends_count_since_other_times() -> None:
    longer = BANK.model_copy(update={"round_trips": 400, "card_s": 2.0})
    assert parts_of(longer, CLIENT).card_s == pytest.approx(0.2)
    assert parts_of(BANK.model_copy(update={"round_trips": 0}), CLIENT).card_s == 0.0


def test_one_end_is_enough() -> None:
    alone = parts_of(BANK, None)
    assert (alone.card_s, alone.waited_s, alone.hold_s) == (0.2, None, 9.0)
    assert alone.network_s == pytest.approx(4.0)
    assert [name for name, *_ in rows_of(alone)] == ["card", "network, estimated", "hold"]
    alone = parts_of(None, CLIENT)
    assert (alone.card_s, alone.waited_s) == (None, 6.2)
    assert [row[:2] for row in rows_of(alone)] == [("card and network", "4.20 s"), ("hold", "2.00 s")]
    nothing = figures(commands=0, round_trips=0)
    assert list(rows_of(parts_of(nothing, None))) == [("hold", "0.00 s", "", "")]


def test_sentences_say_what_guesses_did() -> None:
    assert list(lines_of(told())) == [
        "B1:3 with C7:0: 100 commands, 40 of them took a round trip; the modem waited 6.20 s for its answers",
        "answered ahead: 60, 6.00 s saved; times that another command came: 4",
        "guesses: 70; undone: 10, by 5 commands that select again",
        "told 4 s ago",
    ]
    plain = figures(commands=1, round_trips=1)
    assert list(lines_of(SlotLatency(client_slot="C7:0", client=plain))) == [
        "C7:0: 1 command, 1 of them took a round trip",
        "nothing is answered ahead",
    ]


@pytest.mark.parametrize(
    ("by", "samples", "said"),
    [("commands", 256, "256 commands"), ("pings", 3, "3 PINGs"), ("pings", 1, "PING")],
)
def test_by_what_the_network_is_known_is_said(by: NetworkBy, samples: int, said: str) -> None:
    network = NetworkModel(by=by, samples=samples, p50_us=20_100, p99_us=41_000)
    whole = SlotLatency(client_slot="C7:0", client=CLIENT, network=network)
    assert f"network, by the last {said}: median 20.1 ms, 99 % below 41.0 ms" in list(lines_of(whole))
    assert as_json(whole)["network"] == {"by": by, "samples": samples, "p50_us": 20_100, "p99_us": 41_000}


def test_programs_get_the_parts_and_what_both_ends_said() -> None:
    shown = as_json(told())
    assert shown["network_s"] == pytest.approx(4.0)
    assert shown["ahead"] == {
        "hits": 60,
        "misses": 4,
        "guesses": 70,
        "undone": 10,
        "restores": 5,
        "saved_s": 6.0,
    }
    assert (shown["bank_slot"], shown["client_slot"], shown["age_s"]) == ("B1:3", "C7:0", 4.0)
    assert shown["bankd"] == BANK.model_dump(mode="json", exclude_none=True)
    ahead = as_json(told(bank=None))["ahead"]
    assert ahead == {"hits": 60, "misses": 4, "guesses": None, "undone": None, "restores": None, "saved_s": 6.0}

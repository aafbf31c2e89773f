# SPDX-License-Identifier: Apache-2.0
"""Whatever device, card and operator do to a SIMtrace2 slot: it never raises and sends nothing dangerous."""

from hypothesis import given
from hypothesis import strategies as st

from remsim.emulators.simtrace2.actions import Action, ForwardTpdu, SendBulk
from remsim.emulators.simtrace2.boards import BOARDS
from remsim.emulators.simtrace2.card import SimtraceCard
from remsim.emulators.simtrace2.messages import Config, LineFlag, RxData, Status, TpduFlag, TxData
from remsim.emulators.simtrace2.stream import encode_transfer

READ = bytes.fromhex("00b0000002")
UPDATE = bytes.fromhex("00d6000072")


def status(flags: int) -> bytes:
    return Status(LineFlag(flags), 0, 1, 1, 10, 9600).to_bytes()


def header(data: bytes = READ) -> bytes:
    return RxData(TpduFlag.HEADER, data).to_bytes()


def ready(card: SimtraceCard) -> SimtraceCard:
    """Taken through its start-up."""
    card.start(0.0)
    card.on_bulk(Config(1, 0, 3).to_bytes(), 0.0)
    card.on_bulk(status(0x03), 0.0)
    return card


_messages = st.one_of(
    st.sampled_from([header(), header(UPDATE), status(0x03), status(0x13), status(0x10), status(0x00)]),
    st.builds(RxData, st.sampled_from([TpduFlag.HEADER, TpduFlag.FINAL, TpduFlag(0)]), st.binary(max_size=260)).map(
        lambda m: m.to_bytes()
    ),
    st.just(Config(1, 0, 3).to_bytes()),
    st.binary(max_size=40),
)
_calls = st.one_of(
    st.tuples(st.just("bulk"), _messages),
    st.tuples(st.just("interrupt"), _messages),
    st.tuples(st.just("answer"), st.binary(max_size=300)),
    st.sampled_from(
        [(name, b"") for name in ("insert", "remove", "remote", "local", "pulse", "abort", "unplug", "start")]
    ),
    st.tuples(st.sampled_from(["atr"]), st.binary(max_size=40)),
)


def _call(card: SimtraceCard, name: str, data: bytes, newest: int, now: float) -> list[Action]:
    match name:
        case "bulk":
            return card.on_bulk(data, now)
        case "interrupt":
            return card.on_interrupt(data, now)
        case "answer":
            return card.on_answer(newest, data, now)
        case "abort":
            return card.on_no_answer(newest, "test", now)
        case "insert":
            return card.insert_card(now)
        case "remove":
            return card.remove_card(now)
        case "pulse":
            return card.reset_modem(now)
        case "unplug":
            return card.on_unplugged(now)
        case "start":
            return card.start(now)
        case "atr":
            return card.set_atr(data, now)
    return card.select_sim(now, is_remote=name == "remote")


@given(
    st.lists(st.tuples(_calls, st.sampled_from([0.0, 0.001, 0.01, 3.0])), max_size=40), st.sampled_from(list(BOARDS))
)
def test_nothing_that_happens_makes_it_raise_or_send_what_is_dangerous(
    script: list[tuple[tuple[str, bytes], float]], product_id: int
) -> None:
    card = ready(SimtraceCard(BOARDS[product_id]))
    now, newest = 1.0, 0
    answered: set[int | None] = set()
    for (name, data), pause_s in script:
        now += pause_s
        actions = card.handle_timer(now) + _call(card, name, data, newest, now)
        for action in actions:
            if isinstance(action, SendBulk):
                encode_transfer(action.message)
                is_end = isinstance(action.message, TxData) and action.message.flags & TpduFlag.FINAL
                if is_end:
                    assert action.generation not in answered, "a command is answered once"
                    answered.add(action.generation)
            elif isinstance(action, ForwardTpdu):
                assert action.generation > newest
                assert 5 <= len(action.tpdu) <= 260
                newest = action.generation

# SPDX-License-Identifier: Apache-2.0
"""One slot from start-up to unplug: what is believed, what is sent, what is told; each trap of the protocol's list."""

from remsim.card.pps import Speed
from remsim.card.reset import ResetKind
from remsim.emulators.simtrace2.actions import (
    Action,
    BoardReady,
    Fact,
    FactKind,
    ForwardTpdu,
    SendBulk,
    ShowLines,
    ShowSpeed,
)
from remsim.emulators.simtrace2.boards import BOARDS
from remsim.emulators.simtrace2.card import ANSWER_WAIT_S, Phase, SimtraceCard
from remsim.emulators.simtrace2.header import Message
from remsim.emulators.simtrace2.info import ModemStatus
from remsim.emulators.simtrace2.messages import (
    BoardSetAtr,
    CardInsert,
    Config,
    LineAction,
    LineFlag,
    ModemReset,
    PtsReport,
    RxData,
    SimSelect,
    Status,
    StatusRequest,
    TpduFlag,
    TxData,
)
from remsim.emulators.simtrace2.stream import StreamFault, encode_transfer
from tests.doubles.simtrace2_frames import packets_sent

SIMTRACE, QMOD, OWHW, OCTSIM = (BOARDS[product] for product in (0x60E3, 0x4004, 0x4001, 0x616D))
READ = bytes.fromhex("00b0000002")
UPDATE = bytes.fromhex("00d6000072")
ATR, OTHER = b"\x3b\x00", bytes.fromhex("3b021450")


def status(flags: int, f_index: int = 1, d_index: int = 1) -> bytes:
    return Status(LineFlag(flags), 0, f_index, d_index, 10, 9600).to_bytes()


def header(data: bytes = READ) -> bytes:
    return RxData(TpduFlag.HEADER, data).to_bytes()


def sent(actions: list[Action]) -> list[Message]:
    return [action.message for action in actions if isinstance(action, SendBulk)]


def facts(actions: list[Action]) -> list[FactKind]:
    return [action.kind for action in actions if isinstance(action, Fact)]


def phase_of(card: SimtraceCard) -> Phase:
    """The phase now; a type checker would remember the one before."""
    return card.state


def ready(card: SimtraceCard, flags: int = 0x03) -> SimtraceCard:
    """Taken through its start-up."""
    card.start(0.0)
    card.on_bulk(Config(1, 0, 3).to_bytes(), 0.0)
    card.on_bulk(status(flags), 0.0)
    assert card.state is Phase.READY
    return card


class TestStartUp:
    def test_config_then_status_then_ready(self) -> None:
        card = SimtraceCard(SIMTRACE)
        assert sent(card.start(0.0)) == [Config(1, 0, 0)]
        assert sent(card.on_bulk(Config(1, 0, 3).to_bytes(), 0.1)) == [StatusRequest()]
        actions = card.on_bulk(status(0x10), 0.2)
        assert isinstance(actions[0], BoardReady)
        assert isinstance(actions[1], ShowLines)
        assert phase_of(card) is Phase.READY
        assert card.next_deadline() is None

    def test_trap_6_stale_messages_are_thrown_away(self) -> None:
        card = SimtraceCard(SIMTRACE)
        card.start(0.0)
        for message in (header(), status(0x13), PtsReport(b"\xff\x00\xff", b"\xff\x00\xff").to_bytes()):
            assert facts(card.on_bulk(message, 0.0)) == [FactKind.STALE_DROPPED]
        assert card.on_interrupt(status(0x13), 0.0) == []
        assert sent(card.on_bulk(Config(1, 0, 3).to_bytes(), 0.0)) == [StatusRequest()]

    def test_trap_6_status_that_contradicts_the_interrupt_endpoint_is_asked_for_again(self) -> None:
        card = SimtraceCard(SIMTRACE)
        card.start(0.0)
        card.on_bulk(Config(1, 0, 3).to_bytes(), 0.0)
        for _ in range(2):
            card.on_interrupt(status(0x03), 0.0)
            assert sent(card.on_bulk(status(0x13), 0.0)) == [StatusRequest()]
        card.on_interrupt(status(0x03), 0.0)
        assert isinstance(card.on_bulk(status(0x13), 0.0)[0], BoardReady)

    def test_lost_answers_are_asked_for_again_and_told_once(self) -> None:
        card = SimtraceCard(SIMTRACE)
        card.start(0.0)
        assert card.next_deadline() == ANSWER_WAIT_S
        actions = card.handle_timer(ANSWER_WAIT_S)
        assert facts(actions) == [FactKind.NO_ANSWER]
        assert sent(actions) == [Config(1, 0, 0)]
        card.on_bulk(Config(1, 0, 3).to_bytes(), 1.5)
        assert card.handle_timer(2.5) == [SendBulk(StatusRequest())]
        card.on_bulk(status(0x10), 2.6)
        assert card.handle_timer(9.0) == []

    def test_header_between_config_and_status_is_genuine_and_waits_for_the_lines(self) -> None:
        card = SimtraceCard(SIMTRACE)
        card.start(0.0)
        card.on_bulk(Config(1, 0, 3).to_bytes(), 0.0)
        assert card.on_bulk(header(), 0.0) == []
        assert ForwardTpdu(1, READ) in card.on_bulk(status(0x03), 0.0)

    def test_trap_12_multiplexer_is_configured_in_two_steps(self) -> None:
        card = SimtraceCard(OCTSIM, is_presence_high=False)
        assert sent(card.start(0.0)) == [Config(1)]
        assert sent(card.on_bulk(Config(1, 5, 3).to_bytes(), 0.0)) == [Config(1, 5, 2)]
        assert sent(card.on_bulk(Config(1, 5, 2).to_bytes(), 0.0)) == [StatusRequest()]

    def test_wishes_from_before_are_done_when_ready(self) -> None:
        card = SimtraceCard(SIMTRACE)
        card.start(0.0)
        assert card.select_sim(0.0, is_remote=True) == []
        assert card.set_atr(ATR, 0.0) == []
        assert card.insert_card(0.0) == []
        assert card.reset_modem(0.0) == []
        card.on_bulk(Config(1, 0, 3).to_bytes(), 0.0)
        expected = [BoardSetAtr(ATR), SimSelect(is_on=True), StatusRequest(), CardInsert(is_on=True)]
        assert sent(card.on_bulk(status(0x10), 0.0))[:4] == expected

    def test_emulator_left_on_by_a_dead_host_is_switched_off(self) -> None:
        card = SimtraceCard(SIMTRACE)
        card.start(0.0)
        card.on_bulk(Config(1, 0, 3).to_bytes(), 0.0)
        actions = card.on_bulk(status(0x03), 0.0)
        assert facts(actions) == [FactKind.LEFT_ENABLED]
        assert sent(actions) == [CardInsert(is_on=False), SimSelect(is_on=False)]

    def test_late_config_answer_changes_nothing(self) -> None:
        assert ready(SimtraceCard(SIMTRACE)).on_bulk(Config(1, 0, 3).to_bytes(), 1.0) == []


class TestControls:
    def test_order_of_actions(self) -> None:
        card = ready(SimtraceCard(SIMTRACE), 0x10)
        # A powered modem hears an ATR as soon as it is connected, so the right one is there before.
        assert sent(card.set_atr(ATR, 1.0)) == [BoardSetAtr(ATR)]
        # Trap 4: the emulator is off until it is selected, on every board. Trap 5: only STATUS is ever answered.
        assert sent(card.select_sim(1.0, is_remote=True)) == [SimSelect(is_on=True), StatusRequest()]
        assert card.set_atr(ATR, 1.0) == []
        assert sent(card.insert_card(1.0)) == [CardInsert(is_on=True)]
        assert sent(card.reset_modem(1.0)) == [ModemReset(LineAction.PULSE, 300)]
        assert sent(card.remove_card(1.0)) == [CardInsert(is_on=False)]

    def test_atr_that_is_none_is_refused_in_every_phase(self) -> None:
        card = SimtraceCard(SIMTRACE)
        assert facts(card.set_atr(bytes(34), 0.0)) == [FactKind.ATR_REFUSED]
        assert facts(ready(card).set_atr(b"", 0.0)) == [FactKind.ATR_REFUSED]

    def test_new_atr_takes_the_card_out_and_in_again(self) -> None:
        card = ready(SimtraceCard(OWHW))
        card.set_atr(ATR, 0.0)
        card.insert_card(0.0)
        assert sent(card.set_atr(OTHER, 1.0)) == [BoardSetAtr(OTHER), CardInsert(is_on=False)]
        assert card.handle_timer(1.1) == []
        due = card.next_deadline()
        assert due is not None
        assert card.handle_timer(due) == [SendBulk(CardInsert(is_on=True))]

    def test_card_removed_meanwhile_stays_out(self) -> None:
        card = ready(SimtraceCard(OWHW))
        card.set_atr(ATR, 0.0)
        card.insert_card(0.0)
        card.set_atr(OTHER, 1.0)
        card.remove_card(1.1)
        assert card.next_deadline() is None

    def test_local_sim_cancels_the_command(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        card.on_bulk(header(), 1.0)
        actions = card.select_sim(1.0, is_remote=False)
        assert facts(actions) == [FactKind.COMMAND_CANCELLED]
        assert sent(actions) == [SimSelect(is_on=False), StatusRequest()]
        assert facts(card.on_answer(1, b"\x01\x02\x90\x00", 1.1)) == [FactKind.LATE_ANSWER]

    def test_stop_gives_the_modem_its_own_card_once(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        card.on_bulk(header(), 1.0)
        assert sent(card.stop(1.0)) == [CardInsert(is_on=False), SimSelect(is_on=False)]
        assert card.stop(1.0) == []
        assert phase_of(card) is Phase.OFF
        assert facts(card.on_bulk(header(), 1.0)) == [FactKind.STALE_DROPPED]


class TestUnplug:
    def test_unplug_is_a_loss_of_power_and_everything_is_told_again(self) -> None:
        card = ready(SimtraceCard(QMOD), 0x03)
        card.select_sim(0.0, is_remote=True)
        card.set_atr(ATR, 0.0)
        card.insert_card(0.0)
        card.on_bulk(header(), 1.0)
        actions = card.on_unplugged(1.0)
        assert facts(actions) == [FactKind.COMMAND_CANCELLED]
        assert isinstance(actions[-1], ShowLines)
        assert actions[-1].lines.vcc_present is False
        assert card.on_unplugged(1.0) == []
        assert sent(card.start(2.0)) == [Config(1, 0, 0)]
        card.on_bulk(Config(1, 0, 3).to_bytes(), 2.0)
        assert BoardSetAtr(ATR) in sent(card.on_bulk(status(0x10), 2.0))
        assert facts(card.on_answer(1, b"\x90\x00", 2.0)) == [FactKind.LATE_ANSWER]

    def test_unplug_during_start_up_changes_nothing(self) -> None:
        card = SimtraceCard(SIMTRACE)
        assert card.on_unplugged(0.0) == []
        card.start(0.0)
        assert card.on_unplugged(0.0) == []
        assert card.next_deadline() is None


class TestLines:
    def test_power_up_and_warm_reset(self) -> None:
        card = ready(SimtraceCard(QMOD), 0x10)
        kinds = []
        for at, flags in enumerate((0x11, 0x13, 0x03, 0x13, 0x03)):
            (action,) = card.on_interrupt(status(flags), 1.0 + at)
            assert isinstance(action, ShowLines)
            kinds.append(action.reset)
        assert kinds == [None, None, ResetKind.COLD, None, ResetKind.WARM]

    def test_status_answer_without_interrupt_is_believed_after_a_moment(self) -> None:
        # Lines that were high before SIM_SELECT cause no report.
        card = ready(SimtraceCard(SIMTRACE), 0x10)
        assert card.on_bulk(status(0x03), 1.0) == []
        due = card.next_deadline()
        assert due is not None
        (action,) = card.handle_timer(due)
        assert isinstance(action, ShowLines)
        assert card.on_bulk(status(0x03), 2.0) == []
        assert card.next_deadline() is None

    def test_trap_9_interrupt_endpoint_has_the_last_word(self) -> None:
        card = ready(SimtraceCard(SIMTRACE), 0x10)
        card.on_bulk(status(0x03), 1.0)
        assert len(card.on_interrupt(status(0x11), 1.001)) == 1
        assert card.next_deadline() is None

    def test_trap_9_header_before_the_statuses_of_its_power_up(self) -> None:
        card = ready(SimtraceCard(SIMTRACE), 0x10)
        assert card.on_bulk(header(), 1.0) == []
        found = [action for flags in (0x11, 0x13, 0x03) for action in card.on_interrupt(status(flags), 1.001)]
        assert found[-1] == ForwardTpdu(card.t0.generation, READ)
        assert [action.reset for action in found if isinstance(action, ShowLines)] == [None, None, ResetKind.COLD]

    def test_trap_9_status_answer_settles_a_header_without_statuses(self) -> None:
        card = ready(SimtraceCard(SIMTRACE), 0x10)
        card.on_bulk(header(), 1.0)
        due = card.next_deadline()
        assert due is not None
        assert card.handle_timer(due) == [SendBulk(StatusRequest())]
        assert card.on_bulk(status(0x03), due)[-1] == ForwardTpdu(card.t0.generation, READ)

    def test_trap_9_status_answer_nobody_asked_for_since_leaves_the_word_to_the_interrupt_endpoint(self) -> None:
        # One that was asked for long before: the bulk endpoint was read ahead of the other.
        card = ready(SimtraceCard(SIMTRACE), 0x10)
        card.on_bulk(header(), 1.0)
        assert card.on_bulk(status(0x03), 1.001) == []
        found = [action for flags in (0x11, 0x13, 0x03) for action in card.on_interrupt(status(flags), 1.002)]
        assert found[-1] == ForwardTpdu(card.t0.generation, READ)
        assert [action.reset for action in found if isinstance(action, ShowLines)] == [None, None, ResetKind.COLD]

    def test_trap_9_status_answer_in_reset_cancels_the_header_before_it(self) -> None:
        card = ready(SimtraceCard(SIMTRACE), 0x10)
        card.on_bulk(header(), 1.0)
        assert facts(card.on_bulk(status(0x10), 1.001)) == [FactKind.COMMAND_CANCELLED]
        assert card.next_deadline() is None

    def test_trap_1_answer_after_a_reset_is_suppressed(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        card.on_bulk(header(), 1.0)
        card.on_interrupt(status(0x13), 2.0)
        card.on_interrupt(status(0x03), 2.1)
        actions = card.on_answer(1, b"\x01\x02\x90\x00", 2.2)
        assert facts(actions) == [FactKind.LATE_ANSWER]
        assert not sent(actions)

    def test_repeated_status_changes_nothing(self) -> None:
        card = ready(SimtraceCard(SIMTRACE), 0x10)
        assert card.on_interrupt(status(0x10), 1.0) == []


class TestSpeed:
    PPS = bytes.fromhex("ff10947b")

    def test_trap_13_pps_is_shown_as_speed(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        assert card.on_bulk(PtsReport(self.PPS, self.PPS).to_bytes(), 1.0) == [ShowSpeed(Speed(9, 4), is_applied=True)]
        assert card.on_bulk(PtsReport(self.PPS, self.PPS).to_bytes(), 1.0) == []
        assert ShowSpeed(Speed(1, 1), is_applied=True) in card.on_interrupt(status(0x13), 2.0)

    def test_speed_that_the_device_cannot_follow_is_told(self) -> None:
        raw = bytes.fromhex("ff10d13e")
        (action,) = ready(SimtraceCard(SIMTRACE)).on_bulk(PtsReport(raw, raw).to_bytes(), 1.0)
        assert action == ShowSpeed(Speed(13, 1), is_applied=False)

    def test_pps_without_speed_leaves_it(self) -> None:
        raw = bytes.fromhex("ff00ff")
        assert ready(SimtraceCard(SIMTRACE)).on_bulk(PtsReport(raw, raw).to_bytes(), 1.0) == []

    def test_pps_cancels_a_command(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        card.on_bulk(header(), 1.0)
        assert facts(card.on_bulk(PtsReport(self.PPS, self.PPS).to_bytes(), 1.1)) == [FactKind.COMMAND_CANCELLED]

    def test_garbage_in_a_pps_is_told(self) -> None:
        raw = b"\xff\x10\x94"
        actions = ready(SimtraceCard(SIMTRACE)).on_bulk(PtsReport(raw, raw).to_bytes(), 1.0)
        assert facts(actions) == [FactKind.BAD_MESSAGE]

    def test_impossible_index_is_not_shown(self) -> None:
        assert ready(SimtraceCard(SIMTRACE)).on_interrupt(status(0x03, 16, 1), 1.0) == []


class TestCommands:
    def test_trap_2_data_that_fill_packets_exactly_arrive(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        assert sent(card.on_bulk(header(UPDATE), 1.0)) == [TxData.acknowledge(0xD6)]
        message = RxData(TpduFlag.FINAL, bytes(114)).to_bytes()
        assert len(message) == 128
        assert card.on_bulk(message, 1.0) == [ForwardTpdu(1, UPDATE + bytes(114))]

    def test_trap_3_answer_that_fills_packets_exactly_ends_with_an_empty_one(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        card.on_bulk(header(bytes.fromhex("00b000002f")), 1.0)
        (message,) = sent(card.on_answer(1, bytes(47) + b"\x90\x00", 1.0))
        assert packets_sent(encode_transfer(message))[1:] == [b""]

    def test_trap_7_data_are_never_asked_for_when_p3_is_zero(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        tpdu = bytes.fromhex("0020000100")
        assert card.on_bulk(header(tpdu), 1.0) == [ForwardTpdu(1, tpdu)]

    def test_no_answer_becomes_6f00(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        card.on_bulk(header(), 1.0)
        assert sent(card.on_no_answer(1, "card gone", 1.0)) == [TxData.status_word(b"\x6f\x00")]

    def test_trap_11_slot_number_means_nothing(self) -> None:
        raw = bytearray(header())
        raw[3] = 1
        assert ready(SimtraceCard(SIMTRACE)).on_bulk(bytes(raw), 1.0) == [ForwardTpdu(1, READ)]


class TestBadInput:
    def test_garbage_is_told_with_its_bytes_and_survived(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        raw = bytes.fromhex("0104000000000900ff")
        assert card.on_bulk(raw, 1.0)[-1] == Fact(FactKind.BAD_MESSAGE, card_text(card, raw), raw)
        fault = StreamFault("length field 3 is outside 8..280", b"\x01")
        assert card.on_interrupt(fault, 1.0) == [Fact(FactKind.BAD_MESSAGE, fault.reason, b"\x01")]
        assert card.on_bulk(header(), 1.0) == [ForwardTpdu(1, READ)]

    def test_messages_without_a_place_are_told(self) -> None:
        card = ready(SimtraceCard(SIMTRACE))
        assert facts(card.on_bulk(ModemStatus(0, 0, 0).to_bytes(), 1.0)) == [FactKind.UNEXPECTED_MESSAGE]
        assert facts(card.on_interrupt(header(), 1.0)) == [FactKind.UNEXPECTED_MESSAGE]
        assert facts(card.on_bulk(bytes.fromhex("0909000000000800"), 1.0)) == [FactKind.UNEXPECTED_MESSAGE]


def card_text(card: SimtraceCard, raw: bytes) -> str:
    """What is wrong with a message, as the slot says it."""
    (fact,) = card.on_bulk(raw, 1.0)
    assert isinstance(fact, Fact)
    return fact.text

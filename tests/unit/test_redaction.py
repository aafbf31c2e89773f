# SPDX-License-Identifier: Apache-2.0
"""What is shown of commands and answers."""

import pytest

from remsim.redaction import (
    CardRedactor,
    Masked,
    is_pin_command,
    mask_literals,
    mask_tokens,
    may_be_secret,
    scrub,
    shorten_eid,
    shorten_iccid,
    shorten_imsi,
)

OK = "9000"
USIM = "00a4040c07a0000000871002"
IMSI_FILE = "080910101032547698"
ICCID_FILE = "98001032547698103214"


def shown(*exchanges: str) -> tuple[str, str]:
    """Text of the last command and answer, after the others have passed by (``command -> answer``)."""
    redactor = CardRedactor()
    masked = (Masked(b""), Masked(b""))
    for exchange in exchanges:
        command, _, response = exchange.partition("->")
        masked = redactor.exchange(bytes.fromhex(command), bytes.fromhex(response or OK))
    return masked[0].to_text(), masked[1].to_text()


class TestPins:
    @pytest.mark.parametrize("ins", ["20", "24", "26", "28", "2c"])
    @pytest.mark.parametrize("cla", ["00", "a0", "80", "41"])
    def test_value_is_hidden_and_the_outcome_shown(self, cla: str, ins: str) -> None:
        command, answer = shown(f"{cla}{ins}00010831323334ffffffff -> 63c2")
        assert command == f"{cla}{ins}000108" + "**" * 8
        assert answer == "63c2"

    def test_question_for_the_tries_left_holds_no_secret(self) -> None:
        assert shown("0020000100 -> 63c3") == ("0020000100", "63c3")


class TestAuthentication:
    CHALLENGE = "0088008122" + "10" + "11" * 16 + "10" + "22" * 16

    def test_input_and_output_are_hidden(self) -> None:
        command, answer = shown(f"{self.CHALLENGE} -> db08{'33' * 8} 9000")
        assert command == "0088008122" + "**" * 34
        assert answer == "**" * 10 + "9000"

    def test_answer_that_is_fetched_is_hidden_in_all_its_parts(self) -> None:
        assert shown(f"{self.CHALLENGE} -> 6135", "00c0000010 -> " + "44" * 16 + "6125")[1] == "**" * 16 + "6125"
        last = shown(f"{self.CHALLENGE} -> 6135", "00c0000010 -> " + "44" * 16 + "6101", "00c0000001 -> 449000")
        assert last == ("00c0000001", "**9000")

    def test_later_answers_are_shown_again(self) -> None:
        selected = shown(f"{self.CHALLENGE} -> 6135", "00a40004026f7e -> 6102", "00c0000002 -> 62009000")
        assert selected[1] == "62009000"

    @pytest.mark.parametrize(
        "between",
        [
            "01a40004026f7e -> 6102",  # on another channel
            "00b0000003 -> 6f00",
            "00a40004026f7e -> 6e00",
            "0020000100 -> 63c3",
            "00c0 -> 6700",
        ],
    )
    def test_answer_that_is_fetched_after_something_else_is_hidden(self, between: str) -> None:
        assert shown(f"{self.CHALLENGE} -> 6135", between, "00c0000002 -> 62009000")[1] == "****9000"
        assert shown("00a40004026f7e -> 6102", between, "00c0000002 -> 62009000")[1] == "****9000"

    def test_answer_that_is_fetched_on_another_channel_is_hidden(self) -> None:
        assert shown(f"01{self.CHALLENGE[2:]} -> 6135", "00c0000002 -> 62009000")[1] == "****9000"
        selected = "00a40004026f7e -> 6102"
        assert shown(selected, f"01{self.CHALLENGE[2:]} -> 6135", "00c0000002 -> 62009000")[1] == "****9000"
        assert shown(selected, "01c0000002 -> 62009000", "00c0000002 -> 62009000")[1] == "****9000"

    def test_answer_of_an_open_command_is_shown_in_all_its_parts(self) -> None:
        parts = shown(
            "01a40004026f7e -> 6104", "01c0000002 -> 62026102", "01c0000000 -> 6c02", "01c0000002 -> 82029000"
        )
        assert parts[1] == "82029000"

    def test_nothing_is_known_of_an_answer_that_is_fetched_after_a_reset(self) -> None:
        redactor = CardRedactor()
        redactor.exchange(bytes.fromhex("00a40004026f7e"), bytes.fromhex("6102"))
        redactor.on_reset()
        _, answer = redactor.exchange(bytes.fromhex("00c0000002"), bytes.fromhex("62009000"))
        assert answer.to_text() == "****9000"

    def test_gsm_algorithm_is_the_same(self) -> None:
        command, answer = shown("a088000010" + "11" * 16 + " -> 9f0c", "a0c000000c -> " + "55" * 12 + "9000")
        assert command == "a0c000000c"
        assert answer == "**" * 12 + "9000"

    def test_identity_that_may_be_the_imsi_is_hidden(self) -> None:
        assert shown("8078000100 -> 6110", "80c0000002 -> aabb9000")[1] == "****9000"


class TestKeysOfTheCard:
    def test_keys_on_their_way_to_the_card_are_hidden(self) -> None:
        assert shown("80d8000003aabbcc")[0] == "80d8000003******"
        assert shown("80e2910003bf2d00 -> 6110")[0] == "80e2910003******"
        assert shown("80e2910003bf2d00 -> 6102", "80c0000002 -> aabb9000")[1] == "****9000"

    @pytest.mark.parametrize("command", ["0082000003aabbcc", "80ca9f7f02aabb", "00760000021122", "00fe000003112233"])
    def test_data_of_a_command_that_is_not_known_to_be_harmless_are_hidden_both_ways(self, command: str) -> None:
        data = (len(command) - 10) // 2
        assert shown(f"{command} -> aabb9000") == (command[:10] + "**" * data, "****9000")
        assert shown(f"{command} -> 6102", "80c0000002 -> aabb9000")[1] == "****9000"


class TestToolkit:
    """What is left shows which kind of command passes, and how it ended."""

    MESSAGE = "8103011300 82028183 060291f0 0b04deadbeef"

    def test_proactive_command_shows_its_kind_only(self) -> None:
        plain, length = self.MESSAGE.replace(" ", ""), len(self.MESSAGE.replace(" ", "")) // 2
        hidden = "**" * (length - 9)
        assert shown(f"8012000015 -> d0{length:02x}{plain}9000")[1] == f"d0{length:02x}{plain[:18]}{hidden}9000"
        assert shown(f"8012000015 -> d081{length:02x}{plain}9000")[1] == f"d081{length:02x}{plain[:18]}{hidden}9000"

    def test_response_shows_its_result_only(self) -> None:
        response = "810301230082028281"
        assert shown(f"8014000012{response}8301000d0404313233")[0] == f"8014000012{response}830100" + "**" * 6
        assert shown(f"801400000f{response}83032001310d")[0] == f"801400000f{response}830320" + "**" * 3

    def test_envelope_shows_its_tag_only(self) -> None:
        assert shown("80c2000006d1048202838181"[:22])[0] == "80c2000006d104" + "**" * 4
        assert shown("80c2000004d1810182")[0] == "80c2000004d18101**"

    @pytest.mark.parametrize("data", ["8203011300820281", "0103", "810201138202818306", "8101", "00"])
    def test_response_in_another_form_is_hidden_from_there_on(self, data: str) -> None:
        command, _ = shown(f"80140000{len(data) // 2:02x}{data}")
        assert command == f"80140000{len(data) // 2:02x}" + "**" * (len(data) // 2)

    def test_part_of_several_shows_no_structure(self) -> None:
        redactor = CardRedactor()
        response = bytes.fromhex("901400000c810301230082028281830100")
        fetched = bytes.fromhex("d0098103011300820281829000")
        assert redactor.exchange(response, b"\x90\x00")[0].structure == frozenset()
        assert redactor.exchange(bytes.fromhex("901200000b"), fetched)[1].structure == frozenset()
        whole = CardRedactor()
        assert whole.exchange(b"\x80" + response[1:], b"\x90\x00")[0].structure
        assert whole.exchange(bytes.fromhex("801200000b"), fetched)[1].structure

    def test_answer_too_short_to_be_a_proactive_command_is_hidden(self) -> None:
        assert shown("8012000001 -> d09000")[1] == "**9000"


class TestFiles:
    def test_imsi_is_shortened(self) -> None:
        assert shown(USIM, "00a40004026f07", f"00b0000009 -> {IMSI_FILE}9000")[1] == "08091010********989000"

    def test_imsi_by_short_identifier_and_in_a_gsm_directory(self) -> None:
        assert shown(USIM, f"00b0870009 -> {IMSI_FILE}9000")[1] == "08091010********989000"
        gsm = shown("a0a40000027f20", "a0a40000026f07", f"a0b0000009 -> {IMSI_FILE}9000")
        assert gsm[1] == "08091010********989000"

    def test_imsi_is_shortened_wherever_the_read_begins(self) -> None:
        for offset in range(9):
            part = bytes.fromhex(IMSI_FILE)[offset:]
            answer = shown(USIM, "00a40004026f07", f"00b000{offset:02x}{len(part):02x} -> {part.hex()}9000")[1]
            assert answer == "08091010********989000"[2 * offset :]
        assert shown(USIM, "00b0870405 -> 3254769898 9000")[1] == "********989000"

    def test_iccid_is_shortened(self) -> None:
        assert shown("00a40004022fe2", f"00b000000a -> {ICCID_FILE}9000")[1] == "980010**********32149000"
        assert shown("00b082000a -> " + ICCID_FILE + "9000")[1] == "980010**********32149000"

    def test_number_in_a_record_or_an_update_is_hidden(self) -> None:
        assert shown(USIM, "00a40004026f07", "00b2010402 -> aabb9000")[1] == "****9000"
        assert shown(USIM, "00a40004026f07", f"00d6000009{IMSI_FILE}")[0] == "00d600000908091010********98"

    @pytest.mark.parametrize("file", ["6f08", "6f09", "6fe4", "4f05", "6f20"])
    def test_key_file_is_hidden_both_ways(self, file: str) -> None:
        assert shown(USIM, f"00a4000402{file}", "00b0000003 -> 0711229000")[1] == "******9000"
        assert shown(USIM, f"00a4000402{file}", "00d6000003071122")[0] == "00d6000003******"
        assert shown(USIM, f"00a4000402{file}", "00dc010403071122")[0] == "00dc010403******"
        fetched = shown(USIM, f"00a4000402{file}", "00b0000003 -> 6103", "00c0000003 -> 0711229000")
        assert fetched[1] == "******9000"

    @pytest.mark.parametrize("file", ["6ffc", "6ffe"])
    @pytest.mark.parametrize("application", [USIM, "00a4040c07a0000000871004"], ids=["usim", "isim"])
    def test_configurations_with_passwords_and_identities_are_hidden_both_ways(
        self, file: str, application: str
    ) -> None:
        """XCAPConfigData and MuDMiDConfigData of TS 31.102 and TS 31.103, however they are read and written."""
        secret = b"user@ims;password=hunter2".hex()
        size = f"{len(secret) // 2:02x}"
        select = [application, f"00a4000402{file}"]
        for read in (f"00b00000{size}", f"80cb008000{size}", f"80cb00a0{size}"):
            answer = shown(*select, f"{read} -> {secret}9000")[1]
            assert answer == "*" * len(secret) + "9000", read
        fetched = shown(*select, "80cb008001a0 -> 6119", f"00c00000{size} -> {secret}9000")
        assert fetched[1] == "*" * len(secret) + "9000"
        for write in (f"00d60000{size}", f"80db0080{size}"):
            assert shown(*select, f"{write}{secret}")[0] == write + "*" * len(secret), write
        # By its path, too.
        assert shown(application, f"00a40804047fff{file}", f"00b00000{size} -> {secret}9000")[1] == "*" * 50 + "9000"

    def test_other_identities_are_hidden(self) -> None:
        isim = "00a4040c07a0000000871004"
        assert shown(isim, "00a40004026f02", "00b0000003 -> 8001319000")[1] == "******9000"
        assert shown(USIM, "00a40004026f40", "00b2010403 -> 8001319000")[1] == "******9000"

    @pytest.mark.parametrize("file", ["6f3c", "6f3b", "6f44", "6f7e", "6f73", "6fe3", "4f01"])
    def test_what_is_personal_is_hidden_both_ways_and_the_name_of_the_file_is_not(self, file: str) -> None:
        assert shown(USIM, f"00a4000402{file} -> 6102", "00c0000002 -> 62009000")[1] == "62009000"
        assert shown(USIM, f"00a4000402{file}", "00b2010403 -> 0111229000")[1] == "******9000"
        assert shown(USIM, f"00a4000402{file}", "00dc010403011122")[0] == "00dc010403******"

    @pytest.mark.parametrize("inside", ["00a40004027f10", USIM])
    def test_phone_book_shows_its_form_and_no_entry(self, inside: str) -> None:
        book = [inside, "00a40004025f3a"]
        assert shown(*book, "00a40004024f3a", "00b2010402 -> 41429000")[1] == "****9000"
        assert shown(*book, "00a40004024f61", "00dc0104024142")[0] == "00dc010402****"
        assert shown(*book, "00a40004024f30", "00b2010402 -> a80f9000")[1] == "a80f9000"
        assert shown(inside, "00a40004024f61", "00b2010402 -> 41429000")[1] == "41429000"

    def test_ordinary_file_is_shown(self) -> None:
        assert shown(USIM, "00a40004026fad", "00b0000003 -> ffffff9000")[1] == "ffffff9000"

    @pytest.mark.parametrize("cla", ["80", "81", "c0"])
    def test_what_an_application_calls_a_file_is_none_of_the_file_that_is_selected(self, cla: str) -> None:
        # READ FILE of IoT SAFE; its data name the file.
        open_file = "00a40004022f00 -> 6110"
        assert shown(open_file, f"{cla}b0000003850100 -> 3082030130829000") == (f"{cla}b0000003******", "**" * 6 + OK)
        assert shown(open_file, f"{cla}b2010404 -> 112233449000")[1] == "********9000"
        assert shown(open_file, "00b0000004 -> 112233449000")[1] == "112233449000"

    def test_application_without_a_known_file_is_hidden(self) -> None:
        wallet = "00a4040007a0000005591010 -> 9000"
        assert shown(wallet, "00b0000004 -> 112233449000")[1] == "********9000"
        assert shown(wallet, "00d60000021122")[0] == "00d6000002****"

    @pytest.mark.parametrize("read", ["0cb000000d9701098e08" + "11" * 8, "10b0000009" + "00" * 9])
    def test_number_that_stands_elsewhere_than_in_the_file_is_hidden_wholly(self, read: str) -> None:
        assert shown("00a40004022fe2", f"{read} -> 810998001032547698108e089000")[1] == "**" * 12 + OK

    def test_unknown_file_is_hidden(self) -> None:
        assert shown("00b0830003 -> aabbcc9000")[1] == "******9000"
        assert shown("00a4000403aabbcc", "00d6000002aabb")[0] == "00d6000002****"
        assert shown("00b16f0703540100 -> 53010a9000")[1] == "******9000"


class TestCopies:
    def test_copy_knows_what_is_selected_and_goes_its_own_way(self) -> None:
        redactor = CardRedactor()
        for command in (USIM, "00a40004026f07"):
            redactor.exchange(bytes.fromhex(command), bytes.fromhex(OK))
        copy = redactor.copy()
        read, answer = bytes.fromhex("00b0000009"), bytes.fromhex(IMSI_FILE + OK)
        assert copy.exchange(read, answer)[1].to_text() == "08091010********989000"
        copy.exchange(bytes.fromhex("00a40004026fad"), bytes.fromhex(OK))
        assert copy.exchange(read, answer)[1].to_text() == IMSI_FILE + OK
        assert redactor.exchange(read, answer)[1].to_text() == "08091010********989000"

    def test_copy_hides_the_rest_of_an_answer(self) -> None:
        redactor = CardRedactor()
        redactor.exchange(bytes.fromhex("00a40004022fe2"), bytes.fromhex("6102"))
        copy = redactor.copy()
        fetched = bytes.fromhex("00c0000002"), bytes.fromhex("62009000")
        assert copy.exchange(*fetched)[1].to_text() == "****9000"
        assert redactor.exchange(*fetched)[1].to_text() == "62009000"


class TestForms:
    def test_fixed_layout_keeps_the_places(self) -> None:
        command, _ = CardRedactor().exchange(bytes.fromhex("002000010231326162"[:14]), bytes.fromhex("9000"))
        assert command.to_bytes() == bytes.fromhex("0020000102ffff")
        plain = Masked(b"\x01\x02")
        assert (plain.to_bytes(), plain.to_text()) == (b"\x01\x02", "0102")

    @pytest.mark.parametrize(
        "command",
        ["00200001", "0020", "", "0020000131323334ffffffff", "31323334ffffffff", "ff0020000108313233341111ffff"],
    )
    def test_what_is_no_command_is_hidden_wholly(self, command: str) -> None:
        assert shown(f"{command} -> 31326700") == ("*" * len(command), "****6700")
        assert CardRedactor().command(bytes.fromhex(command)).to_text() == "*" * len(command)

    def test_command_with_pins_is_recognised(self) -> None:
        assert not is_pin_command(b"\x00\x20")
        assert is_pin_command(bytes.fromhex("0020000104"))

    @pytest.mark.parametrize(
        ("typed", "is_kept"),
        [
            ("00a40004023f00", True),
            ("00a40004023f0000", True),
            ("00a40000", True),
            ("00b0000009", True),
            ("80f2000000", True),
            ("002000010831323334ffffffff", False),
            ("002000010831323334ffffffff00", False),
            ("0020000131323334ffffffff", False),
            ("00d600000207ff", False),
            ("3132", False),
            ("00fe0000023132", False),
        ],
    )
    def test_command_that_was_typed_is_kept_only_if_nothing_selected_makes_it_secret(
        self, typed: str, is_kept: bool
    ) -> None:
        assert may_be_secret(bytes.fromhex(typed)) is not is_kept

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("cannot send b'\\x00 \\x00\\x01\\x0812345678'", "cannot send <bytes>"),
            ('KeyError: b"it\'s"', "KeyError: <bytes>"),
            ("bytearray(b'1234')", "bytearray(<bytes>)"),
            ("answer 31323334ffffffff is none", "answer <bytes> is none"),
            ("answer 31 32 33 34 is none", "answer <bytes> is none"),
            ("IMSI 001010000000001", "IMSI <bytes>"),
            ("TypeError: [0, 32, 0, 1, 8, 49]", "TypeError: <bytes>"),
            ("<object at 0x7f0123456789> line 400", "<object at 0x7f0123456789> line 400"),
            ("a deadlock of feedback, sub'stance", "a deadlock of feedback, sub'stance"),
            ("remsim_0123456789ab_" + "a" * 52, "remsim_0123456789ab_…"),
            ("ICCID 898600B5000000000001", "ICCID <bytes>"),
            # The ATR of a card is no secret, and the one fact that tells why a card is not served.
            ("does not speak T=0 (ATR 3b9011813101fe45)", "does not speak T=0 (ATR 3b9011813101fe45)"),
            ("does not speak T=0 (ATR 3b80018100)", "does not speak T=0 (ATR 3b80018100)"),
            ("ATR 0020000108313233", "ATR <bytes>"),
            ("ATR 3b0020000108313233", "ATR <bytes>"),
            ("ATR 3b8001813132333435", "ATR <bytes>"),
            ("answer 3b80018100", "answer <bytes>"),
        ],
    )
    def test_text_of_others_is_scrubbed(self, text: str, left: str) -> None:
        assert scrub(text) == left

    def test_literals_and_tokens_alone(self) -> None:
        assert mask_literals("data=b'1', 0123456789") == "data=<bytes>, 0123456789"
        assert mask_tokens("plain") == "plain"

    @pytest.mark.parametrize(("imsi", "short"), [("001010123456789", "00101…89"), ("0010101", "…"), ("", "…")])
    def test_imsi_in_text(self, imsi: str, short: str) -> None:
        assert shorten_imsi(imsi) == short

    def test_iccid_in_text(self) -> None:
        assert shorten_iccid("8900112233445566778") == "890011…6778"
        assert shorten_iccid("8900112233") == "…"

    def test_eid_in_text(self) -> None:
        assert shorten_eid("89049032000000000000000000000018") == "89049032…0018"
        assert shorten_eid("890490320018") == "…"

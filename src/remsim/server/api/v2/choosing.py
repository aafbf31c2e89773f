# SPDX-License-Identifier: Apache-2.0
"""Cards as requests name them: which text names one, and where a number is not enough to tell two cards apart."""

from collections.abc import Sequence

from remsim.core.ids import BankSlot
from remsim.server.api.errors import ApiError, bad_request
from remsim.server.core.card_choice import AMBIGUITY_HINT, CardChoice, CardChoiceError, CardChoiceKind, ambiguity
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.query import MappingInfo, ServerQuery


def read_card(query: ServerQuery, text: str) -> CardChoice:
    """What a text names. Raises ApiError."""
    try:
        choice = CardChoice.parse(text)
    except CardChoiceError as error:
        raise bad_request(str(error), error.hint) from None
    if choice.kind is CardChoiceKind.IMSI and not query.keeps_imsi:
        hint = "set keep_imsi = true in its settings, or name the card by its slot, iccid: or label:"
        raise ApiError(409, "imsi_not_kept", "this server keeps no IMSIs", hint)
    return choice


def places_for(query: ServerQuery, grant: Grant, choice: CardChoice) -> list[BankSlot]:
    """Where such cards are that the token may map."""
    found = query.slots_of(choice)
    if choice.kind is CardChoiceKind.SLOT:
        return found
    return [slot for slot in found if grant.allows(TokenRole.OPERATOR, bank_id=slot.bank_id)]


def check_unambiguous(choice: CardChoice, found: Sequence[BankSlot]) -> None:
    """A number is that of one card. Raises ApiError."""
    if choice.is_one_card and len(found) > 1:
        raise ApiError(409, "ambiguous", ambiguity(choice, found), AMBIGUITY_HINT)


def number_to_follow(query: ServerQuery, bank: BankSlot, before: MappingInfo | None = None) -> str:
    """The number of the card that a mapping is to follow. Raises ApiError.

    Of a slot of which nothing is known now, it is the card that the mapping ``before`` follows there already.
    """
    iccid = query.number(bank)
    if iccid is None and before is not None and before.bank == bank:
        iccid = before.follows
    if iccid is None:
        text = f"the number of the card in {bank} is not known, so it cannot be followed"
        raise ApiError(409, "conflict", text, "see remsim ctl slots; a classic bankd tells no numbers")
    return iccid

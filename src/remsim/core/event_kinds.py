# SPDX-License-Identifier: Apache-2.0
"""The kinds of events that the server tells others of, in words. Their names are those in its log."""

from collections.abc import Mapping
from typing import Final

#: What the kinds mean. An event of another kind is for the log only.
KINDS: Final[Mapping[str, str]] = {
    "bankd_connected": "a bankd was let in",
    "client_connected": "a client was let in",
    "peer_lost": "a bankd or client is gone; the mappings of a bank are stored, and no more, until it returns",
    "mapping_created": "a mapping is stored",
    "mapping_active": "the bankd has it",
    "mapping_refused": "the bankd does not want it",
    "mapping_deleted": "its deletion is stored",
    "mapping_removed": "the bankd has confirmed that",
    "bank_slot_status": "a bankd says whether there is a card in a slot",
    "bank_reader_health": "a reader has failed several times in a row, is tried once more, or works again",
    "slot_health": "the verdict on a bank slot or client slot has changed",
    "session_state": "a card session has begun, is held, goes on, or has ended",
    "card_number": "another card was read in a slot",
    "card_gone": "the card of a slot is gone, or cannot be read",
    "card_followed": "a card was recognised in another slot, and its mapping is stored there",
    "card_not_followed": "a card is in another slot, where its mapping cannot go",
    "mapping_parked": "another card is in the slot of a mapping that follows a card; it waits for its own",
    "labels_changed": "something has other labels",
    "slot_locked": "an operator has locked a bank slot: it gets no new mapping",
    "slot_unlocked": "it may be mapped again",
    "lease_queued": "somebody waits for a free card",
    "lease_granted": "a card is lent; its mapping is stored",
    "lease_renewed": "a card is lent for longer",
    "lease_expired": "the time of a lease is over; its mapping is deleted",
    "lease_released": "a card was given back, a request withdrawn, or the mapping of a lease deleted",
    "lease_timed_out": "no card was free for as long as a lease was to wait",
    "lease_revoked": "the token of a lease is not good any more, or not for it; a lease that had a card has none now",
    "client_sent_to_bankd": "a client was told where its card is",
    "client_told_no_bankd": "a client was told that it has no card",
    "client_did_not_obey": "a client did not take what it was told",
    "bankd_address": "clients reach a bank elsewhere",
    "bankd_has_no_address_for_client": "a client cannot be sent to the bankd of its mapping",
    "bankd_does_not_answer": "a bankd owes an answer for too long; its link is closed",
    "bankd_reset_ordered": "a bankd was told to drop its mappings",
    "bankd_reset": "it has; those that are desired are created again",
    "bankd_did_not_reset": "it has not",
    "warning": "something is wrong; data says what, about what, and what to do",
    "warning_cleared": "that is over",
    "peer_reports_error": "a bankd or client reports an error",
}

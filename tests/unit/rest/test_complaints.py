# SPDX-License-Identifier: Apache-2.0
"""Bodies that are wrong are complained of in words, with how they are written."""

import pytest
from pydantic import BaseModel, ValidationError

from remsim.rest.complaints import Complaint, complaint
from remsim.rest.leases import LeaseRequest
from remsim.rest.models import FleetOrder, LabelsOrder, MappingOrder
from remsim.rest.webhooks import WebhookOrder

CARDS = "B1:3, iccid:8900101234567890018, imsi:001010123456789, label:roaming"
LEASE = {"pool": "label:a", "client": "C7:0", "for": "2h"}


@pytest.mark.parametrize(
    ("model", "value", "said"),
    [
        (MappingOrder, {"card": "hm"}, Complaint("card: 'hm' is not written as it should be", CARDS)),
        (MappingOrder, {"card": "x" * 99}, Complaint(f"card: '{'x' * 40}' is not written as it should be", CARDS)),
        (MappingOrder, {}, Complaint("card is missing", CARDS)),
        (MappingOrder, {"card": "B1:3", "x": 1}, Complaint("x: there is no such member; there are card, follow")),
        (
            MappingOrder,
            {"card": "B1:3", "follow": "me"},
            Complaint("follow: input should be 'slot' or 'card'"),
        ),
        (MappingOrder, {"card": 3}, Complaint("card: input should be a valid string", CARDS)),
        # The name is that of the body, not ours.
        (LeaseRequest, LEASE | {"for": "2x"}, Complaint("for: '2x' is not written as it should be", "2h")),
        (
            LeaseRequest,
            LEASE | {"priority": 101},
            Complaint("priority: input should be less than or equal to 100"),
        ),
        (
            FleetOrder,
            {"mappings": {"X": "B1:3"}},
            Complaint("mappings.X: 'X' is not written as it should be", '{"C7:0": "label:roaming"}'),
        ),
        # A card may be named by a text, or with what is to be followed.
        (
            FleetOrder,
            {"mappings": {"C7:0": {"card": "B1:3", "folow": "card"}}},
            Complaint("mappings.C7:0.folow: there is no such member", '{"C7:0": "label:roaming"}'),
        ),
        (
            FleetOrder,
            {"mappings": {"C7:0": {"card": "B1"}}},
            Complaint("mappings.C7:0.card: 'B1' is not written as it should be", '{"C7:0": "label:roaming"}'),
        ),
        (
            FleetOrder,
            {"mappings": {"C7:0": 3}},
            Complaint("mappings.C7:0: input should be a valid string", '{"C7:0": "label:roaming"}'),
        ),
        (
            LabelsOrder,
            {"labels": ["a", ""]},
            Complaint("labels.1: string should have at least 1 character"),
        ),
        (LabelsOrder, [], Complaint("the body is no JSON object")),
        # What signs deliveries is not said again.
        (
            WebhookOrder,
            {"url": "https://a", "secret": "s3cret"},
            Complaint("secret: string should have at least 16 characters"),
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(model: type[BaseModel], value: object, said: Complaint) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    assert complaint(caught.value, model) == said


def test_an_example_makes_a_hint() -> None:
    assert Complaint("x", "B1:3").hint == "write for example B1:3"
    assert not Complaint("x").hint

"""Codec beside plain `json`: every message of the catalogue, there and back."""

import json

from measure import FLOOR, compare
from samples import every_message

from connector.bridge.codec import decode, encode, headers_of
from connector.bridge.messages import parse_body

ROUNDS = 100


def test_encode() -> None:
    messages = every_message()

    def ours() -> None:
        for _ in range(ROUNDS):
            for each in messages:
                encode(each)

    def plain() -> None:
        for _ in range(ROUNDS):
            for each in messages:
                json.dumps({"header": headers_of(each), "body": each.body}).encode()

    assert compare("encode (plain: json.dumps)", ours, plain, ROUNDS * len(messages)).ratio >= FLOOR


def test_decode() -> None:
    payloads = [encode(each) for each in every_message()]

    def ours() -> None:
        for _ in range(ROUNDS):
            for each in payloads:
                decode(each)

    def plain() -> None:
        for _ in range(ROUNDS):
            for each in payloads:
                json.loads(each)

    assert compare("decode and check (plain: json.loads)", ours, plain, ROUNDS * len(payloads)).ratio >= FLOOR


def test_decode_to_typed_bodies() -> None:
    payloads = [encode(each) for each in every_message()]

    def ours() -> None:
        for _ in range(ROUNDS):
            for each in payloads:
                parse_body(decode(each))

    def plain() -> None:
        for _ in range(ROUNDS):
            for each in payloads:
                json.loads(each)

    # Plain json has no counterpart to the typed body; that is no excuse for being much slower.
    compared = compare("decode to typed body (plain: json.loads)", ours, plain, ROUNDS * len(payloads))
    assert compared.ratio >= FLOOR

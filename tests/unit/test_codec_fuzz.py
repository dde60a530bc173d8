"""A slice of `make fuzz` (tests/bench/fuzz.py), and proof that it would notice."""

from pathlib import Path

import fuzz
import pytest
from fuzz import Fuzzer
from renamed_dialect import renamed_yaml
from samples import every_message

from connector.bridge import codec
from connector.bridge.codec import FrameDecoder, Malformed, decode, encode
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.dialect_file import load_dialect
from connector.bridge.messages import BodyInvalid, Message, Unknown, parse_body


def test_the_samples_are_sound() -> None:
    for message in every_message():
        assert decode(encode(message)) == message
        try:
            body = parse_body(message)
        except BodyInvalid as invalid:
            pytest.fail(f"{message}: {invalid}")
        assert isinstance(body, Unknown) == (message.name == "phone")


def test_mutated_frames_never_break_the_codec() -> None:
    fuzzer = Fuzzer(seed=20260)
    fuzzer.run(10_000)
    assert fuzzer.frames == 10_000
    assert set(fuzzer.outcomes) == {
        "malformed",
        "malformed, but to be answered",
        "too long",
        "too long, but to be answered",
        "body invalid",
        "unknown",
        "valid",
    }


def test_whoever_looks_quickly_sees_the_same_as_who_looks_closely(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "renamed.yaml"
    file.write_text(renamed_yaml(), "utf-8")
    renamed = load_dialect(file)

    def closely(payload: bytes, dialect: Dialect) -> object:
        try:
            return codec._decode_carefully(payload, dialect)
        except Malformed as problem:
            return vars(problem)

    def quickly(payload: bytes, dialect: Dialect) -> object:
        try:
            return decode(payload, dialect)
        except Malformed as problem:
            return vars(problem)

    def both(payload: bytes) -> Message:
        for dialect in (IDENTITY, renamed):
            assert quickly(payload, dialect) == closely(payload, dialect)
        return decode(payload)

    monkeypatch.setattr(fuzz, "decode", both)
    Fuzzer(seed=20261).run(10_000)
    for message in every_message():
        payload = encode(message, renamed)
        assert quickly(payload, renamed) == closely(payload, renamed) == message


def test_the_fuzz_notices_an_exception_that_is_not_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile(payload: bytes) -> object:
        return decode(payload) if payload.isascii() else payload.decode("ascii")

    monkeypatch.setattr(fuzz, "decode", fragile)
    fuzzer = Fuzzer(seed=1)
    with pytest.raises(UnicodeDecodeError):
        fuzzer.run(1000)


def test_the_fuzz_notices_a_stream_that_loses_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(FrameDecoder):
        def feed(self, data: bytes) -> list[object]:  # type: ignore[override]
            return list(super().feed(data))[:1]

    monkeypatch.setattr(fuzz, "FrameDecoder", Forgetful)
    fuzzer = Fuzzer(seed=1)
    with pytest.raises(AssertionError, match="one spoilt frame and one sound one"):
        fuzzer.run(1000)

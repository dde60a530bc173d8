"""A slice of `make fuzz` (tests/bench/fuzz.py), and proof that it would notice."""

import fuzz
import pytest
from fuzz import Fuzzer
from samples import every_message

from connector.bridge.codec import FrameDecoder, decode, encode
from connector.bridge.messages import BodyInvalid, Unknown, parse_body


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

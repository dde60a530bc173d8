"""Mutated frames through the codec: `python tests/bench/fuzz.py --frames N --seconds S --seed X`.

Every case is one valid frame of the catalogue, spoilt, followed by a sound one. Whatever comes, only the
documented errors may come up, nothing may take long, memory must not grow, and where the spoilt frame still
says its own length rightly, the sound frame behind it must come through.
"""

import argparse
import faulthandler
import random
import secrets
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from samples import every_message

from connector.bridge.codec import FrameDecoder, FrameTooLong, Malformed, decode, encode, salvaged
from connector.bridge.framing import HEAD
from connector.bridge.messages import BodyInvalid, Kind, Message, Unknown, parse_body

MAX_FRAME = 64 * 1024
"""Bytes; small, so that frames beyond it are cheap to make."""

SLOWEST = 1.0
"""Seconds of the processor that a single case may take."""

GROWTH = 32 * 1024 * 1024
"""Bytes by which the process may grow after the first tenth: caches of the interpreter, not a leak."""

_HANG = 60
"""Seconds after which a case that never returns ends the process, with a traceback."""

_BATCH = 1000
_SOUND = Message(Kind.EVENT, "channel.activated", "sound.g.c")
_SOUND_FRAME = struct.pack(">I", len(encode(_SOUND))) + encode(_SOUND)

Mutation = Callable[[random.Random, bytes], bytes]


# -- mutations of a payload ---------------------------------------------------------------------------------


def _flip(rng: random.Random, payload: bytes) -> bytes:
    spoilt = bytearray(payload)
    for _ in range(rng.randint(1, 4)):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _cut(rng: random.Random, payload: bytes) -> bytes:
    start = rng.randrange(len(payload))
    return payload[:start] + payload[rng.randint(start, len(payload)) :]


def _truncate(rng: random.Random, payload: bytes) -> bytes:
    return payload[: rng.randrange(len(payload))]


def _repeat(rng: random.Random, payload: bytes) -> bytes:
    start = rng.randrange(len(payload))
    end = rng.randint(start, min(len(payload), start + 64))
    return payload[:start] + payload[start:end] * rng.randint(2, 20) + payload[end:]


def _noise(rng: random.Random, payload: bytes) -> bytes:
    at = rng.randrange(len(payload))
    return payload[:at] + rng.randbytes(rng.randint(1, 12)) + payload[at:]


def _insert(*things: bytes) -> Mutation:
    def mutate(rng: random.Random, payload: bytes) -> bytes:
        """Put something in the place of one value of the JSON text."""
        places = [at for at, byte in enumerate(payload) if byte == ord(":")]
        at = rng.choice(places) + 1
        end = min((where for mark in b",}" if (where := payload.find(mark, at)) >= 0), default=len(payload))
        return payload[:at] + rng.choice(things) + payload[end:]

    return mutate


def _nest(rng: random.Random, payload: bytes) -> bytes:
    depth = rng.choice([31, 32, 33, 34, 100, 900, 1100, 5000])
    opening, closing = rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    deep = opening * depth + b"1" + (closing * depth if rng.random() < 0.8 else b"")
    rest = b"" if b'"body":{}' in payload else b","
    return payload.replace(b'"body":{', b'"body":{"deep":' + deep + rest, 1)


_PAYLOADS: dict[str, Mutation] = {
    "bit flips": _flip,
    "part cut out": _cut,
    "truncated": _truncate,
    "part repeated": _repeat,
    "noise": _noise,
    "huge number": _insert(b"9" * 400, b"-1e400", b"1e-999", b"9223372036854775808", b"0.1e+99999", b"NaN"),
    "other type": _insert(b"null", b"true", b"[]", b"{}", b"0", b'""', b'"x"', b"[null,[{}]]"),
    "invalid utf-8": _insert(b'"\xff\xfe"', b'"\xc3"', b'"\xed\xa0\x80"', b'"\xf5\x80\x80\x80"'),
    "strange text": _insert(b'"\\ud800"', b'"\\u0000\\r\\n"', b'"' + b"a" * 600 + b'"', b'"\\u202e"'),
    "nested deeply": _nest,
}


# -- one case -----------------------------------------------------------------------------------------------


@dataclass
class Fuzzer:
    """Makes cases from a seed and counts what became of them."""

    seed: int
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    slowest: float = 0.0
    slowest_case: bytes = b""

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)  # noqa: S311 - reproducible on purpose
        self._payloads = [encode(each) for each in every_message()]

    def run(self, cases: int) -> None:
        """Run that many cases. Raises as `case` does."""
        for _ in range(cases):
            self.case()

    def case(self) -> None:
        """Run one case.

        Raises:
            AssertionError: a rule of this fuzz was broken; and whatever the codec should not have raised.

        """
        rng = self._rng
        payload = rng.choice(self._payloads)
        kind = rng.choice([*_PAYLOADS, "two at once", "length lie", "too long"])
        self.kinds[kind] += 1
        in_step = True
        if kind == "length lie":
            length = max(0, len(payload) + rng.choice([-1, 1, 7, -len(payload), rng.randint(-300, 70_000)]))
            if rng.random() < 0.2:
                length = rng.choice([2**31, 2**32 - 1, MAX_FRAME, MAX_FRAME + 1])
            stream, in_step = struct.pack(">I", length) + payload, length == len(payload)
        else:
            if kind == "two at once":
                payload = _PAYLOADS["bit flips"](
                    rng, _PAYLOADS[rng.choice(list(_PAYLOADS))](rng, payload) or b" "
                )
            elif kind == "too long":
                payload += b" " * rng.randint(MAX_FRAME - len(payload) + 1, MAX_FRAME + 4096)
            else:
                payload = _PAYLOADS[kind](rng, payload)
            stream = struct.pack(">I", len(payload)) + payload
        began = time.process_time()
        self._carry_out(stream + _SOUND_FRAME, in_step=in_step)
        took = time.process_time() - began
        if took > self.slowest:
            self.slowest, self.slowest_case = took, stream
        assert took < SLOWEST, f"{took:.2f} s for {stream[:200]!r}"
        self.frames += 1

    def _carry_out(self, stream: bytes, *, in_step: bool) -> None:
        decoder = FrameDecoder(MAX_FRAME)
        found: list[bytes | FrameTooLong] = []
        for piece in self._pieces(stream):
            found += decoder.feed(piece)
            assert decoder.buffered <= MAX_FRAME + 4, "more than one frame is kept"
        read = [self._read(each) for each in found]
        if in_step:
            assert len(read) == 2, f"one spoilt frame and one sound one came as {len(read)}"
            assert read[1] == _SOUND, f"the sound frame came as {read[1]!r}"
            assert decoder.buffered == decoder.skipping == 0

    @staticmethod
    def _expect_sentence(text: str) -> None:
        assert text.endswith("."), f"no sentence: {text!r}"
        assert "\n" not in text, f"more than one line: {text!r}"

    def _pieces(self, stream: bytes) -> list[bytes]:
        if self._rng.random() < 0.5:
            return [stream]
        cuts = sorted(self._rng.randint(0, len(stream)) for _ in range(self._rng.randint(1, 5)))
        return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    def _read(self, item: bytes | FrameTooLong) -> Message | None:
        if isinstance(item, FrameTooLong):
            assert len(item.head) <= HEAD, "more than the head is kept"
            problem = salvaged(item.head, str(item))
            self._expect_sentence(problem.reason)
            self.outcomes["too long, but to be answered" if problem.request_id else "too long"] += 1
            return None
        try:
            message = decode(item)
        except Malformed as malformed:
            self._expect_sentence(malformed.reason)
            self.outcomes["malformed, but to be answered" if malformed.request_id else "malformed"] += 1
            return None
        if message == _SOUND:
            return message
        try:
            body = parse_body(message)
        except BodyInvalid as invalid:
            self._expect_sentence(str(invalid))
            self.outcomes["body invalid"] += 1
        else:
            self.outcomes["unknown" if isinstance(body, Unknown) else "valid"] += 1
        return message


def resident() -> int:
    """Return the bytes of memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096


def main() -> int:
    """Run until enough frames went through or the time is over; 1 if a rule was broken."""
    parser = argparse.ArgumentParser(description="Mutated frames through the codec.")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=540.0, help="stop after that long")
    parser.add_argument("--seed", type=int, default=None)
    wanted = parser.parse_args()
    seed = secrets.randbelow(2**32) if wanted.seed is None else wanted.seed
    sys.stdout.write(f"seed {seed} (again with: --seed {seed})\n")
    fuzzer = Fuzzer(seed)
    began = time.perf_counter()
    warm = 0
    while fuzzer.frames < wanted.frames and time.perf_counter() - began < wanted.seconds:
        faulthandler.dump_traceback_later(_HANG, exit=True)
        for _ in range(min(_BATCH, wanted.frames - fuzzer.frames)):
            try:
                fuzzer.case()
            except Exception:
                sys.stdout.write(f"FAILED in case {fuzzer.frames} of seed {seed}\n")
                raise
        if not warm and fuzzer.frames >= wanted.frames // 10:
            warm = resident()
    faulthandler.cancel_dump_traceback_later()
    took = time.perf_counter() - began
    grown = resident() - warm if warm else 0
    for title, counted in (("mutations", fuzzer.kinds), ("outcomes", fuzzer.outcomes)):
        sys.stdout.write(f"{title}: {', '.join(f'{name} {n}' for name, n in counted.most_common())}\n")
    sys.stdout.write(
        f"{fuzzer.frames} frames in {took:.1f} s ({fuzzer.frames / took:.0f} a second), slowest case "
        f"{fuzzer.slowest * 1000:.1f} ms, memory {grown / 1024:+.0f} KiB after the first tenth\n"
    )
    if grown > GROWTH:
        sys.stdout.write(f"FAILED: the process grew by more than {GROWTH} bytes\n")
        return 1
    if fuzzer.frames < wanted.frames:
        sys.stdout.write(f"FAILED: only {fuzzer.frames} of {wanted.frames} frames in {wanted.seconds} s\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

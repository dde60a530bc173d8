"""Length-prefixed frames: bytes in, payloads out. Memory is bounded whatever the peer sends."""

import struct
from dataclasses import dataclass, field

MAX_FRAME = 1024 * 1024
"""Default limit of a payload in bytes."""

HEAD = 4096
"""Bytes that are kept of a payload that is too long: its header may be among them."""

_OUT_OF_STEP = 64
"""A length of that many times the largest frame is not a long frame but a stream that is out of step."""

_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class FrameTooLong:
    """A frame was longer than allowed. Its payload (`size` bytes) is skipped; the stream goes on after it.

    `head` is how it begins: `HEAD` bytes at most, and fewer if the stream is out of step.
    """

    size: int
    limit: int
    head: bytes = field(default=b"", compare=False, repr=False)

    @property
    def is_out_of_step(self) -> bool:
        """Whether the length is beyond belief: what comes is no stream of frames."""
        return self.size > _OUT_OF_STEP * self.limit

    def __str__(self) -> str:
        return f"A frame of {self.size} bytes came, at most {self.limit} are allowed."


class FrameDecoder:
    """Cuts a stream of bytes into payloads.

    A payload that is too long is reported once, by the `FrameTooLong` at its place in the sequence, as soon
    as its head came. Its other bytes are dropped as they come: at most one frame of `max_frame` bytes, a
    head and one read are ever in memory.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max = max_frame
        self._buffer = bytearray()
        self._skip = 0
        self._too_long: int | None = None
        self._head = bytearray()

    @property
    def skipping(self) -> int:
        """Bytes of an oversized frame that are still to come."""
        return self._skip

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished frame, its length prefix included."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes | FrameTooLong]:
        """Take bytes from the stream and return what they complete, in order."""
        out: list[bytes | FrameTooLong] = []
        if self._skip:
            dropped = min(self._skip, len(data))
            self._pass_over(data[:dropped], out)
            data = data[dropped:]
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, start)
            end = start + _LENGTH.size + size
            if size > self._max:
                self._skip = self._too_long = size
                self._pass_over(buffer[start + _LENGTH.size : end], out)
                start = min(end, len(buffer))
            elif end > len(buffer):
                break
            else:
                out.append(bytes(buffer[start + _LENGTH.size : end]))
                start = end
        del buffer[:start]
        return out

    def _pass_over(self, data: bytes | bytearray, out: list[bytes | FrameTooLong]) -> None:
        """Drop bytes of an oversized frame, but for its head, and report it once that is complete."""
        self._skip -= len(data)
        if self._too_long is None:
            return
        self._head += data[: HEAD - len(self._head)]
        found = FrameTooLong(self._too_long, self._max, bytes(self._head))
        if found.is_out_of_step or not self._skip or len(self._head) == HEAD:
            out.append(found)
            self._too_long = None
            self._head.clear()


def frame(payload: bytes) -> bytes:
    """Put the length before a payload."""
    return _LENGTH.pack(len(payload)) + payload

"""Length-prefixed frames: bytes in, payloads out. Memory is bounded whatever the peer sends."""

import struct
from dataclasses import dataclass

MAX_FRAME = 1024 * 1024
"""Default limit of a payload in bytes."""

_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class FrameTooLong:
    """A frame was longer than allowed. Its payload (`size` bytes) is skipped; the stream goes on after it."""

    size: int
    limit: int

    def __str__(self) -> str:
        return f"A frame of {self.size} bytes came, at most {self.limit} are allowed."


class FrameDecoder:
    """Cuts a stream of bytes into payloads.

    A payload that is too long is reported once, by the `FrameTooLong` at its place in the sequence, and its
    bytes are dropped as they come: at most one frame of `max_frame` bytes plus one read is ever in memory.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max = max_frame
        self._buffer = bytearray()
        self._skip = 0

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
            self._skip -= dropped
            data = data[dropped:]
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, start)
            end = start + _LENGTH.size + size
            if size > self._max:
                out.append(FrameTooLong(size, self._max))
                self._skip = max(0, end - len(buffer))
                start = min(end, len(buffer))
            elif end > len(buffer):
                break
            else:
                out.append(bytes(buffer[start + _LENGTH.size : end]))
                start = end
        del buffer[:start]
        return out


def frame(payload: bytes) -> bytes:
    """Put the length before a payload."""
    return _LENGTH.pack(len(payload)) + payload

"""The wires of the campaign: between connector and PBX, and between connector and bridge."""

import asyncio
import random
import struct

import msgspec
from cable import Cable

_HEAD = struct.Struct(">I")
_LATE = 0.05
"""Seconds by which a message may come late, so that others overtake it."""


class Wire(Cable):
    """A cable whose far end may be away: then whoever connects is cut off."""

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await super()._relay(reader, writer)
        except OSError:
            writer.transport.abort()


class BridgeWire(Wire):
    """A cable to the bridge (TCP) that can send its messages twice, and in another order.

    Only what the bridge asks is spoilt. The connector's second response to a doubled message is kept from the
    bridge, which asked once; it must be the same as the first.
    """

    def __init__(self, host: str, port: int, chance: random.Random) -> None:
        super().__init__(host, port)
        self.doubling = self.shuffling = False
        self.doubled = self.late = 0
        self.different: list[str] = []
        """Requests whose second answer was not the first."""
        self._chance = chance
        self._answers: dict[str, bytes | None] = {}

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        rest = b""
        try:
            while data := await source.read(65536):
                await self._thawed.wait()
                if source.exception() is not None:
                    break
                rest += data
                while len(rest) >= _HEAD.size and len(rest) >= (
                    end := _HEAD.size + _HEAD.unpack_from(rest)[0]
                ):
                    self._carry(rest[:end], sink)
                    rest = rest[end:]
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()

    def _carry(self, frame: bytes, sink: asyncio.StreamWriter) -> None:
        header = msgspec.json.decode(frame[_HEAD.size :])["header"]
        kind, request = header["type"], header.get("requestId", "")
        if kind == "cti.response" and request in self._answers:
            first = self._answers[request]
            if first is None:
                self._answers[request] = frame
                sink.write(frame)
            elif first != frame:
                self.different.append(request)
            return
        if kind not in {"cti.query", "cti.request"}:
            sink.write(frame)
            return
        if self.doubling:
            self.doubled += 1
            self._answers[request] = None
            sink.write(frame)
        if self.shuffling and self._chance.random() < 0.5:
            self.late += 1
            pause = self._chance.uniform(0, _LATE)
            asyncio.get_running_loop().call_later(pause, _write, sink, frame)
        else:
            sink.write(frame)


def _write(sink: asyncio.StreamWriter, frame: bytes) -> None:
    if not sink.is_closing():
        sink.write(frame)

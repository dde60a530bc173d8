"""`/livez`, `/readyz` and `/metrics` over HTTP: enough of it for a probe and for Prometheus, and no more.

It shares the event loop with everything else, so an answer proves that the loop turns.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

log = structlog.get_logger(__name__)

_LONGEST_REQUEST: Final = 16 * 1024
_PATIENCE: Final = 5.0
"""Seconds that a request, and the taking of its answer, may last."""
_AT_ONCE: Final = 16
"""Connections; more are closed unanswered."""
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"


class Page(NamedTuple):
    """An answer: status, kind of content, content."""

    status: int
    kind: str
    content: bytes


class Pages:
    """A server of a few pages, each made when it is asked for. Nothing of a request but its path counts."""

    def __init__(self, pages: dict[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """The TCP port."""
        if self._server is None:
            raise RuntimeError("the server does not listen")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def listen(self, host: str, port: int) -> None:
        """Begin to answer.

        Raises:
            OSError: the address or the port cannot be had.

        """
        self._server = await asyncio.start_server(self._serve, host, port, limit=_LONGEST_REQUEST)

    async def close(self) -> None:
        """Stop; connections that are open are closed."""
        if self._server is None:
            return
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _AT_ONCE:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # A peer that does not speak HTTP, or not to the end, gets nothing.
            writer.transport.abort()
        finally:
            self._open.discard(writer)

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        method = words[0]
        page = self._page(words)
        lines = (
            f"HTTP/1.1 {page.status} {_REASONS[page.status]}",
            f"Content-Type: {page.kind}",
            f"Content-Length: {len(page.content)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            *(("Allow: GET, HEAD",) if page.status == 405 else ()),  # noqa: PLR2004 - see `_REASONS`
            "Connection: close",
        )
        content = b"" if method == "HEAD" else page.content
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content

    def _page(self, words: list[str]) -> Page:
        if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, path, version
            return Page(400, TEXT, b"This is no HTTP request.\n")
        method, path, _ = words
        make = self._pages.get(path.partition("?")[0])
        if make is None:
            return Page(404, TEXT, f"There are {', '.join(sorted(self._pages))}.\n".encode())
        if method not in {"GET", "HEAD"}:
            return Page(405, TEXT, b"GET and HEAD only.\n")
        try:
            return make()
        except Exception:
            log.exception("a page could not be made", path=path)
            return Page(503, TEXT, b"The log says why this cannot be shown.\n")

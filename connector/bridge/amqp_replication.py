"""Which batches of the ledger are with the broker, where those who stand by read them. It does no I/O."""

import asyncio


class Replication:
    """Batches on their way, by their turns; who must not go on before one has arrived waits here."""

    def __init__(self) -> None:
        self._on_the_way: set[int] = set()
        self._waiting: dict[asyncio.Future[None], int] = {}

    def left(self, turn: int) -> None:
        """Note a batch that is to be published."""
        self._on_the_way.add(turn)

    def arrived(self, turn: int) -> None:
        """Note that the broker has confirmed a batch."""
        self._on_the_way.discard(turn)
        self._go_on()

    def forget(self) -> None:
        """Wait for nothing any more: all that was on its way was dropped, and a snapshot follows."""
        self._on_the_way.clear()
        self._go_on()

    async def until(self, turn: int) -> None:
        """Wait until that batch and all before it have arrived."""
        if self._has(turn):
            return
        arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[arrival] = turn
        try:
            await arrival
        finally:
            self._waiting.pop(arrival, None)

    def _has(self, turn: int) -> bool:
        return all(one > turn for one in self._on_the_way)

    def _go_on(self) -> None:
        for arrival, turn in self._waiting.items():
            if not arrival.done() and self._has(turn):
                arrival.set_result(None)

"""How a connector takes the place of one that was there before: by its own ledger, or the leader's."""

from collections.abc import Awaitable, Callable, Mapping

import structlog
from aio_pika.abc import AbstractIncomingMessage

from connector.bridge.amqp_inbox import Inbox
from connector.bridge.amqp_link import BrokerLink
from connector.bridge.amqp_memory import Memory
from connector.bridge.amqp_outbox import Outbox, OutgoingRecord
from connector.bridge.amqp_peers import Peers
from connector.bridge.amqp_replication import Replication
from connector.bridge.amqp_standby import Standby, Superseded, letter_of_record
from connector.bridge.ledger import Batch, Ledger
from connector.bridge.ledger_copy import Recorder

log = structlog.get_logger(__name__)

Resume = Callable[[Mapping[str, bytes]], Awaitable[None]]
"""Rebuilds from the ledger's rows what is above the transport."""


class Succession:
    """The ledger's part in a transport. With `standby` the lead comes first, at every link anew."""

    def __init__(self, ledger: Ledger, resume: Resume | None, standby: Standby | None) -> None:
        self.ledger = ledger
        self.memory = Memory(ledger)
        self.standby = standby
        self.recorder = Recorder()
        self.replication = Replication()
        if standby is not None:
            # What was not heard of by those who stand by would be carried out by them once more.
            ledger.travelled = self.replication.until
        self._resume = resume
        self._began = False
        self._went_on = False

    async def lead(self, link: BrokerLink) -> None:
        """Wait for the lead, where others may have it; the newest state is in the ledger then.

        Raises:
            Superseded: another one led meanwhile, or may have.
            AMQPError, OSError, RuntimeError: the link broke.

        """
        if self.standby is None:
            return
        if self._began and not self._went_on:
            # The link broke in the middle: what was begun (a session with the PBX) must end first.
            raise Superseded
        ledger = self.ledger
        replica = await self.standby.lead(link, ledger.position if self._went_on else None)
        newer = replica.newest > ledger.position
        if newer and not replica.complete:
            log.warning("what the connector that led has written is not whole; the bridge begins anew")
        if newer:
            ledger.replace(replica.rows if replica.complete else {})
        ledger.begin_term(max(replica.newest[0], ledger.position[0]) + 1)
        self.recorder.snapshot_due = True

    async def go_on(
        self, instance: str, peers: Peers, outbox: Outbox, inbox: Inbox[AbstractIncomingMessage]
    ) -> str:
        """Put everything back as the ledger has it, the first time; return who we are to the bridge."""
        if self._went_on:
            return instance
        self._began = True
        rows = self.ledger.rows
        found = self.memory.recall(rows)
        if found.instance:
            instance = found.instance
            peers.restore(found.peer, found.newest)
            outbox.restore(found.waiting)
            self.replication.forget()
            for message_id, request_id in found.answered:
                inbox.saw(message_id, request_id)
            for outgoing in found.waiting:
                if outgoing.answers is not None:
                    inbox.await_answer(outgoing.answers)
            log.info("going on where another process ended", waiting=len(found.waiting))
        if self._resume is not None:
            await self._resume(rows)
        self._went_on = True
        return instance

    def committed(self, batch: Batch, outbox: Outbox) -> None:
        """Have a batch travel to those who stand by."""
        if self.standby is not None:
            turn = self.ledger.done_turn
            self.replication.left(turn)
            outbox.put_record(self.recorder.record(self.ledger.rows, batch), turn)

    async def post(self, link: BrokerLink, outgoing: OutgoingRecord, patience: float) -> None:
        """Publish a part of the ledger. Raises what a broken link raises."""
        if self.standby is not None:
            letter = letter_of_record(outgoing.record)
            await link.publish(letter, self.standby.name, self.standby.routing_key, patience)
            self.replication.arrived(outgoing.turn)

"""The faults: each breaks something, at once or for some time, and mends it again."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from witness import hang_up
from world import START, World

from connector.bridge.messages import control as control_wire
from connector.lab.phones.base import CallState
from connector.processor.problems import BridgeGone


async def ami_reset(world: World) -> None:
    """Reset the connection to the PBX; half of the time it stays away for a while."""
    away = world.chance.choice((0.0, world.chance.uniform(0, 2.5)))
    if away:
        world.pbx_wire.freeze()
    world.pbx_wire.cut()
    await asyncio.sleep(away)
    world.pbx_wire.thaw()


async def ami_stalled(world: World) -> None:
    """Let nothing through to and from the PBX, and say so to nobody."""
    world.pbx_wire.freeze()
    await asyncio.sleep(world.chance.uniform(0.2, 3))
    world.pbx_wire.thaw()


async def new_connector_is_known(world: World) -> None:
    """Ask something by way of the broker: only an answer tells the bridge that there is another connector."""
    if world.transport == "amqp":
        with suppress(BridgeGone):
            await world.bridge.request("", control_wire.Capabilities(), timeout=START)


async def connector_killed(world: World) -> None:
    """Kill the connector (SIGKILL) and start it again."""
    await world.kill()
    await asyncio.sleep(world.chance.uniform(0, 1))
    await world.start()
    await new_connector_is_known(world)


async def connector_terminated(world: World) -> None:
    """Have the connector end in order while calls are up (SIGTERM, half of the time twice); start another."""
    await world.terminate(hurry=world.chance.choice((None, world.chance.uniform(0, 0.8))))
    await asyncio.sleep(world.chance.uniform(0, 0.5))
    await world.start()
    await new_connector_is_known(world)


async def standby_takes_over(world: World) -> None:
    """End the connector (SIGKILL, a third of the time SIGTERM twice) while another one stands by."""
    await world.stand_by()
    await asyncio.sleep(world.chance.uniform(0, 0.5))
    await world.take_over(kill=world.chance.random() < 2 / 3)
    await new_connector_is_known(world)


async def connector_stopped(world: World) -> None:
    """Give the connector no processor for a while (SIGSTOP): a slow reader of PBX and bridge."""
    world.alive.send_signal(signal.SIGSTOP)
    await asyncio.sleep(world.chance.uniform(0.2, 2.5))
    world.alive.send_signal(signal.SIGCONT)


async def bridge_killed(world: World) -> None:
    """End the bridge with all that it knew, and have it begin anew."""
    if world.transport == "amqp":
        await world.bridge.drop_connections()
        return
    await world.bridge.drop_connections()
    await world.bridge.stop()
    await asyncio.sleep(world.chance.uniform(0, 1.5))
    await world.bridge.start()


async def bridge_slow(world: World) -> None:
    """Have the bridge read nothing for a while."""
    world.bridge_wire.freeze()
    await asyncio.sleep(world.chance.uniform(0.3, 2.5))
    world.bridge_wire.thaw()


async def bridge_doubles(world: World) -> None:
    """Let what the bridge asks come twice."""
    world.bridge_wire.doubling = True
    await asyncio.sleep(world.chance.uniform(0.5, 2))
    world.bridge_wire.doubling = False


async def bridge_shuffles(world: World) -> None:
    """Let what the bridge asks come in another order."""
    world.bridge_wire.shuffling = True
    await asyncio.sleep(world.chance.uniform(0.5, 2))
    world.bridge_wire.shuffling = False


async def broker_restarted(world: World) -> None:
    """Stop or kill the broker, and start it again."""
    await asyncio.to_thread(world.lab.rabbitmq_stop, kill=world.chance.random() < 0.5)
    await asyncio.sleep(world.chance.uniform(0, 1))
    await asyncio.to_thread(world.lab.rabbitmq_start)


async def broker_restarted_under_two(world: World) -> None:
    """Stop or kill the broker, and start it again, while another connector stands by: either leads then."""
    await world.stand_by()
    await broker_restarted(world)
    await world.leader_found()
    await new_connector_is_known(world)


async def asterisk_restarted(world: World) -> None:
    """Stop or kill the PBX, and start it again; calls are lost, phones register again."""
    await asyncio.to_thread(world.lab.asterisk_stop, kill=world.chance.random() < 0.5)
    await asyncio.sleep(world.chance.uniform(0, 1))
    await asyncio.to_thread(world.lab.asterisk_start)
    calls = [call for phone in world.phones.phones for call in phone.calls]
    await hang_up(world, but=set())
    for call in calls:
        # A phone that declines a call waits up to 32 s for the word of a PBX that knows nothing of it.
        await call.wait_state(CallState.ENDED, START)
    for phone in world.phones.phones:
        # A phone that thinks that it is registered would not do it again.
        await phone.unregister()
        await phone.register()
    await world.observer.wait_up(START)
    async with asyncio.timeout(START):
        while await _unregistered(world):  # noqa: ASYNC110 - the list tells nobody
            await asyncio.sleep(0.05)


OUTLIVED = {
    connector_killed,
    connector_terminated,
    connector_stopped,
    standby_takes_over,
    broker_restarted,
    broker_restarted_under_two,
}
"""What the bridge need not notice by way of a broker: no session begins anew."""


async def _unregistered(world: World) -> set[str]:
    """Return which phones the PBX does not know to be there yet."""
    devices = await world.observer.send_list("DeviceStateList")
    there = {
        row["Device"] for row in devices if row.get("State") not in {"UNAVAILABLE", "INVALID", "UNKNOWN"}
    }
    return {phone.extension for phone in world.phones.phones if f"PJSIP/{phone.extension}" not in there}


Fault = Callable[[World], Awaitable[None]]

COMMON: dict[Fault, int] = {
    ami_reset: 4,
    ami_stalled: 4,
    connector_killed: 4,
    connector_terminated: 3,
    connector_stopped: 3,
    bridge_killed: 3,
    asterisk_restarted: 1,
}
"""Faults and how often each comes, in proportion."""

OF: dict[str, dict[Fault, int]] = {
    "tcp": {**COMMON, bridge_slow: 3, bridge_doubles: 3, bridge_shuffles: 3},
    "amqp": {**COMMON, broker_restarted: 3, broker_restarted_under_two: 2, standby_takes_over: 3},
}

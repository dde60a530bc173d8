"""Channel group destination: the channels of one workplace."""

from typing import Any

import msgspec

from connector.bridge.catalogue.session import ChannelType
from connector.bridge.schema import Body, Scope, event, query, request


def _one_spelling(data: dict[str, Any], wanted: str, other: str) -> dict[str, Any]:
    if other in data and wanted not in data:
        data = dict(data)
        data[wanted] = data.pop(other)
    return data


class ListedChannel(Body, frozen=True, kw_only=True):
    """A channel of the group; its key is `end-point` here and `endpoint` everywhere else."""

    endpoint: str = msgspec.field(name="end-point")
    type: ChannelType


class ChannelGroupInitReply(Body, frozen=True, kw_only=True):
    """The channels of the group, always present."""

    channels: tuple[ListedChannel, ...]

    @classmethod
    def normalise(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Accept `endpoint` for `end-point`."""
        channels = data.get("channels")
        if not isinstance(channels, list):
            return data
        spelt = [
            _one_spelling(each, "end-point", "endpoint") if isinstance(each, dict) else each
            for each in channels
        ]
        return {**data, "channels": spelt}


@query("channelgroup.query.init", scope=Scope.CHANNEL_GROUP, origin="W", reply=ChannelGroupInitReply)
class ChannelGroupInit(Body, frozen=True, kw_only=True):
    """Opens the channel group."""


class _Endpoint(Body, frozen=True, kw_only=True):
    endpoint: str
    type: ChannelType

    @classmethod
    def normalise(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Accept `end-point` for `endpoint`."""
        return _one_spelling(data, "endpoint", "end-point")


@request("channelgroup.request.createchannel", scope=Scope.CHANNEL_GROUP, origin="C")
class CreateChannel(_Endpoint, frozen=True, kw_only=True):
    """Prepares a channel of the group; `id` is its bridge id."""

    id: str


@request("channelgroup.request.dispose", scope=Scope.CHANNEL_GROUP, origin="C")
class Dispose(Body, frozen=True, kw_only=True):
    """Drops the group's resources; the agent's state on the PBX stays as it is."""


@event("channelgroup.channel.added", scope=Scope.CHANNEL_GROUP, origin="C")
class ChannelAdded(_Endpoint, frozen=True, kw_only=True):
    """A channel joined the group."""


@event("channelgroup.channel.removed", scope=Scope.CHANNEL_GROUP, origin="C")
class ChannelRemoved(_Endpoint, frozen=True, kw_only=True):
    """A channel left the group."""


@event("channelgroup.disposed", scope=Scope.CHANNEL_GROUP, origin="C")
class Disposed(Body, frozen=True, kw_only=True):
    """The group is gone."""

"""Every key of every body as the protocol's tables print it, against the catalogue.

A key stands with its kind: nothing for a string (or one of a set of words), `:bool`, `:int`, `{}` for an
object whose keys are free, `[]` for a list; what is inside a typed object follows after a dot.
"""

import types
from collections.abc import Iterator
from enum import EnumMeta
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import pytest
from test_bridge_catalogue import NAMES

from connector.bridge.messages import CATALOGUE, Body

CREDENTIALS = "agentId agentLogin agentPassword"
ENDPOINT = "endpoint type"
LABELS = "labels[].language labels[].country labels[].name labels[].description"
TEAM = " ".join(
    f"teamstatus[].{key}"
    for key in ("loginid", "firstname", "lastname", "extension", "state", "statechangetime")
)
MEMBER = "id address name type"

BODIES = {
    "cti.query.agentinfo": "agentId requestingAgentLogin requestingAgentPassword",
    "cti.request.validateagentcredentials": CREDENTIALS,
    "cti.request.createsession": "agentId agentPassword sessionId destination",
    "cti.serverstatuschanged": "status",
    "session.query.init": "name chat:bool email:bool callback:bool",
    "session.request.createchannelgroup": (
        "name id extension properties.chat:bool properties.email:bool properties.callback:bool"
        " properties.voicemail:bool extensions.mobileagent-mode extensions.mobileagent-dialnumber"
        " extensions.MaxEmails extensions.MaxChats"
    ),
    "session.request.getteamstatus": "realtime:bool",
    "session.channel.added": ENDPOINT,
    "session.channelgroup.added": "name",
    "session.externallogoutreasons.updated": " ".join(
        f"logoutReasons[].{key}"
        for key in f"logoutReasonId logoutReasonCode extensions[]{{}} {LABELS}".split()
    ),
    "session.externalnotreadyreasons.updated": " ".join(
        f"reasonCodes[].{key}"
        for key in f"reasonCodeId reasonCodeCode selectable:bool extensions[]{{}} {LABELS}".split()
    ),
    "session.teamstatus.updated": TEAM,
    "channelgroup.request.createchannel": f"id {ENDPOINT}",
    "channelgroup.channel.added": ENDPOINT,
    "channelgroup.channel.removed": ENDPOINT,
    "channel.request.activate": "options{}",
    "channel.request.deactivate": "options{}",
    "channel.request.notready": "reasonCodeId",
    "channel.request.createinteraction": "id nativeid",
    "channel.request.dial": "destination",
    "channel.notready": "reason",
    "channel.interaction.added": "nativeid type",
    "interaction.request.createconversation": "id nativeid",
    "interaction.request.setdata": "interaction-data{}",
    "interaction.request.deletedata": "keys[]",
    "interaction.request.consult": "destination",
    "interaction.ended": "cause",
    "interaction.datachanged": "interaction-data{}",
    "interaction.consult": "nativeid",
    "conversation.request.blindtransfer": "destination",
    "conversation.request.blindconference": "destination",
    "conversation.request.senddtmf": "tones",
    "conversation.statechanged": "conversation-state cause",
    "conversation.member.added": MEMBER,
    "conversation.member.removed": MEMBER,
}
"""By message; one that is not here has no body."""

REPLIES = {
    "cti.query.capabilities": (
        "channel-groups-supported:bool channel-groups-max-per-agent:int channel-groups-media-types"
        " single-channels-supported:bool single-channels-media-types"
    ),
    "cti.query.agentinfo": "switch-agent-id first-name last-name full-name cti-specific{}",
    "session.query.init": "channelGroup",
    "session.request.getteamstatus": TEAM,
    "channelgroup.query.init": "channels[].end-point channels[].type",
    "channel.query.init": "channel-state agent-state reason interactions[].id interactions[].type",
    "interaction.query.init": (
        "interaction-state interaction-data{} conversations.primary.id conversations.consult.id"
    ),
    "interaction.request.getdata": "interaction-data{}",
    "interaction.request.consult": "nativeid",
    "conversation.query.init": f"conversation-state {' '.join(f'members[].{key}' for key in MEMBER.split())}",
}
"""What a response carries, by message; one that is not here carries nothing."""


def keys(body: type[Body]) -> Iterator[str]:
    for each in msgspec.structs.fields(body):
        yield from kinds(each.encode_name, each.type)


def kinds(key: str, annotation: Any) -> Iterator[str]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from kinds(key, inner[0])
    elif origin in {Union, types.UnionType}:
        (one,) = (each for each in inner if each is not type(None))
        yield from kinds(key, one)
    elif origin is tuple:
        yield from kinds(f"{key}[]", inner[0])
    elif origin is dict:
        yield f"{key}{{}}"
    elif isinstance(annotation, EnumMeta) or annotation is str:
        yield key
    elif issubclass(annotation, Body):
        yield from (f"{key}.{each}" for each in keys(annotation))
    else:
        yield f"{key}:{annotation.__name__}"


@pytest.mark.parametrize("name", NAMES)
def test_a_body_has_the_keys_of_the_protocol_and_no_other(name: str) -> None:
    spec = CATALOGUE[name]
    assert sorted(keys(spec.body)) == sorted(BODIES.get(name, "").split())
    if spec.reply is not None:
        assert sorted(keys(spec.reply)) == sorted(REPLIES.get(name, "").split())


def test_the_tables_name_messages_of_the_protocol_only() -> None:
    assert {*BODIES, *REPLIES} <= set(NAMES)

"""The session destination: one agent's login, holding exactly one channel group."""

import re

from connector.bridge.messages import session as wire
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.channelgroup import ChannelGroup
from connector.destinations.desks import is_busy, leave, phones_of
from connector.destinations.directory import Agent
from connector.destinations.site import Reason
from connector.destinations.tree import SERVICE_TOPIC, Tree, agent_topic
from connector.telephony.changes import Change, PresenceChanged, ServiceChanged
from connector.telephony.pbx import Seat

_EXTENSION = re.compile(r"[A-Za-z0-9_.+-]{1,40}")
_NO_MOBILE = frozenset({"", "0", "none", "off", "false"})
_PER_CALL = frozenset({"1", "on", "true", "call-by-call", "callbycall"})
_NAILED = frozenset({"2", "nailed", "nailed-up", "nailedup"})
_CLOSE = "session.request.close"
_DISPOSE = "session.request.dispose"
_LOGOUT_REASONS = "session.request.externallogoutreasons"
_NOT_READY_REASONS = "session.request.externalnotreadyreasons"


class Session(Destination):
    """An agent's session. It never changes the agent's state on the PBX by coming or going: close does."""

    kind = "session"

    def __init__(self, tree: Tree, target: str, parent: Destination, agent: Agent, session_id: str) -> None:
        super().__init__(tree, target, parent)
        self.agent = agent
        self.session_id = session_id
        self.out_of_service = False
        """Whether the bridge was told, during this session, that the service was lost."""
        self._pbx_lost = False
        self._media: set[str] = set()
        self._had_group = False
        tree.listen(SERVICE_TOPIC, self)
        tree.listen(agent_topic(agent.agent_id), self)

    @property
    def ids(self) -> dict[str, str]:
        """What tells in a log whom this is about: the agent."""
        return {"agent": self.agent.agent_id}

    def asks_of_pbx(self, name: str) -> bool:
        """Return whether it is about what the agents do."""
        return name == "session.request.getteamstatus"

    @property
    def group_name(self) -> str:
        """The CTI id of the agent's channel group."""
        return f"group-{self.agent.agent_id}"

    @property
    def media(self) -> list[str]:
        """The media that the bridge asked for beside telephony."""
        return sorted(self._media)

    @property
    def had_group(self) -> bool:
        """Whether the bridge has created a group at some time."""
        return self._had_group

    def go_on_from(self, *, media: list[str], had_group: bool, out_of_service: bool) -> None:
        """Take up what an earlier process knew of the session."""
        self._media, self._had_group, self.out_of_service = set(media), had_group, out_of_service

    def lose_service(self) -> None:
        """Tell the agent, once, that the telephone system is lost."""
        if self._pbx_lost:
            return
        self._pbx_lost = self.out_of_service = True
        self.tree.changed(self)
        text = "The telephone system cannot be reached: calls go on, but cannot be controlled from here."
        self.tree.error(self, "pbx.lost", "PBX_LOST", text)

    def watch_team(self) -> None:
        """Tell every change of the team's members from now on."""
        self.tree.team.subscribe(self, self.agent.team, self._member_changed)

    def tell_team(self) -> None:
        """Tell how all members of the team are, if their changes are to be told."""
        if self.tree.team.is_subscribed(self):
            self.emit(wire.TeamStatusUpdated(teamstatus=self.tree.team.members(self.agent.team)))

    @property
    def busy(self) -> bool:
        """Whether the agent is on a call."""
        return any(group.busy for group in self._groups())

    @handles(wire.SessionInit)
    async def init(self, body: wire.SessionInit) -> wire.SessionInitReply:
        """Name the one group; media that Asterisk has not become unsupported channels in it."""
        self.open = True
        self._note_media(chat=body.chat, email=body.email, callback=body.callback)
        return wire.SessionInitReply(channel_group=self.group_name)

    @handles(wire.CreateChannelGroup)
    async def create_channel_group(self, body: wire.CreateChannelGroup) -> None:
        """Prepare the group: the agent sits at `extension`, or at the directory's phone."""
        if body.name != self.group_name:
            raise Refusal(f"There is no channel group {body.name}: this session's is {self.group_name}.")
        mobile = await self._mobile_phone(body.extensions)
        extension = mobile or body.extension or self.agent.extension
        if not mobile and _EXTENSION.fullmatch(extension) is None:
            raise Refusal("The extension may hold 1 to 40 letters, digits, and _ . + - only.")
        seat = self._seat_at(extension)
        wanted = body.properties
        self._note_media(chat=wanted.chat, email=wanted.email, callback=wanted.callback)
        self.require_no_child_for(self.group_name)
        group = ChannelGroup(self.tree, self.target_of_child(body.id), self, seat, tuple(sorted(self._media)))
        group.cti_id = self.group_name
        self._had_group = True

    @handles(wire.ExternalLogoutReasons)
    async def logout_reasons(self, _body: wire.ExternalLogoutReasons) -> None:
        """Answer; the reasons follow as an event."""

    @handles(wire.ExternalNotReadyReasons)
    async def not_ready_reasons(self, _body: wire.ExternalNotReadyReasons) -> None:
        """Answer; the reasons follow as an event."""

    @handles(wire.GetTeamStatus)
    async def team_status(self, body: wire.GetTeamStatus) -> wire.TeamStatusReply:
        """Tell what the team is doing now; `realtime` says whether changes are told from now on."""
        team = self.tree.team
        if body.realtime:
            self.watch_team()
        else:
            team.unsubscribe(self)
        return wire.TeamStatusReply(teamstatus=team.members(self.agent.team))

    @handles(wire.StopTeamStatus)
    async def stop_team_status(self, _body: wire.StopTeamStatus) -> None:
        """End the subscription."""
        self.tree.team.unsubscribe(self)

    @handles(wire.Close)
    async def close(self, _body: wire.Close) -> None:
        """Complete what has ended, log the agent out everywhere; refused while a call is up.

        What runs below is waited for: it may be a call that is placed, or a login.
        """
        self._require_idle()
        async with self.tree.alone(self):
            await self._log_out(self._require_idle())

    def _require_idle(self) -> list[Seat]:
        """Return where the agent works. Raises Refusal if a call is up."""
        if self.tree.behind:
            # A call may be up of which nothing is known yet.
            raise Refusal(
                "The session cannot be closed: the telephone system cannot be reached at the moment."
            )
        pbx = self.tree.pbx
        # The agent may work where no group of this session is: from an earlier session, say.
        seats = [self._seat_at(phone) for phone in phones_of(pbx, self.agent.agent_id)]
        for seat in seats:
            pbx.watch(seat.endpoint)
        if self.busy or any(is_busy(pbx, seat) for seat in seats):
            raise Refusal("The session cannot be closed: the agent is on a call.")
        return seats

    async def _log_out(self, seats: list[Seat]) -> None:
        groups = self._groups()
        told = {phone for group in groups for phone in (group.seat.endpoint, *group.elsewhere)}
        for seat in seats:
            if seat.endpoint not in told:
                await leave(self.tree.pbx, seat)
        for group in groups:
            await group.close()

    @handles(wire.Dispose)
    async def dispose_request(self, _body: wire.Dispose) -> None:
        """Answer; the branch is released after it, the agent's state stays."""

    def answered(self, name: str) -> None:
        """Send `session.closed` after close, leave the tree after dispose."""
        if name == _CLOSE:
            self.emit(wire.Closed())
        elif name == _LOGOUT_REASONS:
            self.emit(
                wire.LogoutReasonsUpdated(
                    logout_reasons=tuple(
                        wire.LogoutReason(id=one.id, code=one.code, extensions=(), labels=_labels(one))
                        for one in self.tree.site.logout
                    )
                )
            )
        elif name == _NOT_READY_REASONS:
            self.emit(
                wire.NotReadyReasonsUpdated(
                    reason_codes=tuple(
                        wire.NotReadyReason(
                            id=one.id,
                            code=one.code,
                            selectable=one.selectable,
                            extensions=(),
                            labels=_labels(one),
                        )
                        for one in self.tree.site.not_ready
                    )
                )
            )
        elif name == _DISPOSE:
            self.dispose()

    def on_change(self, change: Change) -> None:
        """Tell the agent when the telephone system is lost, the bridge when the group is there again."""
        if isinstance(change, ServiceChanged):
            if change.available:
                self._pbx_lost = False
            else:
                self.lose_service()
        elif isinstance(change, PresenceChanged) and self._regains_group(change):
            self.emit(wire.ChannelGroupAdded(name=self.group_name))

    def _regains_group(self, change: PresenceChanged) -> bool:
        """Whether another tool logged the agent in after the bridge had given the group up.

        Before that the bridge knows the group from the answer to init.
        """
        me = self.agent.agent_id
        logged_in = change.now.agent == me and change.before.agent != me
        return logged_in and self._had_group and not self._groups()

    def on_disposed(self) -> None:
        """End the team subscription."""
        self.tree.team.unsubscribe(self)

    def _member_changed(self, member: wire.TeamMember) -> None:
        self.emit(wire.TeamStatusUpdated(teamstatus=(member,)))

    def _note_media(self, **wanted: bool) -> None:
        self._media |= {medium for medium, enabled in wanted.items() if enabled}

    def _seat_at(self, extension: str) -> Seat:
        return Seat(
            agent=self.agent.agent_id,
            endpoint=extension,
            queues=tuple(self.agent.queues),
            penalty=self.agent.penalty,
        )

    async def _mobile_phone(self, wanted: wire.GroupExtensions) -> str:
        """Return the endpoint of the number at which the agent is reached; empty for a desk phone."""
        mode = wanted.mobileagent_mode.strip().lower()
        if mode in _NO_MOBILE:
            return ""
        if mode not in _PER_CALL | _NAILED:
            raise Refusal("The mobile agent's mode must be 1 (call by call) or 2 (nailed-up), or none.")
        if not wanted.mobileagent_dialnumber.strip():
            raise Refusal("A mobile agent needs a number to be called at: mobileagent-dialnumber is empty.")
        return await self.tree.pbx.mobile_phone(wanted.mobileagent_dialnumber, nailed=mode in _NAILED)

    def _groups(self) -> list[ChannelGroup]:
        return [one for one in self.children.values() if isinstance(one, ChannelGroup)]


def _labels(reason: Reason) -> tuple[wire.ReasonLabel, ...]:
    return tuple(
        wire.ReasonLabel(
            language=one.language, country=one.country, name=one.name, description=one.description
        )
        for one in reason.labels
    )

"""How waiting on the reference bridge can end other than well."""

from dataclasses import dataclass

from connector.bridge.messages import Body, Message, Result


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to one query or request. `body` is typed; None on FAILURE."""

    request: Message
    response: Message
    body: Body | None

    @property
    def result(self) -> Result:
        """SUCCESS or FAILURE."""
        return self.response.result or Result.FAILURE

    @property
    def ok(self) -> bool:
        """Whether it is SUCCESS."""
        return self.response.result is Result.SUCCESS

    @property
    def error_message(self) -> str | None:
        """The client's sentence on FAILURE."""
        return self.response.error_message


class BridgeRequestFailed(Exception):
    """The client answered FAILURE to a convenience method. The text is the client's sentence."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.request.name}: {reply.error_message}")
        self.reply = reply


class BridgeTimeout(TimeoutError):
    """Something did not happen in time. The text says what, and how things stood."""


class BridgeGone(ConnectionError):
    """The client's connection is gone, and with it what was waited for."""


class StateUnreachable(Exception):
    """A state is waited for that cannot come any more."""

"""What can go wrong between us and the manager interface, for those who send actions."""

from connector.asterisk.wire import AmiMessage


class AmiError(Exception):
    """Any failure of an action."""


class AmiRefused(AmiError):
    """Asterisk answered `Response: Error`. The text is Asterisk's own sentence."""

    def __init__(self, action: str, message: AmiMessage | str) -> None:
        text = message if isinstance(message, str) else message.message
        super().__init__(text or "no reason given")
        self.action = action
        self.message = text
        self.reply = message if isinstance(message, AmiMessage) else None


class AmiTimeout(AmiError):
    """Asterisk did not answer in time; whether it acted is unknown."""

    def __init__(self, action: str, seconds: float) -> None:
        super().__init__(f"{action} was not answered within {seconds:g} s")
        self.action = action


class AmiBusy(AmiTimeout):
    """Too much is unanswered already; the action was not sent."""

    def __init__(self, action: str) -> None:
        AmiError.__init__(self, f"{action} was not sent: too many actions wait for an answer")
        self.action = action


class AmiDown(AmiError):
    """The link is down, or broke before the answer came.

    In the latter case it is unknown whether Asterisk acted.
    """

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(f"{action}: {reason}")
        self.action = action
        self.reason = reason


class AmiLoginRefused(AmiError):
    """Asterisk does not let this user in."""


class AmiTlsProblem(AmiError):
    """A file of the TLS settings cannot be used; names the setting."""

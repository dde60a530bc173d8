"""The laboratory's fixed cast: who works there, who phones in, and which queues there are.

Numbers never change, so that tests and examples can name them; secrets are each lab's own
(`connector.lab.state`).
"""

from typing import Final

import msgspec

DIAL_CONTEXT: Final = "from-internal"
"""The dialplan context of every phone in the lab, and the one in which agents' numbers are dialled."""

MOH_HERTZ: Final = 300
"""Music on hold is this tone, so that a test can tell who hears it."""

BEEP_HERTZ: Final = 3060
"""The beep (`xfersound`): what an agent with a standing call hears before each caller."""

MILLIWATT_HERTZ: Final = 1004
"""The tone behind number 9004."""


class Person(msgspec.Struct, frozen=True):
    """Someone with a phone: its number is also its SIP user name and PJSIP endpoint."""

    number: str
    first_name: str
    last_name: str
    queues: tuple[str, ...] = ()


class Queue(msgspec.Struct, frozen=True):
    """A queue of `queues.conf` and the number that leads to it."""

    name: str
    extension: str
    label: str


QUEUES: Final = (Queue("support", "7000", "Support"), Queue("sales", "7001", "Sales"))

_AGENTS = (
    ("Ada", "Ashdown"),
    ("Ben", "Birch"),
    ("Cleo", "Cedar"),
    ("Dan", "Dale"),
    ("Eve", "Elm"),
    ("Finn", "Field"),
    ("Gwen", "Glade"),
    ("Hugo", "Heath"),
    ("Iris", "Ivy"),
    ("Jon", "Juniper"),
)
_CUSTOMERS = (
    ("Kim", "Keel"),
    ("Leo", "Lark"),
    ("Mia", "Moss"),
    ("Ned", "North"),
    ("Ona", "Oak"),
    ("Pia", "Pine"),
    ("Quin", "Quill"),
    ("Ray", "Reed"),
    ("Sue", "Stone"),
    ("Tom", "Thorn"),
)
_SALES_AGENTS = 5

AGENTS: Final = tuple(
    Person(str(1001 + place), first, last, ("support", "sales") if place < _SALES_AGENTS else ("support",))
    for place, (first, last) in enumerate(_AGENTS)
)
"""1001 to 1010; all serve `support`, the first five `sales` too. They join when they log in (QueueAdd)."""

CUSTOMERS: Final = tuple(Person(str(2001 + place), *names) for place, names in enumerate(_CUSTOMERS))
"""2001 to 2010."""

TEST_NUMBERS: Final = {
    "9000": "echo",
    "9001": "busy",
    "9002": "congestion",
    "9003": "rings, never answers",
    "9004": f"answers with a tone of {MILLIWATT_HERTZ} Hz",
}

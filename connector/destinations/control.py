"""The control destination: server status, capabilities, agents' credentials, new sessions."""

from collections.abc import Mapping
from typing import Any

from connector.bridge.messages import Body
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.directory import Agent
from connector.destinations.session import Session
from connector.destinations.tree import SERVICE_TOPIC, Tree
from connector.telephony.changes import Change, ServiceChanged

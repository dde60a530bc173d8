"""A complete configuration of the connector for a running lab, as YAML."""

from typing import Any

import yaml

from connector.lab import accounts
from connector.lab.provider import LabInfo

BRIDGE_PORT = 7760


def settings(info: LabInfo, *, bridge_port: int = BRIDGE_PORT) -> dict[str, Any]:
    """Return the settings as plain data of the shape in `connector.settings_schema`; with the AMI secret."""
    labels = {queue.name: queue.label for queue in accounts.QUEUES}
    return {
        "processor": "LAB",
        "bridge": {"transport": "tcp", "host": info.host, "port": bridge_port},
        "asterisk": {
            "host": info.host,
            "port": info.ports.ami,
            "username": info.ami["harmony"].username,
            "secret": info.ami["harmony"].secret,
        },
        # Several connectors may run on this machine.
        "monitoring": {"port": 0},
        "dial": {"context": info.dial_context},
        "phones": {"default": {"answer": "auto-answer"}},
        "queues": {
            name: {"extension": extension, "label": labels.get(name, name)}
            for name, extension in info.queues.items()
        },
        "reasons": {
            "not_ready": {
                "lunch": {"labels": {"en-US": {"name": "Lunch"}, "de-DE": {"name": "Mittagspause"}}},
                "busy": {"labels": {"en-US": {"name": "Busy"}}, "selectable": False},
            },
            "logout": {"shift-end": {"labels": {"en-US": {"name": "End of shift"}}}},
        },
        "agents": {
            agent.agent_id: {
                "password_hash": agent.password_hash,
                "extension": agent.extension,
                "first_name": agent.first_name,
                "last_name": agent.last_name,
                "queues": list(agent.queues),
            }
            for agent in info.agents.values()
        },
    }


def connector_config(info: LabInfo, *, bridge_port: int = BRIDGE_PORT) -> str:
    """Return the settings as a YAML document that `connector run --config` takes."""
    return yaml.safe_dump(settings(info, bridge_port=bridge_port), sort_keys=False, allow_unicode=True)

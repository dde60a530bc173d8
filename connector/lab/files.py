"""A lab's files for containers: everything that `docker/compose.yaml` mounts at /lab.

Run as `python -m connector.lab.files FOLDER` it is the service `setup`: ports come from the environment,
secrets are made once and kept in the folder. `DockerLab` calls `write` itself and needs no `setup`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from connector.lab import broker, certificates, configuration, render
from connector.lab.ports import LOOPBACK
from connector.lab.provider import NO_FILES, LabError, LabInfo, Ports, tree_folder
from connector.lab.state import LabState

STATE_FILE: Final = "state.json"
SOUNDS: Final = "/var/lib/asterisk/tones"
"""Where the asterisk image puts the tones."""

BROKER_KEYS: Final = "/etc/rabbitmq/keys"
"""Where the rabbitmq service puts the certificate and its key."""

_CONNECTOR_UID: Final = 10001
_PORTS: Final = {
    "LAB_SIP_PORT": "sip",
    "LAB_AMI_PORT": "ami",
    "LAB_AMI_TLS_PORT": "ami_tls",
    "LAB_RTP_FIRST": "rtp_first",
    "LAB_RTP_LAST": "rtp_last",
    "LAB_AMQP_PORT": "amqp",
    "LAB_AMQP_TLS_PORT": "amqp_tls",
    "LAB_EPMD_PORT": "epmd",
    "LAB_ERLANG_PORT": "erlang",
}


def environment(ports: Ports) -> dict[str, str]:
    """Return the variables with which `compose.yaml` is told a lab's ports."""
    return {variable: str(getattr(ports, field)) for variable, field in _PORTS.items()}


def ports_from(variables: Mapping[str, str]) -> Ports:
    """Read the ports from the environment; LabError if one is missing or no number."""
    try:
        return Ports(**{field: int(variables[variable]) for variable, field in _PORTS.items()})
    except (KeyError, ValueError) as problem:
        raise LabError(f"The environment must hold the lab's ports as numbers: {problem}.") from problem


def describe(state: LabState, folder: Path) -> LabInfo:
    """Describe the lab whose files are in `folder`."""
    keys = folder / "etc-asterisk/keys"
    return state.info(host=LOOPBACK, ca_file=keys / certificates.CA_FILE, log_directory=folder)


def write(
    folder: Path,
    state: LabState,
    *,
    bridge_port: int = configuration.BRIDGE_PORT,
    overlay: Mapping[str, str] = NO_FILES,
) -> None:
    """Write the configuration of PBX, broker and connector; each file readable by its owner only."""
    if shutil.which("openssl") is None:
        raise LabError("openssl is needed to make the laboratory's certificates: install it.")
    etc = folder / "etc-asterisk"
    certificates.create(_run, str(etc / "keys"), etc / "keys")
    values = render.tokens(state, bind=LOOPBACK, sounds=SOUNDS)
    render.asterisk(tree_folder("asterisk-conf"), etc, values)
    render.overlay(etc, overlay, values)
    render.tones(folder / "tones")
    broker.render(state, folder, keys=BROKER_KEYS)
    settings = folder / "connector.yaml"
    settings.touch(mode=0o600)
    settings.write_text(configuration.connector_config(describe(state, folder), bridge_port=bridge_port))
    state.save(folder / STATE_FILE)


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"The certificates can't be made: {done.stderr.strip().splitlines()[-1:]}")


def main() -> None:
    """Be the service `setup`."""
    try:
        folder = Path(sys.argv[1])
        ports = ports_from(os.environ)
        state = LabState.load(folder / STATE_FILE)
        if state is None or state.ports != ports:
            # Other ports than last time: new files with new secrets, but for the certificates.
            state = LabState.create("compose", "docker", ports, broker=True)
        write(folder, state, bridge_port=int(os.environ.get("LAB_BRIDGE_PORT", configuration.BRIDGE_PORT)))
        # Others may pass through the folder; what is in it stays its owner's.
        folder.chmod(0o711)
        os.chown(folder / "connector.yaml", _CONNECTOR_UID, -1)
    except (LabError, OSError, IndexError, ValueError) as problem:
        sys.exit(f"setup: {problem}")


if __name__ == "__main__":
    main()

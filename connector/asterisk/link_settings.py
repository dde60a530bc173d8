"""What the link must know: where Asterisk is, who we are, how patient we are."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from connector.asterisk.link_errors import AmiTlsProblem


@dataclass(frozen=True)
class AmiTls:
    """TLS towards the manager interface. Without `ca_file` the system's authorities are trusted.

    `server_name` is the name that the certificate must carry (default: the host). `verify` False takes any
    certificate: it hides the traffic from listeners but not from an impostor.
    """

    ca_file: str | Path | None = None
    verify: bool = True
    server_name: str | None = None
    cert_file: str | Path | None = None
    key_file: str | Path | None = None

    def context(self) -> ssl.SSLContext:
        """Build the context from the files as they are now.

        Raises:
            AmiTlsProblem: a file is missing or not what it should be.

        """
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except (OSError, ssl.SSLError) as problem:
            raise AmiTlsProblem(f"tls.ca_file {self.ca_file}: {problem.strerror or problem}") from problem
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            try:
                context.load_cert_chain(
                    str(self.cert_file),
                    str(self.key_file) if self.key_file else None,
                    password="",  # no pass phrase # nosec B106
                )
            except (OSError, ssl.SSLError) as problem:
                files = f"tls.cert_file {self.cert_file}, tls.key_file {self.key_file}"
                raise AmiTlsProblem(f"{files}: {problem.strerror or problem}") from problem
        return context


@dataclass(frozen=True)
class AmiSettings:
    """One manager user on one Asterisk. All times in seconds.

    `login` "md5" proves the secret by a challenge, "plain" sends it (for TLS, where the challenge adds
    nothing). Reconnects wait a random time between 0 and a bound that doubles from `reconnect_initial` up to
    `reconnect_max`. `max_pending` bounds the actions that wait for an answer at a time.
    """

    host: str
    port: int
    username: str
    secret: str = field(repr=False)
    tls: AmiTls | None = None
    login: Literal["md5", "plain"] = "md5"
    connect_timeout: float = 5.0
    action_timeout: float = 5.0
    ping_interval: float = 10.0
    ping_timeout: float = 3.0
    reconnect_initial: float = 0.5
    reconnect_max: float = 30.0
    max_pending: int = 1000

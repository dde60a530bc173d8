"""The files of a site's PBX, made of its settings: the same settings give the same bytes.

What every site has alike (our dialplan include, conference profiles, the manager users) is taken from
`asterisk-conf/`; what a site decides is written here. Passwords are placeholders (`@AMI_HARMONY_SECRET@`)
unless they are asked for.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connector.config import Consult, Secret, Settings
from connector.settings_typed import variable_of
from connector.site import dialplan, trunks

VERBATIM: Final = ("harmony.conf", "confbridge.harmony.conf")
"""Files that are the same for every site, but for the header."""

_MANAGER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class SiteError(Exception):
    """The site's files can't be written; one sentence with the key."""


def source_folder() -> Path:
    """Return `asterisk-conf/` of the source tree, or below the working directory.

    Raises:
        SiteError: there is none.

    """
    for base in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (base / "asterisk-conf" / "harmony.conf").is_file():
            return base / "asterisk-conf"
    raise SiteError("The folder asterisk-conf/ is missing: run this in a checkout of the source tree.")


def render(settings: Settings, origin: str, source: Path, *, secrets: bool = False) -> dict[str, str]:
    """Return the site's files: name to text. `origin` is told in each header; `source` is `asterisk-conf/`.

    Raises:
        SiteError: something cannot be written into Asterisk's files.

    """
    files = dict(_parts(settings, source, secrets=secrets))
    return {name: _header(name, origin) + text for name, text in sorted(files.items())}


def _parts(settings: Settings, source: Path, *, secrets: bool) -> Iterator[tuple[str, str]]:
    rooms = settings.dial.consult is Consult.ROOMS
    if rooms:
        for name in VERBATIM:
            yield name, (source / name).read_text("utf-8")
    else:
        yield "features.harmony.conf", _FEATURES
    manager = (source / "manager.harmony.conf").read_text("utf-8")
    manager = _user(manager, "harmony", settings.asterisk.username, settings)
    yield (
        "manager.harmony.conf",
        _known(manager, "asterisk.secret", settings.asterisk.secret, _AMI_SECRET, secrets=secrets),
    )
    if (system := settings.asterisk.system) is not None:
        text = (source / "manager.harmony-system.conf").read_text("utf-8")
        text = _user(text, "harmony-system", system.username, settings)
        yield (
            "manager.harmony-system.conf",
            _known(text, "asterisk.system.secret", system.secret, _SYSTEM_SECRET, secrets=secrets),
        )
    if settings.pbx.dialplan:
        yield "extensions.harmony-site.conf", dialplan.extensions(settings)
        yield "queues.harmony.conf", dialplan.queues(settings)
    if settings.trunks:
        text = trunks.pjsip(settings)
        for name, trunk in settings.trunks.items():
            key = f"trunks.{name}.secret"
            text = _known(text, key, trunk.secret, trunks.placeholder(name), secrets=secrets)
        yield "pjsip.harmony.conf", text


def _header(name: str, origin: str) -> str:
    return (
        f"; {name}: written by `connector site render` from {origin}.\n"
        "; Change it there and write it again: what is changed here is lost.\n\n"
    )


_AMI_SECRET: Final = "@AMI_HARMONY_SECRET@"  # noqa: S105 - a placeholder
_SYSTEM_SECRET: Final = "@AMI_SYSTEM_SECRET@"  # noqa: S105 - a placeholder

_FEATURES: Final = """\
; Codes of Asterisk's own attended transfer: the connector presses them with `dial.consult: atxfer`.
; Take this with
;   #include features.harmony.conf
; at the end of features.conf. The calls that are to be handled need the options tT of Dial and Queue.
[general](+)
atxferabort = *1
atxfercomplete = *2
atxferthreeway = *3
atxferswap = *4

[featuremap](+)
atxfer => *2
"""


def _user(text: str, name: str, wanted: str, settings: Settings) -> str:
    if _MANAGER_NAME.fullmatch(wanted) is None:
        raise SiteError(
            f'asterisk.username: expected letters, digits, _ . - for manager.conf, found "{wanted}".'
        )
    permits = "\n".join(f"permit = {network}" for network in settings.pbx.permit)
    return text.replace(f"\n[{name}]\n", f"\n[{wanted}]\n").replace(
        "permit = 127.0.0.1/255.255.255.255", permits
    )


def _known(text: str, key: str, secret: Secret | None, placeholder: str, *, secrets: bool) -> str:
    """Put a password in, if it is asked for; `;` would begin a comment.

    Raises:
        SiteError: there is none, or Asterisk would read another one.

    """
    if not secrets or placeholder not in text:
        return text
    known = secret.reveal() if secret else ""
    if not known:
        variable = variable_of(tuple(key.split(".")))
        raise SiteError(f"{key}: expected a password for --secrets, found none; set {variable}_FILE.")
    if known != known.strip():
        raise SiteError(f"{key}: expected a password without blanks around it, which Asterisk takes off.")
    return text.replace(placeholder, known.replace(";", r"\;"))

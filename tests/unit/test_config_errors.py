"""What a site engineer mistypes, and the one line that tells so."""

import functools
import subprocess
from pathlib import Path

import pytest

from connector.config import ConfigError, load_settings

HASH = "'$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g'"
GOOD = f"""\
processor: LAB
bridge:
  host: bridge.example.com
asterisk:
  username: harmony
  secret: s3cr3t
queues:
  support: {{extension: 7000}}
  sales:
agents:
  1001:
    password_hash: {HASH}
    extension: 1001
    queues: [support, sales]
"""
AGENTS = GOOD[GOOD.index("agents:") :]
LAST = "    queues: [support, sales]\n"
NO_SECRET = "expected a secret: text on one line"
HOW_TO_HASH = "make it with `connector hash-password` and put it in single quotes (compose: $$ for each $)"
QUOTES = "not YAML: put a value that starts with * & ! % @ ` in quotes"


def ami(line: str) -> tuple[str, str]:
    return "  username: harmony\n", f"  username: harmony\n  {line}\n"


def bridge(line: str) -> tuple[str, str]:
    return "bridge:\n", f"bridge:\n  {line}\n"


def top(line: str) -> tuple[str, str]:
    return "queues:\n", f"{line}\nqueues:\n"


def secret(text: str) -> tuple[str, str]:
    return "secret: s3cr3t", f"secret: {text}"


FILES = {
    "mistyped key": (*ami("prot: 5038"), ":6: asterisk.prot: unknown key, did you mean `port`?"),
    "hyphen": (
        *bridge("connect-timeout: 5"),
        ":3: bridge.connect-timeout: unknown key, did you mean `connect_timeout`?",
    ),
    "key of another section": (
        *top("port: 5038"),
        ":7: port: unknown key here, did you mean `bridge.port` or `asterisk.port` or `monitoring.port`?",
    ),
    "nonsense key": (
        *top("log: {colour: red}"),
        ":7: log.colour: unknown key, expected one of `level`, `format`",
    ),
    "password instead of its hash's key": (
        f"password_hash: {HASH}",
        "password: hunter2",
        ":12: agents.1001.password: unknown key, did you mean `password_hash`?",
    ),
    "secret_file": (
        "secret: s3cr3t",
        "secret_file: /run/secrets/ami",
        (
            ":6: asterisk.secret_file: unknown key, expected `secret`; "
            "to read it from a file set CONNECTOR_ASTERISK__SECRET_FILE"
        ),
    ),
    "port text": (
        *ami("port: AMI"),
        ':6: asterisk.port: expected a whole number from 1 to 65535, found "AMI"',
    ),
    "port too high": (
        *ami("port: 99999"),
        ":6: asterisk.port: expected a whole number from 1 to 65535, found 99999",
    ),
    "port quoted": (
        *ami("port: '5038'"),
        ':6: asterisk.port: expected a whole number from 1 to 65535, found "5038"; write it without quotes',
    ),
    "port with a leading zero": (
        *ami("port: 05037"),
        (
            ":6: asterisk.port: expected a whole number from 1 to 65535, found 05037; "
            "write it without the leading zero"
        ),
    ),
    "port a fraction": (
        *ami("port: 50.38"),
        ":6: asterisk.port: expected a whole number from 1 to 65535, found 50.38",
    ),
    "port in host": (
        "bridge.example.com",
        "bridge.example.com:7760",
        ':3: bridge.host: expected a host name or an address without a port, found "bridge.example.com:7760"',
    ),
    "no processor": (
        "processor: LAB\n",
        "",
        (
            ": processor: expected a processor name (letters, digits, _ -), found nothing; "
            "add the key or set CONNECTOR_PROCESSOR"
        ),
    ),
    "processor with a blank": (
        "processor: LAB",
        "processor: MY LAB",
        ':1: processor: expected a processor name (letters, digits, _ -), found "MY LAB"',
    ),
    "no asterisk": (
        "asterisk:\n  username: harmony\n  secret: s3cr3t\n",
        "",
        (
            ": asterisk.username: expected a user of manager.conf, found nothing; "
            "add the key or set CONNECTOR_ASTERISK__USERNAME"
        ),
    ),
    "no secret": (
        "  secret: s3cr3t\n",
        "",
        f":5: asterisk.secret: {NO_SECRET}, found nothing; add the key or set CONNECTOR_ASTERISK__SECRET",
    ),
    "username without a value": (
        "username: harmony",
        "username:",
        ":5: asterisk.username: expected a user of manager.conf, found nothing",
    ),
    "no bridge": (
        "bridge:\n  host: bridge.example.com\n",
        "",
        (
            ": bridge.host: expected a host name or an address, found nothing; "
            "add the key or set CONNECTOR_BRIDGE__HOST"
        ),
    ),
    "switch in quotes": (
        *bridge("tls: {enabled: 'true'}"),
        ':3: bridge.tls.enabled: expected true or false, found "true"; write it without quotes',
    ),
    "switch a number": (
        *bridge("tls: {enabled: 1}"),
        ":3: bridge.tls.enabled: expected true or false, found 1",
    ),
    "tls a switch": (
        *bridge("tls: true"),
        ":3: bridge.tls: expected a mapping, found true or false; write `{enabled: true}`",
    ),
    "certificate without key": (
        *bridge("tls: {cert_file: a.pem}"),
        ":3: bridge.tls.cert_file: expected bridge.tls.key_file with it, found nothing",
    ),
    "authority not there": (
        *bridge("tls: {enabled: true, ca_file: /nowhere/ca.pem}"),
        ':3: bridge.tls.ca_file: expected a file, found none at "/nowhere/ca.pem"',
    ),
    "transport in capitals": (
        *bridge("transport: TCP"),
        ':3: bridge.transport: expected one of `tcp`, `amqp`, found "TCP"; did you mean `tcp`?',
    ),
    "broker without a URL": (
        *bridge("transport: amqp"),
        ": amqp.url: expected a URL, as bridge.transport is amqp, found nothing; set CONNECTOR_AMQP__URL",
    ),
    "broker of another kind": (
        *top("amqp: {url: 'http://u:hunter2@h/'}"),
        ":7: amqp.url: expected a URL that starts with amqp:// or amqps://, found something else (not shown)",
    ),
    "unit": (
        *bridge("connect_timeout: 5s"),
        (
            ":3: bridge.connect_timeout: expected a number of seconds from 0.1 to 3600, "
            'found "5s"; write the number without a unit'
        ),
    ),
    "minutes and seconds": (
        *bridge("connect_timeout: 1:30"),
        ":3: bridge.connect_timeout: expected a number of seconds from 0.1 to 3600, found 1:30",
    ),
    "not finite": (
        *bridge("connect_timeout: .inf"),
        ":3: bridge.connect_timeout: expected a number of seconds from 0.1 to 3600, found .inf",
    ),
    "pauses the wrong way round": (
        *bridge("reconnect_initial: 60"),
        ":3: bridge.reconnect_initial: expected at most bridge.reconnect_max (30), found 60",
    ),
    "ping": (
        *ami("ping_timeout: 20"),
        ":6: asterisk.ping_timeout: expected at most asterisk.ping_interval (10), found 20",
    ),
    "queue mistyped": (
        "[support, sales]",
        "[support, sale]",
        ':14: agents.1001.queues: expected a key of `queues`, found "sale"; did you mean `sales`?',
    ),
    "queue not in a list": (
        "[support, sales]",
        "support",
        ":14: agents.1001.queues: expected a list such as [a, b], found text; put it in [ ]",
    ),
    "phone model unknown": (
        LAST,
        f"{LAST}    phone: snom\n",
        ':15: agents.1001.phone: expected a key of `phones`, found "snom"; it has `default`',
    ),
    "password in the clear": (
        HASH,
        "hunter2",
        (
            ":12: agents.1001.password_hash: expected an argon2 hash that starts with $argon2, "
            f"found something else (not shown); {HOW_TO_HASH}"
        ),
    ),
    "hash without quotes in braces": (
        LAST,
        f"{LAST}  1002: {{password_hash: {HASH[1:-1]}, extension: 1002}}\n",
        (
            ":15: agents.1002.?: unknown key (not shown, as it may be a piece of a value); "
            "put the value before it in quotes"
        ),
    ),
    "extension of a queue": (
        "    extension: 1001",
        "    extension: 7000",
        ':13: agents.1001.extension: "7000" belongs to queue support already',
    ),
    "login of another": (
        LAST,
        f"{LAST}  1002: {{password_hash: {HASH}, extension: 1002, login: '1001'}}\n",
        ':15: agents.1002.login: "1001" is the id or login of agent 1001 already',
    ),
    "key twice": (
        *ami("username: other"),
        ":6: asterisk.username: the key is there twice (first in line 5)",
    ),
    "id twice, once in quotes": (
        LAST,
        f"{LAST}  '1001': {{}}\n",
        ":15: agents.1001: the key is there twice (first in line 11)",
    ),
    "agents in a list": (
        AGENTS,
        "agents:\n  - id: 1001\n",
        ":11: agents: expected a mapping, found a list; write each entry as `name: {...}`",
    ),
    "agent id with a blank": (
        "  1001:\n",
        "  Ada Agent:\n",
        ':11: agents: expected an agent id (letters, digits, _ . @ -) as the key, found "Ada Agent"',
    ),
    "penalty": (
        LAST,
        f"{LAST}    penalty: -1\n",
        ":15: agents.1001.penalty: expected a whole number from 0 to 1000, found -1",
    ),
    "secret like an alias": (*secret("*hunter2"), f":6:11: {QUOTES}"),
    "secret with an at sign": (*secret("@hunter2"), f":6:11: {QUOTES}"),
    "secret like a tag": (
        *secret("!hunter2"),
        f":6: asterisk.secret: {NO_SECRET}, found a value with a `!tag`",
    ),
    "secret with a colon": (
        *secret("hunter2: x"),
        ":6:18: not YAML: a `:` where none can be; check the indentation, or put the value in quotes",
    ),
    "secret a switch": (
        *secret("yes"),
        (
            f":6: asterisk.secret: {NO_SECRET}, found something else (not shown); "
            "put it in quotes if it is meant as text"
        ),
    ),
    "secret a list": (*secret("[hunter2]"), f":6: asterisk.secret: {NO_SECRET}, found a list"),
    "secret on two lines": (
        *secret('"hun\\nter2"'),
        f":6: asterisk.secret: {NO_SECRET}, found something else (not shown)",
    ),
    "secret with NUL": (*secret("\0"), ":6: not YAML: a control character that YAML does not allow"),
    "quote not closed": (
        *secret("'hunter2"),
        ":12:21: not YAML: the indentation does not fit the lines above, or a quote above is not closed",
    ),
    "bracket not closed": ("sales]", "sales", ":15:1: not YAML: a quote or bracket is not closed"),
    "tab": ("  username", "\tusername", ":5:1: not YAML: a tab; indent with blanks"),
    "indentation": (
        "  secret: s3cr3t",
        " secret: s3cr3t",
        ":6:2: not YAML: the indentation does not fit the lines above, or a quote above is not closed",
    ),
    "two documents": (
        LAST,
        f"{LAST}---\nprocessor: X\n",
        ":15:1: not YAML: a second document; take the `---` out",
    ),
    "a list": (
        GOOD,
        "- processor: LAB\n",
        ":1: expected a mapping such as `processor: NAME`, found something else",
    ),
    "level in capitals": (
        *top("log: {level: INFO}"),
        (
            ":7: log.level: expected one of `debug`, `info`, `warning`, `error`, "
            'found "INFO"; did you mean `info`?'
        ),
    ),
    "context with a blank": (
        *top("dial: {context: from internal}"),
        ':7: dial.context: expected a context of the dialplan (letters, digits, _ -), found "from internal"',
    ),
    "pattern": (
        *top("dial: {deny: [_0900A]}"),
        (
            ":7: dial.deny.0: expected a dialplan pattern made of digits, * # +, X Z N, [1-5], "
            'and . or ! at the end, found "_0900A"'
        ),
    ),
    "pattern backwards": (
        *top("dial: {deny: ['[9-0].']}"),
        ":7: dial.deny: expected digits in rising order in [ ], found [9-0]",
    ),
    "caller id": (
        *top("dial: {caller_id: Sales}"),
        ':7: dial.caller_id: expected a number, or "Name" <number>, found "Sales"',
    ),
    "answer off": (
        *top("phones: {default: {answer: off}}"),
        ":7: phones.default.answer: expected one of `none`, `auto-answer`, `notify-talk`, found off",
    ),
    "answer without the user it needs": (
        *top("phones: {snom: {answer: notify-talk}}"),
        ":7: phones.snom.answer: notify-talk needs asterisk.system.username and .secret",
    ),
    "a team of nobody": (
        LAST,
        LAST + "    supervises: [blue]\n",
        ':15: agents.1001.supervises: expected the `team` of an agent or "*", found "blue"; it is empty',
    ),
    "recordings that overwrite each other": (
        *top("extensions: {recording: {name: '{agent}'}}"),
        (
            ":7: extensions.recording.name: expected names of letters, digits, _ . - and known {fields}, "
            'with {unique} somewhere, found "{agent}"'
        ),
    ),
    "recordings somewhere else": (
        *top("extensions: {recording: {directory: /var/../etc}}"),
        (
            ":7: extensions.recording.directory: expected a path of letters, digits, _ . - and /, in which "
            'no name begins with . or -, found "/var/../etc"'
        ),
    ),
    "holding without the user it needs": (
        *top("phones: {snom: {hold: notify}}"),
        ":7: phones.snom.hold: notify needs asterisk.system.username and .secret",
    ),
    "fallback queue that is none": (
        *top("handling: {fallback_queue: reception}"),
        (
            ":7: handling.fallback_queue: expected a key of `queues`, "
            'found "reception"; it has `support`, `sales`'
        ),
    ),
    "no such way": (
        *top("handling: {orphans: [reception]}"),
        ':7: handling.orphans.0: expected one of `agent`, `queue`, found "reception"',
    ),
    "header": (
        *top("phones: {default: {auto_answer_header: answer-after=0}}"),
        (
            ":7: phones.default.auto_answer_header: expected a SIP header such as "
            '`Alert-Info: info=alert-autoanswer`, found "answer-after=0"'
        ),
    ),
    "merge of nothing": (
        *top("log:\n  <<: 5"),
        ":8: log: expected a mapping after `<<`, such as `*name`",
    ),
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("site.yaml")


@pytest.mark.parametrize("name", FILES)
def test_wrong_file(name: str, site: Path) -> None:
    old, new, line = FILES[name]
    assert old in GOOD
    site.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_settings(site, environ={})
    assert str(caught.value) == f"site.yaml{line}"
    assert "hunter2" not in str(caught.value)


PORT = "asterisk.port: expected a whole number from 1 to 65535"
ENVIRONMENTS = [
    (
        {"CONNECTOR_ASTERISK_PORT": "5039"},
        "CONNECTOR_ASTERISK_PORT: names no key, did you mean CONNECTOR_ASTERISK__PORT?",
    ),
    (
        {"CONNECTOR_AGENTS__1001__QUEUE": "[support]"},
        "CONNECTOR_AGENTS__1001__QUEUE: names no key, did you mean CONNECTOR_AGENTS__1001__QUEUES?",
    ),
    (
        {"CONNECTOR_ASTERISK__PORT_FILE": "x"},
        "CONNECTOR_ASTERISK__PORT_FILE: names no key, did you mean CONNECTOR_ASTERISK__PORT?",
    ),
    ({"CONNECTOR_ASTERISK__PORT": "abc"}, f'CONNECTOR_ASTERISK__PORT: {PORT}, found "abc"'),
    ({"CONNECTOR_ASTERISK__PORT": ""}, f"CONNECTOR_ASTERISK__PORT: {PORT}, found nothing"),
    (
        {"CONNECTOR_ASTERISK__PORT": "[5039"},
        f"CONNECTOR_ASTERISK__PORT: {PORT}; not YAML: a quote or bracket is not closed",
    ),
    (
        {"CONNECTOR_ASTERISK__SECRET": ""},
        f"CONNECTOR_ASTERISK__SECRET: asterisk.secret: {NO_SECRET}, found nothing",
    ),
    (
        {"CONNECTOR_ASTERISK__SECRET_FILE": "/nowhere/hunter2"},
        (
            "CONNECTOR_ASTERISK__SECRET_FILE: asterisk.secret: expected the path of a file that can be read: "
            "No such file or directory"
        ),
    ),
    (
        {"CONNECTOR_ASTERISK__SECRET_FILE": "hunter2\0"},
        (
            "CONNECTOR_ASTERISK__SECRET_FILE: asterisk.secret: expected the path of a file that can be read: "
            "not text in UTF-8"
        ),
    ),
    (
        {"CONNECTOR_ASTERISK__SECRET_FILE": "site.yaml", "CONNECTOR_ASTERISK__SECRET": "hunter2"},
        (
            "CONNECTOR_ASTERISK__SECRET_FILE: asterisk.secret: set twice, by CONNECTOR_ASTERISK__SECRET too; "
            "keep one of them"
        ),
    ),
    (
        {"CONNECTOR_ASTERISK__SECRET_FILE": "site.yaml"},
        f"CONNECTOR_ASTERISK__SECRET_FILE: asterisk.secret: {NO_SECRET}, found something else (not shown)",
    ),
    (
        # What a shell or compose makes of an unescaped hash.
        {"CONNECTOR_AGENTS__1001__PASSWORD_HASH": "=19=65536,t=3,p=4"},
        (
            "CONNECTOR_AGENTS__1001__PASSWORD_HASH: agents.1001.password_hash: expected an argon2 hash that "
            f"starts with $argon2, found something else (not shown); {HOW_TO_HASH}"
        ),
    ),
    (
        {"CONNECTOR_AGENTS__1003__EXTENSION": "1003"},
        (
            "CONNECTOR_AGENTS__1003__EXTENSION: agents.1003.password_hash: expected an argon2 hash that "
            "starts with $argon2, found nothing; add the key or set CONNECTOR_AGENTS__1003__PASSWORD_HASH"
        ),
    ),
    (
        {"CONNECTOR_AGENTS__1001": "hunter2"},
        "CONNECTOR_AGENTS__1001: agents.1001: expected a mapping, found text",
    ),
    (
        {"CONNECTOR_BRIDGE__TLS__ENABLED": "maybe"},
        'CONNECTOR_BRIDGE__TLS__ENABLED: bridge.tls.enabled: expected true or false, found "maybe"',
    ),
    (
        {"CONNECTOR_BRIDGE__RECONNECT_INITIAL": "31"},
        (
            "CONNECTOR_BRIDGE__RECONNECT_INITIAL: bridge.reconnect_initial: "
            "expected at most bridge.reconnect_max (30), found 31"
        ),
    ),
]


@pytest.mark.parametrize(("environ", "line"), ENVIRONMENTS, ids=[line[:60] for _, line in ENVIRONMENTS])
def test_wrong_environment(environ: dict[str, str], line: str, site: Path) -> None:
    site.write_text(GOOD)
    with pytest.raises(ConfigError) as caught:
        load_settings(site, environ=environ)
    assert str(caught.value) == line
    assert "hunter2" not in str(caught.value)


def test_ambiguous_variable(site: Path) -> None:
    site.write_text(GOOD.replace("  sales:\n", "  sales:\n  night-desk:\n  night.desk:\n"))
    with pytest.raises(ConfigError) as caught:
        load_settings(site, environ={"CONNECTOR_QUEUES__NIGHT_DESK__LABEL": "Night"})
    assert str(caught.value) == (
        "CONNECTOR_QUEUES__NIGHT_DESK__LABEL: queues: may mean night-desk or night.desk; set it in the file"
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("lap", 'sites: expected the name of a site (NAME of NAME.yaml), found "lap"; did you mean `lab`?'),
        (
            "../site",
            'sites: expected the name of a site (NAME of NAME.yaml), found "../site"; there is `lab`',
        ),
    ],
)
def test_wrong_site(name: str, line: str, site: Path) -> None:
    site.write_text(GOOD)
    Path("sites").mkdir()
    Path("sites/lab.yaml").write_text("processor: X\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(site, site=name, environ={})
    assert str(caught.value) == line


def test_mistake_in_the_sites_file_is_told_of_that_file(site: Path) -> None:
    site.write_text(GOOD)
    Path("sites").mkdir()
    Path("sites/lab.yaml").write_text("asterisk:\n  port: no\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(site, site="lab", environ={})
    assert str(caught.value) == f"sites/lab.yaml:2: {PORT}, found no"


def test_unreadable_files(site: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(site, environ={})
    assert str(caught.value) == "site.yaml: cannot be read: No such file or directory"
    site.write_bytes(b"processor: LAB\nbridge: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(site, environ={})
    assert str(caught.value) == "site.yaml:2: expected UTF-8 text, found other bytes"


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: " + "[" * 5000, "a: " + "{a: " * 60 + "}" * 60 + "\n"])
def test_bottomless_yaml_is_one_line_too(text: str, site: Path) -> None:
    site.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(site, environ={})
    assert str(caught.value).startswith("site.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", ["[{0}, {0}, {0}, {0}, {0}, {0}]", "{{x: {0}, y: {0}, z: {0}}}"])
def test_aliases_of_aliases_do_not_fill_the_memory(shape: str, site: Path) -> None:
    rows = [f"a{at}: &a{at} " + shape.format(f"*a{at - 1}") for at in range(1, 19)]
    site.write_text("\n".join(["a0: &a0 [x, x, x]", *rows, ""]))
    with pytest.raises(ConfigError, match=r"^site\.yaml:\d+: too many values by aliases"):
        load_settings(site, environ={})


@pytest.fixture
def pem_files(tmp_path: Path) -> Path:
    """Return a folder with `cert.pem`, its `key.pem`, that key `locked.pem`, and `none.pem` that is none."""
    run = functools.partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True)
    make = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    run([*make, "-nodes", "-subj", "/CN=bridge", "-keyout", "key.pem", "-out", "cert.pem"])
    run(["openssl", "ec", "-in", "key.pem", "-aes256", "-passout", "pass:x", "-out", "locked.pem"])
    (tmp_path / "none.pem").write_text("no PEM\n")
    return tmp_path


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ("ca_file: {folder}/cert.pem", None),
        ("cert_file: {folder}/cert.pem, key_file: {folder}/key.pem", None),
        ("ca_file: {folder}/none.pem", "bridge.tls.ca_file: expected certificates in PEM form"),
        (
            "cert_file: {folder}/cert.pem, key_file: {folder}/none.pem",
            "bridge.tls.cert_file: expected a",
        ),
        ("cert_file: {folder}/cert.pem, key_file: {folder}/locked.pem", "without a pass phrase, in"),
    ],
)
def test_tls_files_are_tried_before_anything_is_connected(
    pem_files: Path, tls: str, problem: str | None
) -> None:
    file = pem_files / "connector.yaml"
    secured = f"bridge: {{host: b, tls: {{enabled: true, {tls.format(folder=pem_files)}}}}}"
    file.write_text(f"processor: LAB\n{secured}\nasterisk: {{username: u, secret: s}}\n")
    if problem is None:
        load_settings(file, environ={})
        return
    with pytest.raises(ConfigError) as caught:
        load_settings(file, environ={})
    assert problem in str(caught.value)


def test_the_files_of_a_secured_broker_are_looked_at_without_a_switch(tmp_path: Path) -> None:
    file = tmp_path / "connector.yaml"
    file.write_text(
        "processor: LAB\nbridge: {transport: amqp}\nasterisk: {username: u, secret: s}\n"
        "amqp: {url: 'amqps://u:p@broker/v', tls: {ca_file: /nope.pem}}\n"
    )
    with pytest.raises(ConfigError, match=r"amqp.tls.ca_file: expected a file, found none"):
        load_settings(file, environ={})

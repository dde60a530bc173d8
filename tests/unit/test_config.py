"""Layers, environment, secrets and the files generated from the schema."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml
from typer import Typer
from typer.testing import CliRunner

from connector.agents_commands import app as agents_app
from connector.cli import app as main_app
from connector.config import (
    Answer,
    ConfigError,
    DialSettings,
    LogLevel,
    Secret,
    Settings,
    Transport,
    explain,
    load_settings,
)
from connector.processor.commands import AMQP_VARIABLE
from connector.processor.options import PASSWORD_VARIABLE
from connector.settings_docs import commented_yaml, with_table
from connector.settings_environ import OPTIONS

ROOT = Path(__file__).parents[2]
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"
MINIMAL = """\
processor: LAB
bridge: {host: bridge.example.com}
asterisk: {username: harmony, secret: 0012}
"""
AGENT = f"""\
queues: {{support: , night-desk: {{extension: 0700}}}}
agents:
  1001: {{password_hash: '{HASH}', extension: 0101, queues: [support], last_name: 42}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "connector.yaml"
    path.write_text(MINIMAL)
    return path


def load(file: Path, **environ: str) -> Settings:
    return load_settings(file, environ={f"CONNECTOR_{name}": value for name, value in environ.items()})


def test_defaults_file_and_code_agree(file: Path, tmp_path: Path) -> None:
    documented = tmp_path / "documented.yaml"
    documented.write_text((ROOT / "config" / "connector.yaml").read_text())
    required = {
        "CONNECTOR_PROCESSOR": "LAB",
        "CONNECTOR_BRIDGE__HOST": "bridge.example.com",
        "CONNECTOR_ASTERISK__USERNAME": "harmony",
        "CONNECTOR_ASTERISK__SECRET": "0012",
    }
    assert load_settings(documented, environ=required) == load(file)


def test_generated_files_are_current() -> None:
    remedy = "run `python -m connector.settings_docs`"
    assert (ROOT / "config" / "connector.yaml").read_text() == commented_yaml(), remedy
    document = (ROOT / "docs" / "configuration.md").read_text()
    assert document == with_table(document), remedy


def test_examples_of_the_documented_file_work(tmp_path: Path) -> None:
    text = (ROOT / "config" / "connector.yaml").read_text()
    file = tmp_path / "all.yaml"
    file.write_text(re.sub(r"(?m)^#: ", "", text))
    settings = load(file, BRIDGE__HOST="bridge.example.com")
    assert settings.agents["1001"].queues == ("support",)
    assert settings.queues["support"].extension == "7000"
    assert settings.asterisk.system is not None
    assert set(settings.phones) == {"default", "polycom"}


def test_example_in_the_documentation_works(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "configuration.md").read_text()
    example = document.partition("```yaml\n")[2].partition("```")[0].replace("$...", "$c2FsdHNhbHQ$aGFzaA")
    file = tmp_path / "site.yaml"
    file.write_text(example)
    assert load(file, ASTERISK__SECRET="x").agents["1001"].first_name == "Ada"


def test_lab_site() -> None:
    settings = load_settings(
        ROOT / "config" / "connector.yaml", site="lab", environ={"CONNECTOR_ASTERISK__SECRET": "x"}
    )
    assert settings.processor == "LAB"
    assert settings.agents["1002"].queues == ("support",)
    assert settings.phones["default"].answer is Answer.AUTO_ANSWER


def test_later_layers_win_key_by_key(file: Path, tmp_path: Path) -> None:
    file.write_text(MINIMAL + AGENT + "log: {level: warning, format: json}\ndial: {deny: [_0900X.]}\n")
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "north.yaml").write_text(
        "bridge: {port: 7761}\nasterisk:\nagents: {1001: {last_name: North}}\ndial: {deny: [_0190X.]}\n"
        "log: {level: error}\n"
    )
    settings = load_settings(file, site="north", environ={"CONNECTOR_LOG__LEVEL": "debug", "HOME": "/"})
    assert settings.bridge.host == "bridge.example.com"
    assert settings.bridge.port == 7761
    assert settings.asterisk.username == "harmony"
    assert settings.agents["1001"].last_name == "North"
    assert settings.agents["1001"].extension == "0101"
    assert settings.dial.deny == ("_0190X.",)
    assert settings.log.level is LogLevel.DEBUG


def test_texts_are_taken_as_written(file: Path) -> None:
    file.write_text(MINIMAL + AGENT)
    settings = load(file)
    assert settings.asterisk.secret.reveal() == "0012"
    assert settings.queues["night-desk"].extension == "0700"
    assert settings.queues["support"].extension == ""
    assert settings.agents["1001"].extension == "0101"
    assert settings.agents["1001"].last_name == "42"


def test_anchors_and_merge_keys(file: Path) -> None:
    file.write_text(
        MINIMAL + "queues: {support: }\nagents:\n"
        f"  1001: &desk {{password_hash: '{HASH}', extension: 1001, queues: [support], penalty: 2}}\n"
        "  1002: {<<: *desk, extension: 1002}\n"
    )
    agents = load(file).agents
    assert agents["1002"].extension == "1002"
    assert agents["1002"].queues == ("support",)
    assert agents["1002"].penalty == 2


def test_what_the_reference_bridge_reads_of_the_environment_is_no_key(file: Path) -> None:
    assert load(file, BRIDGE_PASSWORD="x", BRIDGE_AMQP="amqp://lab") == load(file)
    assert {AMQP_VARIABLE, PASSWORD_VARIABLE} <= OPTIONS


def test_environment_sets_every_kind_of_key(file: Path) -> None:
    file.write_text(MINIMAL + AGENT)
    settings = load(
        file,
        ASTERISK__PORT="5039",
        ASTERISK__SECRET="a: #b\\ 'c",
        BRIDGE__TLS__VERIFY="false",
        BRIDGE__CONNECT_TIMEOUT="2",
        BRIDGE__TRANSPORT="tcp",
        AGENTS__1001__FIRST_NAME="true",
        AGENTS__1001__QUEUES="[support, night-desk]",
        QUEUES__NIGHT_DESK__LABEL="Night",
        QUEUES__SALES__EXTENSION="0701",
        PHONES="{snom: {answer: auto-answer}}",
        PHONES__SNOM__ANSWER="none",
    )
    assert settings.asterisk.port == 5039
    assert settings.asterisk.secret.reveal() == "a: #b\\ 'c"
    assert settings.bridge.tls.verify is False
    assert settings.bridge.connect_timeout == 2.0
    assert isinstance(settings.bridge.connect_timeout, float)
    assert settings.bridge.transport is Transport.TCP
    assert settings.agents["1001"].first_name == "true"
    assert settings.agents["1001"].queues == ("support", "night-desk")
    assert settings.queues["night-desk"].label == "Night"
    assert settings.queues["night-desk"].extension == "0700"
    assert settings.queues["sales"].extension == "0701"
    # The single key wins over the whole section.
    assert settings.phones["snom"].answer is Answer.NONE


def test_command_lines_own_variables_are_no_keys(file: Path) -> None:
    others = {AMQP_VARIABLE: "amqp://127.0.0.1", PASSWORD_VARIABLE: "of an agent"}
    assert load_settings(file, environ=others) == load(file)
    assert load(file, CONFIG="x", SITE="y") == load(file)


@pytest.mark.parametrize(("app", "command"), [(main_app, "check"), (main_app, "run"), (agents_app, "list")])
def test_the_environment_names_the_configuration_and_the_site(
    app: Typer, command: str, tmp_path: Path
) -> None:
    environ = {"CONNECTOR_CONFIG": str(tmp_path / "c.yaml"), "CONNECTOR_SITE": "berlin"}
    done = CliRunner(env=environ).invoke(app, [command])
    assert f"{tmp_path}/c.yaml: cannot be read" in done.output
    (tmp_path / "c.yaml").write_text(MINIMAL)
    done = CliRunner(env=environ).invoke(app, [command])
    assert "berlin" in done.output


def test_secret_files_lose_one_line_end(file: Path, tmp_path: Path) -> None:
    held = tmp_path / "ami"
    for content, secret in (("a b\n", "a b"), ("a b", "a b"), ("a b\r\n", "a b"), (" a ", " a ")):
        held.write_bytes(content.encode())
        assert load(file, ASTERISK__SECRET_FILE=str(held)).asterisk.secret == Secret(secret)
    held.write_text("amqps://u:p@h/v\n")
    settings = load(file, AMQP__URL_FILE=str(held), BRIDGE__TRANSPORT="amqp")
    assert settings.amqp.url == Secret("amqps://u:p@h/v")


def test_secrets_are_never_shown(file: Path) -> None:
    file.write_text(MINIMAL + AGENT + "amqp: {url: 'amqp://u:hunter2@h/'}\n")
    settings = load(file, ASTERISK__SECRET="hunter2", ASTERISK__SYSTEM="{username: sys, secret: hunter2}")
    shown = [repr(settings), str(settings), explain(settings), str(settings.redacted()), f"{settings!r}"]
    for text in shown:
        assert "hunter2" not in text
        assert "argon2" not in text
        assert "***" in text
    assert settings.asterisk.system is not None
    assert settings.asterisk.system.secret.reveal() == "hunter2"


def test_explain_is_a_configuration_but_for_the_secrets(file: Path, tmp_path: Path) -> None:
    file.write_text(MINIMAL + AGENT)
    settings = load(file)
    plain = yaml.safe_load(explain(settings))
    assert plain == settings.redacted()
    again = tmp_path / "again.yaml"
    again.write_text(explain(settings).replace("password_hash: '***'", f"password_hash: '{HASH}'"))
    assert load(again, ASTERISK__SECRET="0012") == settings


def test_settings_do_not_change(file: Path) -> None:
    settings = load(file)
    with pytest.raises(AttributeError):
        settings.processor = "OTHER"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        settings.asterisk.port = 1  # type: ignore[misc]


def test_files_of_tls_are_relative_to_the_configuration(file: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    file.write_text(MINIMAL.replace("host:", "tls: {ca_file: ca.pem}, host:"))
    assert load(file).bridge.tls.ca_file == str(tmp_path / "ca.pem")
    assert load(file).bridge.tls.cert_file == ""


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("_0900X.", ["0900123"], ["0900", "09001", "10900123"]),
        ("112", ["112"], ["1123", "11"]),
        ("NXX!", ["200", "2001"], ["100", "20"]),
        ("Z[1-35].", ["1112", "957"], ["0112", "147", "11"]),
        ("+49.", ["+491"], ["49", "+49", "491"]),
        ("*2#", ["*2#"], ["22#"]),
        (".", ["1", "*#+9"], [""]),
    ],
)
def test_dial_patterns(pattern: str, fits: list[str], does_not: list[str]) -> None:
    allowing, denying = DialSettings(allow=(pattern,)), DialSettings(deny=(pattern,))
    for number in fits:
        assert allowing.permits(number)
        assert not denying.permits(number)
    for number in does_not:
        assert not allowing.permits(number)
        assert denying.permits(number)


@pytest.mark.parametrize("text", ["", "7000", "<+49441>", '"Müller & Co" <7000>', '"A"<1>'])
def test_caller_ids(file: Path, text: str) -> None:
    assert load(file, DIAL__CALLER_ID=text).dial.caller_id == text


@pytest.mark.parametrize("text", ['"a"b" <1>', '"${X}" <1>', '"a,b" <1>', '"a" <1', '"a" <1>\n', "1,2"])
def test_caller_ids_that_would_reach_into_the_dialplan(file: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"dial\.caller_id: expected a number"):
        load(file, DIAL__CALLER_ID=text)


def test_deny_wins_over_allow() -> None:
    dial = DialSettings(allow=("0.",), deny=("_0900.",))
    assert dial.permits("0441")
    assert not dial.permits("09001")
    assert not dial.permits("441")
    assert DialSettings().permits("441")


def test_every_key_is_described() -> None:
    schema = msgspec.json.schema(Settings, schema_hook=lambda _: {"type": "string"})
    for name, section in schema["$defs"].items():
        for key, about in section.get("properties", {}).items():
            assert about.get("description"), f"{name}.{key}"

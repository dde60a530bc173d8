"""Sites: numbers as they are written, files as they are rendered, and what a PBX has otherwise."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from connector.config import ConfigError, Secret, load_settings
from connector.settings_site import NumberFormat, NumberSettings
from connector.site.commands import app
from connector.site.compare import differences
from connector.site.numbers import writer
from connector.site.render import VERBATIM, SiteError, render
from connector.telephony.pbx import Refused

TREE = Path(__file__).resolve().parents[2]
CONFIG, CONF = TREE / "config" / "connector.yaml", TREE / "asterisk-conf"
SITES = ("lab", "branch-office", "twilio")

US = NumberSettings(region="US", outside_prefix="9", internal=("_10XX",))
DE = NumberSettings(region="DE", outside_prefix="0", internal=("_1XXX",), format=NumberFormat.NATIONAL)


@pytest.mark.parametrize(
    ("site", "typed", "dialled"),
    [
        (US, "2025550123", "+12025550123"),
        (US, "12025550123", "+12025550123"),
        (US, "912025550123", "+12025550123"),
        (US, "9175551234", "+19175551234"),  # a New York number without prefix, not 175551234
        (US, "99175551234", "+19175551234"),
        (US, "01144" + "2071838750", "+442071838750"),
        (US, "+442071838750", "+442071838750"),
        (US, "911", "911"),
        (US, "9911", "911"),
        (US, "411", "411"),
        (US, "1001", "1001"),
        (US, "*97", "*97"),
        (DE, "03012345678", "03012345678"),
        (DE, "003012345678", "03012345678"),
        (DE, "+493012345678", "03012345678"),
        (DE, "000442071838750", "+442071838750"),
        (DE, "112", "112"),
        (DE, "1001", "1001"),
        (NumberSettings(), "0000", "0000"),
    ],
)
def test_numbers_are_written_as_the_site_does(site: NumberSettings, typed: str, dialled: str) -> None:
    write = writer(site)
    assert write(typed) == dialled
    assert write(dialled) == dialled


@pytest.mark.parametrize("typed", ["0", "12", "55501234567890123456", "+", "+999123456789"])
def test_what_is_no_number_is_refused(typed: str) -> None:
    with pytest.raises(Refused, match="no telephone number"):
        writer(US)(typed)


def site_files(site: str) -> dict[str, str]:
    settings = load_settings(CONFIG, site=site, environ={}, secrets=False)
    return render(settings, f"connector.yaml and sites/{site}.yaml", CONF)


@pytest.mark.parametrize("site", SITES)
def test_the_rendered_sites_in_the_tree_are_current(site: str) -> None:
    """If not: `make docs`. What all sites have alike is not there a second time."""
    there = {file.name: file.read_text("utf-8") for file in (CONF / "sites" / site).iterdir()}
    assert there == {name: text for name, text in site_files(site).items() if name not in VERBATIM}


@pytest.mark.parametrize("site", SITES)
def test_every_file_says_from_where_and_holds_no_password(site: str) -> None:
    for name, text in site_files(site).items():
        assert text.startswith(f"; {name}: written by `connector site render` from connector.yaml and sites/")
        assert "PASSWORD" not in text


def test_secrets_are_put_in_when_asked_for() -> None:
    environ = {
        "CONNECTOR_ASTERISK__SECRET": "s3cr;et",
        "CONNECTOR_TRUNKS__TWILIO__SECRET": "tr-unk",
        "CONNECTOR_PBX__PERMIT": "[192.0.2.7/255.255.255.255]",
    }
    settings = load_settings(CONFIG, site="twilio", environ=environ)
    files = render(settings, "here", CONF, secrets=True)
    assert "\nsecret = s3cr\\;et\n" in files["manager.harmony.conf"]
    assert "\npermit = 192.0.2.7/255.255.255.255\n" in files["manager.harmony.conf"]
    assert "\npassword = tr-unk\n" in files["pjsip.harmony.conf"]
    assert "@TRUNK_TWILIO_SECRET@" in render(settings, "here", CONF)["pjsip.harmony.conf"]


def test_a_manager_user_that_would_break_the_file_is_refused() -> None:
    settings = load_settings(CONFIG, site="lab", environ={}, secrets=False)
    evil = replace(settings, asterisk=replace(settings.asterisk, username="x]", secret=Secret("y")))
    with pytest.raises(SiteError, match=r"asterisk\.username"):
        render(evil, "here", CONF)


def test_keys_without_tls_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"trunks\.twilio\.transport: expected tls"):
        load_settings(
            CONFIG, site="twilio", environ={"CONNECTOR_TRUNKS__TWILIO__TRANSPORT": "udp"}, secrets=False
        )
    with pytest.raises(ConfigError, match=r"numbers\.region"):
        load_settings(CONFIG, site="twilio", environ={"CONNECTOR_NUMBERS__REGION": "XX"}, secrets=False)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("PBX__PHONES", "['_[9-0]XX']", r"pbx\.phones: expected digits in rising order"),
        ("NUMBERS__INTERNAL", "['_[9-0]XX']", r"numbers\.internal: expected digits in rising order"),
        ("TRUNKS__TWILIO__DIAL", "['_[9-0]XX']", r"trunks\.twilio\.dial: expected digits in rising order"),
        ("PBX__PERMIT", "[999.1.1.1]", r"pbx\.permit: .*999\.1\.1\.1"),
        ("TRUNKS__TWILIO__ADDRESSES", "[54.172.60.0/33]", r"trunks\.twilio\.addresses: .*/33"),
        ("PBX__TLS_BIND", "0.0.0.0:99999", r"pbx\.tls_bind: expected an address and a port"),
        ("PBX__TLS_BIND", "999.0.0.0:5061", r"pbx\.tls_bind: expected an address and a port"),
        ("TRUNKS__TWILIO__INBOUND", "{'+12025550100': 7999}", r"inbound\.\+12025550100: .*7999"),
        ("ASTERISK__USERNAME", "General", r"asterisk\.username: .*no user"),
        ("DIAL__CONTEXT", "globals", r"dial\.context: .*that is none"),
        ("DIAL__CONTEXT", "harmony-room", r"dial\.context: .*the connector's own"),
        ("QUEUES", "{support: {extension: 7000}, general: {}}", r"queues\.general: .*no queue"),
        ("TRUNKS", "{'1001': {host: a.example}}", r"trunks\.1001: .*a phone \(agent 1001\)"),
        ("TRUNKS", "{'1077': {host: a.example}}", r"trunks\.1077: .*a phone \(pbx\.phones\)"),
    ],
)
def test_what_the_pbx_could_not_load_is_refused(key: str, value: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_settings(CONFIG, site="twilio", environ={f"CONNECTOR_{key}": value}, secrets=False)


def test_a_site_is_checked_also_if_its_agents_are_elsewhere() -> None:
    environ = {"CONNECTOR_NUMBERS__REGION": "XX", "CONNECTOR_DIRECTORY__SOURCE": "sql"}
    with pytest.raises(ConfigError, match=r"numbers\.region"):
        load_settings(CONFIG, site="twilio", environ=environ, secrets=False)


def test_open_patterns_let_nothing_but_a_number_into_dial() -> None:
    """With `&` in it a dialled number would be a list of channels."""
    environ = {"CONNECTOR_PBX__PHONES": "[_10XX, _3!]"}
    settings = load_settings(CONFIG, site="twilio", environ=environ, secrets=False)
    text = render(settings, "here", CONF)["extensions.harmony-site.conf"]
    assert "exten => _10XX,1,Dial(PJSIP/${EXTEN}," in text
    assert "exten => _3!,1,Dial(PJSIP/${FILTER(0-9*#+,${EXTEN})}," in text
    assert "Dial(PJSIP/${FILTER(0-9*#+,${EXTEN})}@twilio," in text


@pytest.mark.parametrize("secret", [None, " tr-unk"])
def test_a_password_that_is_missing_or_would_be_read_otherwise_is_told(secret: str | None) -> None:
    environ = {"CONNECTOR_ASTERISK__SECRET": "x"}
    if secret is not None:
        environ["CONNECTOR_TRUNKS__TWILIO__SECRET"] = secret
    settings = load_settings(CONFIG, site="twilio", environ=environ)
    with pytest.raises(SiteError, match=r"^trunks\.twilio\.secret: expected a password"):
        render(settings, "here", CONF, secrets=True)


def test_differences_are_told_and_passwords_are_not(tmp_path: Path) -> None:
    files = site_files("twilio")
    for name, text in files.items():
        (tmp_path / name).write_text(text.replace("@AMI_HARMONY_SECRET@", "very-secret"), "utf-8")
    assert list(differences(files, tmp_path)) == []

    manager = tmp_path / "manager.harmony.conf"
    manager.write_text(manager.read_text("utf-8").replace("write = call,", "write = command,call,"), "utf-8")
    (tmp_path / "queues.harmony.conf").unlink()
    (tmp_path / "features.harmony.conf").write_text("", "utf-8")
    found = "\n".join(differences(files, tmp_path))
    assert "\n-write = command,call,originate,agent,reporting\n+write = call," in found
    assert "only in the site: queues.harmony.conf" in found
    assert "only there: features.harmony.conf" in found
    assert "very-secret" not in found


def test_the_commands(tmp_path: Path) -> None:
    run = CliRunner().invoke
    config, out = str(CONFIG), tmp_path / "out"
    assert run(app, ["render", "twilio", "--config", config, "--out", str(out)]).exit_code == 0
    assert all(not file.stat().st_mode & 0o007 for file in out.iterdir())
    assert run(app, ["diff", "twilio", "--config", config, "--against", str(out)]).exit_code == 0
    assert run(app, ["diff", "lab", "--config", config, "--against", str(out)]).exit_code == 1
    unknown = run(app, ["render", "twillio", "--config", config])
    assert unknown.exit_code == 2
    assert "did you mean `twilio`?" in unknown.output
    assert run(app, ["diff", "lab", "--config", config, "--against", str(tmp_path / "no")]).exit_code == 2

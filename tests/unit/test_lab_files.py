"""What is written for a lab: configuration without gaps, secrets for their owner, tones told apart."""

import array
import itertools
import json
import math
import stat
import wave
from pathlib import Path

import pytest
import yaml

from connector.config import load_settings
from connector.lab import broker, configuration, files, render
from connector.lab.provider import LabError, LabInfo, Ports
from connector.lab.state import LabState, Process

TREE = Path(__file__).resolve().parents[2]
PORTS = Ports(sip=1, ami=2, ami_tls=3, rtp_first=4, rtp_last=5, amqp=6, amqp_tls=9, epmd=7, erlang=8)


@pytest.fixture
def state() -> LabState:
    return LabState.create("unit", "native", PORTS, broker=True)


def describe(state: LabState) -> LabInfo:
    return state.info(host="127.0.0.1", ca_file=Path("/ca.pem"), log_directory=Path("/log"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_token_of_the_real_files_has_a_value(state: LabState, tmp_path: Path) -> None:
    render.asterisk(TREE / "asterisk-conf", tmp_path, render.tokens(state, bind="127.0.0.1", sounds="/tones"))
    rendered = {file.name: file.read_text() for file in tmp_path.iterdir()}
    files = (*TREE.glob("asterisk-conf/*.conf"), *TREE.glob("asterisk-conf/lab/*.conf"))
    assert {file.name for file in files} == set(rendered)
    assert "port = 2\n" in rendered["manager.conf"]
    assert f"secret = {state.ami['harmony']}\n" in rendered["manager.harmony.conf"]
    assert f"username = 2010\npassword = {state.sip['2010']}\n" in rendered["pjsip.conf"]
    assert rendered["pjsip.conf"].count("](phone)\n") == 20
    for name, text in rendered.items():
        assert not render._TOKEN.search(text), name
        assert mode(tmp_path / name) == 0o600, name


def test_an_unknown_token_is_an_error_that_names_it() -> None:
    with pytest.raises(LabError, match=r"x\.conf.*@NOT_THERE@"):
        render.fill("port = @NOT_THERE@", {"THERE": "1"}, where="x.conf")


def test_an_address_is_no_token() -> None:
    assert render.fill("Dial(Local/1@from-internal)", {}) == "Dial(Local/1@from-internal)"


def samples(path: Path) -> "array.array[int]":
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        return array.array("h", file.readframes(file.getnframes()))


def power(values: "array.array[int]", hertz: float) -> float:
    angles = [2 * math.pi * hertz * place / 8000 for place in range(8000)]
    real = sum(value * math.cos(angle) for value, angle in zip(values[:8000], angles, strict=True))
    imaginary = sum(value * math.sin(angle) for value, angle in zip(values[:8000], angles, strict=True))
    return math.hypot(real, imaginary) / 8000


def test_music_on_hold_is_its_tone_and_loops_without_a_click(tmp_path: Path) -> None:
    render.tones(tmp_path)
    music = samples(tmp_path / "moh-tone/loop.wav")
    assert power(music, 300) > 100 * power(music, 440)
    steps = [abs(after - before) for before, after in itertools.pairwise(music[:800])]
    assert abs(music[0] - music[-1]) <= max(steps)
    assert not any(samples(tmp_path / "moh-silence/loop.wav"))


def test_the_state_comes_back_and_only_its_owner_may_read_it(state: LabState, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    state.processes = {"asterisk": Process(4711, 815)}
    state.save(file)
    state.save(file)
    assert LabState.load(file) == state
    assert mode(file) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_broken_state_file_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert LabState.load(file) is None
    file.write_text("{")
    with pytest.raises(LabError, match=r"state\.json can't be read"):
        LabState.load(file)


def test_secrets_differ_from_lab_to_lab(state: LabState) -> None:
    other = LabState.create("unit", "native", PORTS, broker=True)
    mine, theirs = (
        {
            *each.sip.values(),
            *each.ami.values(),
            each.amqp,
            *(password for password, _ in each.agents.values()),
        }
        for each in (state, other)
    )
    assert len(mine) == 20 + 3 + 1 + 10
    assert not mine & theirs
    assert all(len(secret) == 24 for secret in mine)


def test_the_description_survives_json(state: LabState) -> None:
    info = describe(state)
    assert LabInfo.from_json(info.to_json()) == info
    plain = json.loads(info.to_json())
    assert plain["queues"] == {"support": "7000", "sales": "7001"}
    assert plain["amqp_url"] == f"amqp://harmony:{state.amqp}@127.0.0.1:6/harmony"
    with pytest.raises(LabError, match="no description"):
        LabInfo.from_json("{}")


def test_without_a_broker_there_is_no_url(state: LabState) -> None:
    state.broker = False
    assert describe(state).amqp_url == ""


def test_the_configuration_is_one_that_the_connector_takes(state: LabState, tmp_path: Path) -> None:
    file = tmp_path / "connector.yaml"
    file.write_text(configuration.connector_config(describe(state), bridge_port=7999))
    settings = load_settings(file)
    assert (settings.bridge.host, settings.bridge.port) == ("127.0.0.1", 7999)
    assert (settings.asterisk.port, settings.asterisk.secret.reveal()) == (2, state.ami["harmony"])
    assert settings.agents["1001"].queues == ("support", "sales")
    assert settings.agents["1010"].queues == ("support",)
    assert settings.queues["sales"].extension == "7001"


def test_the_broker_listens_on_the_loopback_only(state: LabState, tmp_path: Path) -> None:
    broker.render(state, tmp_path, keys="/keys")
    text = (tmp_path / "rabbitmq.conf").read_text()
    assert "listeners.tcp.1 = 127.0.0.1:6\n" in text
    assert "listeners.ssl.1 = 127.0.0.1:9\n" in text
    assert "ssl_options.keyfile = /keys/server.key\n" in text
    assert f"default_pass = {state.amqp}\n" in text
    assert mode(tmp_path / "rabbitmq.conf") == 0o600
    assert state.amqp not in " ".join(broker.environment(state).values())


def test_compose_and_the_setup_service_speak_of_the_same_ports() -> None:
    compose = yaml.safe_load((TREE / "docker/compose.yaml").read_text())
    given = compose["services"]["setup"]["environment"]
    assert set(given) == {*files.environment(PORTS), "LAB_BRIDGE_PORT"}
    assert files.ports_from(files.environment(PORTS)) == PORTS
    with pytest.raises(LabError, match="LAB_SIP_PORT"):
        files.ports_from({})


def test_compose_publishes_nothing() -> None:
    compose = yaml.safe_load((TREE / "docker/compose.yaml").read_text())
    for name, service in compose["services"].items():
        assert "ports" not in service, name
        assert service["network_mode"] in {"host", "none"}, name

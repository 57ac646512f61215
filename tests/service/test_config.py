"""Settings: where they come from, which of two wins, and what is said when one is wrong."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from consumers import kafka_options
from consumers.kafka_options import KafkaOptions
from models.learner import LearnerOptions
from service.config import Settings, find_file, load_settings, wants_traceback
from service.errors import ConfigurationInvalid
from service.settings.yaml_text import as_yaml


def load(tmp_path: Path, text: str = "", **environ: str) -> Settings:
    """Return the settings of a file and of environment variables, whose names are given without their prefix."""
    file = tmp_path / "headrace.yaml"
    file.write_text(text)
    return load_settings(file, {f"HEADRACE_{name}": value for name, value in environ.items()})


def complaint(tmp_path: Path, text: str = "", **environ: str) -> str:
    """Return what is said of settings that are wrong."""
    with pytest.raises(ConfigurationInvalid) as caught:
        load(tmp_path, text, **environ)
    return str(caught.value)


def test_everything_has_a_default_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could start without writing a file first."""
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {})
    assert settings.source.kind == "log"
    assert settings.models["default"].topic == "events"
    assert settings.models["default"].learner == LearnerOptions()
    assert settings.models["default"].microbatch.max_size == 1024
    assert (settings.serve.host, settings.serve.port) == ("127.0.0.1", 8000)


def test_the_documented_file_is_understood(tmp_path: Path) -> None:
    """The example that users copy would be refused."""
    settings = load(
        tmp_path,
        """
        data_dir: data
        source: {kind: log}
        kafka: {bootstrap_servers: "localhost:9092", client: kafka-python, security_protocol: PLAINTEXT}
        models:
          default:
            topic: events
            task: auto
            learner: {kind: auto, loss: auto, optimizer: auto, learning_rate: auto, device: auto}
            microbatch: {max_size: 1024, max_delay_ms: 50, max_bytes: 4194304, adaptive: true}
            fallback: {learner: online, replay_events: 10000}
            events: {format: envelope}
            checkpoint: {every_seconds: 5, keep: 5}
        serve: {host: 127.0.0.1, port: 8000, workers: 1, max_body_bytes: 8388608}
        security: {api_keys_file: null}
        """,
    )
    assert settings == Settings()


def test_the_file_in_the_current_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's headrace.yaml would be ignored in silence."""
    monkeypatch.chdir(tmp_path)
    assert find_file(None) is None
    Path("headrace.yaml").write_text("serve: {port: 9001}")
    assert load_settings(None, {}).serve.port == 9001
    other = tmp_path / "other.yaml"
    other.write_text("serve: {port: 9002}")
    assert load_settings(other, {}).serve.port == 9002


@pytest.mark.parametrize(
    ("microbatch", "largest"),
    [
        ("{}", 16_384),
        ("{max_size: 1024}", 16_384),
        ("{max_size: 512}", 512),
        ("{max_size: 4096}", 4096),
        ("{max_size: 512, backlog_size: 2048}", 2048),
        ("{backlog_size: 1024}", 1024),
        ("{adaptive: false}", 1024),
        ("{adaptive: false, backlog_size: 2048}", 1024),
    ],
)
def test_a_bound_on_microbatches_holds_for_backlogs_too(tmp_path: Path, microbatch: str, largest: int) -> None:
    """Whoever sets a bound would get larger microbatches; whoever sets none would wait for a backlog twice as long."""
    found = load(tmp_path, f"models: {{default: {{microbatch: {microbatch}}}}}")
    assert found.models["default"].microbatch.largest == largest


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A container could not be configured without a file of its own."""
    text = "models: {default: {microbatch: {max_size: 7, max_delay_ms: 3}}}"
    settings = load(tmp_path, text, MODELS__DEFAULT__MICROBATCH__MAX_SIZE="512", DATA_DIR="/tmp/elsewhere")
    assert settings.models["default"].microbatch.max_size == 512
    assert settings.models["default"].microbatch.max_delay_ms == 3
    assert settings.data_dir == Path("/tmp/elsewhere")


def test_other_variables_are_left_alone(tmp_path: Path) -> None:
    """A test's or a cluster's own variables would keep the service from starting."""
    kubernetes = {"PORT": "tcp://10.0.0.1:8000", "PORT_8000_TCP_ADDR": "10.0.0.1", "SERVICE_HOST": "10.0.0.1"}
    assert load(tmp_path, DEBUG="1", TEST_KAFKA="localhost:9092", **kubernetes) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("MODELS__DEFAULT__LEARNER__LEARNING_RATE", "1e-3", "learner.learning_rate", 1e-3),
        ("MODELS__DEFAULT__LEARNER__NETWORK__HIDDEN", "[32, 16]", "learner.network", {"hidden": [32, 16]}),
        ("MODELS__DEFAULT__MICROBATCH__ADAPTIVE", "off", "microbatch.adaptive", False),
        ("MODELS__DEFAULT__CHECKPOINT", "{every_seconds: 2, keep: 3}", "checkpoint.keep", 3),
        ("MODELS__DEFAULT__EVENTS__EXCLUDE", '["note*"]', "events.exclude", ("note*",)),
        ("models__default__task", "binary", "task", "binary"),
        ("MODELS__DEFAULT__TOPIC", "2024", "topic", "2024"),
    ],
)
def test_values_of_the_environment_have_types(tmp_path: Path, name: str, value: str, path: str, expected: Any) -> None:
    """Lists, numbers and sections could be set in the file only."""
    found: Any = load(tmp_path, **{name: value}).models["default"]
    for part in path.split("."):
        found = getattr(found, part)
    assert found == expected


def test_text_of_the_environment_is_taken_literally(tmp_path: Path) -> None:
    """A password of digits would be read as a number, and the broker would refuse it."""
    credentials = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "no"}
    environ = {f"KAFKA__{name}": value for name, value in credentials.items()}
    options = load(tmp_path, KAFKA__SASL_PASSWORD="0123", **environ).kafka.client_options()
    assert options["sasl_password"] == "0123"
    assert options["sasl_username"] == "no"
    assert KafkaOptions(**options).sasl_password == "0123"


def test_null_unsets_a_setting(tmp_path: Path) -> None:
    """What a file sets could not be taken back by the environment."""
    text = "publish_dir: /tmp/there\nlog: {retention_days: 3}"
    settings = load(tmp_path, text, PUBLISH_DIR="null", LOG__RETENTION_DAYS="null")
    assert settings.publish_dir is None
    assert settings.log.retention_days is None


def test_a_models_name_may_be_spelt_as_a_shell_can(tmp_path: Path) -> None:
    """A model named fraud-eu could not be configured by the environment."""
    settings = load(tmp_path, "models: {fraud-eu: {}, other: {}}", MODELS__FRAUD_EU__TASK="binary")
    assert settings.models["fraud-eu"].task == "binary"
    assert list(settings.models) == ["fraud-eu", "other"]
    assert "fraud-eu or fraud_eu" in complaint(
        tmp_path, "models: {fraud-eu: {}, fraud_eu: {}}", MODELS__FRAUD_EU__TASK="binary"
    )


def test_a_section_may_be_empty(tmp_path: Path) -> None:
    """`default:` with everything below it commented out would be refused."""
    assert load(tmp_path, "models:\n  default:\nserve:\n") == Settings()


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    """`learning_rate: 1e-3` would be text, as YAML 1.1 has it."""
    learner = (
        load(tmp_path, "models: {default: {learner: {learning_rate: 1e-3, weight_decay: 1E-4}}}")
        .models["default"]
        .learner
    )
    assert (learner.learning_rate, learner.weight_decay) == (1e-3, 1e-4)


@pytest.mark.parametrize("kind", ["auto", "linear", "mlp", "fm", "online", "nets/mine.py:Wide"])
def test_kinds_of_learners(tmp_path: Path, kind: str) -> None:
    """A learner that is documented could not be chosen."""
    settings = load(tmp_path, MODELS__DEFAULT__LEARNER__KIND=kind)
    assert settings.models["default"].learner.kind == kind


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "models: {default: {microbatch: {max_sise: 3}}}",
            ["models.default.microbatch.max_sise", "did you mean", "max_size"],
        ),
        ("microbatch: {max_size: 3}", ["microbatch: there is no such setting", "models"]),
        ("port: 80", ["did you mean serve.port"]),
        ("models: {default: {microbatch: {max_size: 0}}}", ["models.default.microbatch.max_size: 0", "at least 1"]),
        ("models: {default: {microbatch: {backlog_size: 9}}}", ["models.default.microbatch", "lower max_size"]),
        ("serve: {port: 99999}", ["serve.port: 99999", "at most 65535"]),
        ("serve: {workers: many}", ['serve.workers: "many"', "an integer"]),
        ("models: {default: {task: clas}}", ['models.default.task: "clas"', "binary, multiclass, regression"]),
        ("models: {default: {learner: {kind: mpl}}}", ["models.default.learner.kind", "mlp", "file.py:ClassName"]),
        ("models: {default: {learner: {loss: bc}}}", ["models.default.learner.loss", "bce, ce, mse, mae, huber"]),
        ("models: {default: {learner: {optimiser: adam}}}", ["did you mean models.default.learner.optimizer"]),
        ("models: {default: {learner: {learning_rate: 0}}}", ["learning_rate: 0", "a positive number, or auto"]),
        ("models: {default: {learner: {replay: few}}}", ["learner.replay", "or auto"]),
        ("models: {default: {learner: {device: gpu}}}", ['"gpu"', "cuda:N"]),
        ("models: {default: {task: regression, learner: {loss: bce}}}", ["bce does not fit task regression", "mse"]),
        ("models: {default: {events: {format: flat}}}", ["models.default.events", "label"]),
        ("models: {default: {events: {features: {price: numbr}}}}", ["features.price", "number, boolean"]),
        ("models: {default: 3}", ["models.default: 3", "section"]),
        ("models: {Fraud: {}}", ["'Fraud'", "such as 'fraud'"]),
        ("models: {a__b: {}}", ["'a__b'"]),
        ("models: {}", ["at least one model"]),
        ("models: {default: {topic: 'my topic'}}", ['models.default.topic: "my topic"']),
        ("kafka: {bootstrap_servers: localhost}", ["kafka.bootstrap_servers", "host:port"]),
        ("kafka: {security_protocol: SASL_SSL}", ["sasl_mechanism"]),
        (
            "kafka: {security_protocol: SASL_SSL, sasl_mechanism: OAUTHBEARER}",
            ["kafka", "either oauth_token_file or oauth_token_url"],
        ),
        (
            "kafka: {security_protocol: SASL_SSL, sasl_mechanism: OAUTHBEARER, oauth_token_url: 'https://a/b'}",
            ["kafka", "oauth_client_id and oauth_client_secret"],
        ),
        ("kafka: {oauth_token_file: token}", ["kafka", "of no use unless sasl_mechanism is OAUTHBEARER"]),
        ("kafka: {oauth_token_url: 'ftp://a'}", ["kafka.oauth_token_url"]),
        ("kafka: {client: confluent}", ["kafka.client", "kafka-python", "librdkafka"]),
        ("kafka: {librdkafka: {check.crcs: false}}", ["of no use unless kafka.client is librdkafka"]),
        (
            "kafka: {client: librdkafka, security_protocol: SASL_SSL, sasl_mechanism: GSSAPI}",
            ["GSSAPI needs kafka.client kafka-python"],
        ),
        ("kafka: {ssl_keyfile: pyproject.toml}", ["kafka", "of no use without ssl_certfile"]),
        ("kafka: {max_message_bytes: 1}", ["kafka.max_message_bytes", "1024"]),
        ("kafka: {ssl_cafile: /nowhere.pem}", ["kafka.ssl_cafile", "no such file"]),
        ("security: {api_keys_file: /}", ["security.api_keys_file", "must be a file"]),
        ("security: {requests_per_second: 0}", ["security.requests_per_second", "greater than 0"]),
        ("serve: {tls_certfile: setup.py}", ["serve.tls_certfile", "no such file"]),
        ("serve: {tls_key_password: secret}", ["serve", "of no use without tls_certfile"]),
        ("serve: {trusted_proxies: [proxy]}", ["serve.trusted_proxies", "10.0.0.0/24"]),
        ("limits: {max_rows: 0}", ["limits.max_rows", "at least 1"]),
        ("a: 1\na: 2", ["line 2", "twice"]),
        ("serve: [", ["not valid YAML", "line 1"]),
        ("- 1", ["key: value"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(tmp_path: Path, text: str, parts: list[str]) -> None:
    """An operator would have to guess what to change."""
    said = complaint(tmp_path, text)
    assert [part for part in parts if part not in said] == [], said
    assert str(tmp_path / "headrace.yaml") in said


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("MODELS__DEFAULT__MICROBATCH__MAXSIZE", "3", ["did you mean models.default.microbatch.max_size"]),
        ("MODELS__DEFAULT__MICROBATCH__MAX_SIZE", "abc", ['"abc"', "an integer"]),
        ("PORT", "9000", ["did you mean serve.port"]),
        ("SERVE", "[", ["not a valid value"]),
        ("SERVE__PORT__X", "1", ["serve.port has no setting 'x'"]),
        ("MODELS____TASK", "binary", ["models has no setting"]),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, parts: list[str]) -> None:
    """A typo in a deployment would be ignored, or looked for in the file."""
    said = complaint(tmp_path, **{name: value})
    assert [part for part in [f"HEADRACE_{name}", *parts] if part not in said] == [], said


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    """Each start would bring up one more mistake."""
    said = complaint(tmp_path, "serve: {port: 0}\nmodels: {default: {task: x}}", SERVE__WORKERS="0")
    assert len(said.splitlines()) == 3


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    """A typo after --config would start the service on its defaults."""
    with pytest.raises(ConfigurationInvalid, match="no such file"):
        load_settings(tmp_path / "nowhere.yaml", {})


def test_strangers_are_kept_out_unless_somebody_decided(tmp_path: Path) -> None:
    """Everybody in the network could teach the model by default."""
    said = complaint(tmp_path, SERVE__HOST="0.0.0.0")
    assert "serve.host" in said
    assert "allow_anonymous" in said
    assert "security.api_keys_file" in said
    assert load(tmp_path, SERVE__HOST="0.0.0.0", SECURITY__API_KEYS_FILE="keys.txt").security.api_keys_file
    assert load(tmp_path, SERVE__HOST="0.0.0.0", SECURITY__ALLOW_ANONYMOUS="true").serve.host == "0.0.0.0"
    for host in ("localhost", "127.0.0.1", "127.8.0.1", "::1"):
        assert load(tmp_path, SERVE__HOST=host).serve.host == host


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    """What an operator was shown at start-up could differ from what counts later."""
    settings = load(tmp_path)
    with pytest.raises(ValidationError, match="frozen"):
        settings.shutdown_seconds = 3


def test_secrets_do_not_show(tmp_path: Path) -> None:
    """A password would end up in logs and error messages."""
    text = """
    kafka: {security_protocol: SASL_PLAINTEXT, sasl_mechanism: PLAIN, sasl_username: u, sasl_password: hunter2,
            extra: {sasl_oauth_token_provider: hunter2, linger_ms: 5}, client: librdkafka,
            librdkafka: {ssl.key.password: hunter2, check.crcs: false}}
    """
    settings = load(tmp_path, text)
    assert settings.kafka.sasl_password == SecretStr("hunter2")
    assert "hunter2" not in as_yaml(settings.model_dump(mode="json"))
    assert "hunter2" not in settings.model_dump_json()
    assert "linger_ms: 5" in as_yaml(settings.model_dump(mode="json"))
    assert "check.crcs: false" in as_yaml(settings.model_dump(mode="json"))
    assert "hunter2" not in complaint(tmp_path, "kafka: {sasl_password: [hunter2]}")


def test_what_is_shown_can_be_used_as_a_file(tmp_path: Path) -> None:
    """`headrace config show > headrace.yaml` would not start."""
    settings = load(tmp_path, "models: {one: {task: binary}, two: {events: {format: flat, label: late}}}")
    assert load(tmp_path, as_yaml(settings.model_dump(mode="json"))) == settings


def test_the_publication_has_a_place_of_its_own(tmp_path: Path) -> None:
    """Two services on one machine would publish into each other's folder."""
    one, two = Settings(data_dir=tmp_path / "one"), Settings(data_dir=tmp_path / "two")
    assert one.resolved_publish_dir() == Settings(data_dir=tmp_path / "two" / ".." / "one").resolved_publish_dir()
    assert one.resolved_publish_dir() != two.resolved_publish_dir()
    assert Settings(publish_dir=tmp_path / "there").resolved_publish_dir() == tmp_path / "there"


def test_the_kafka_client_takes_every_setting() -> None:
    """A setting of the section kafka would not reach the client."""
    options = Settings().kafka.client_options()
    assert KafkaOptions(**options) == KafkaOptions()


def test_a_client_that_is_not_installed_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer would end with a traceback about a module that nobody has heard of."""
    monkeypatch.setattr(kafka_options, "find_spec", lambda _: None)
    found = complaint(tmp_path, "kafka: {client: librdkafka}")
    assert "confluent-kafka, which is not installed" in found
    assert "headrace[librdkafka]" in found


@pytest.mark.parametrize(("value", "wanted"), [("1", True), ("true", True), ("0", False), ("", False), ("no", False)])
def test_tracebacks_are_shown_on_demand(value: str, wanted: bool) -> None:
    """A defect could not be looked into, or every typo would bring a traceback."""
    assert wants_traceback({"HEADRACE_DEBUG": value}) is wanted

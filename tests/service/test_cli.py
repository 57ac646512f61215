"""The command line: what it prints, how it ends, and that no error of a user's is a traceback."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
import yaml

from consumers.errors import TopicMissing
from models.errors import NetworkInvalid
from service.errors import ConfigurationInvalid, JournalInvalid
from tests.support.answering import Answer, Asked, accept_all, answering
from tests.support.commands import Ended, run_headrace

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "up", "train", "serve", "demo", "replay", "compare", "checkpoints", "dead-letters", "models", "keys", "config",
)  # fmt: skip


Headrace = Callable[..., Ended]


@pytest.fixture
def headrace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ended]:
    """Return a function that runs ``headrace ARGUMENTS`` in this process, in an empty folder."""
    for name in os.environ:
        if name.startswith("HEADRACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    return partial(run_headrace, monkeypatch, capsys)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """The commands set up logging for a process of their own, which this one is not."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def raising(error: BaseException) -> Callable[..., NoReturn]:
    """Return a function that raises `error`, whatever it is called with."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    """A small labelled file."""
    path = tmp_path / "stream.csv"
    path.write_text("x,y\n" + "".join(f"{n},{n % 2}\n" for n in range(10)))
    return path


def test_help_names_every_command_and_every_command_explains_itself(headrace: Headrace) -> None:
    """Nobody could find out what there is."""
    shown = headrace("--help")
    assert shown.status == 0
    assert [command for command in COMMANDS if command not in shown.out] == []
    letters = [f"dead-letters {command}" for command in ("list", "show", "redrive", "resume")]
    for command in [*COMMANDS, *letters, "keys add", "config show", "config check"]:
        ended = headrace(*command.split(), "--help")
        assert ended.status == 0
        assert "Usage: headrace" in ended.out


def test_help_imports_nothing_heavy() -> None:
    """`headrace --help` would take as long as importing PyTorch."""
    code = (
        "import sys; sys.argv = ['headrace', 'compare', '--help']\n"
        "from service.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'river', 'fastapi', 'kafka', 'numpy', 'httpx', 'rich.progress'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version(headrace: Headrace) -> None:
    """Nobody could say in a report what they run."""
    assert headrace("--version").out.startswith("headrace 0.")


@pytest.mark.parametrize(
    "arguments", [["nope"], ["train", "--nope"], ["replay"], ["replay", "x.csv", "--rate", "fast"]]
)
def test_wrong_usage_is_told(headrace: Headrace, arguments: list[str]) -> None:
    """A script could not tell wrong usage from a failure."""
    ended = headrace(*arguments)
    assert ended.status == 2
    assert "Traceback" not in ended.err


def test_config_show_prints_what_counts(headrace: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could see which settings the service would use."""
    Path("headrace.yaml").write_text("serve: {port: 9001}")
    monkeypatch.setenv("HEADRACE_SERVE__WORKERS", "3")
    shown = yaml.safe_load(headrace("config", "show").out)
    expected = {"host": "127.0.0.1", "port": 9001, "workers": 3, "max_body_bytes": 8388608}
    assert {name: shown["serve"][name] for name in expected} == expected
    assert json.loads(headrace("config", "show", "--json").out) == shown


def test_config_check(headrace: Headrace) -> None:
    """A deployment could not be checked before it is rolled out."""
    good = headrace("config", "check")
    assert (good.status, good.err) == (0, "")
    assert good.out.startswith("ok: ")
    Path("headrace.yaml").write_text("serve: {prot: 9001}")
    bad = headrace("config", "check")
    assert bad.status == 2
    assert bad.err == "error: headrace.yaml: serve.prot: there is no such setting; did you mean serve.port?\n"
    told = json.loads(headrace("config", "check", "--json").out)
    assert (told["valid"], len(told["errors"])) == (False, 1)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigurationInvalid("say what is right"), 2),
        (JournalInvalid("say what is right"), 1),
        (TopicMissing("say what is right"), 1),
        (NetworkInvalid("say what is right"), 1),
    ],
)
def test_our_errors_are_one_line(
    headrace: Headrace, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    """A user's mistake would bring a traceback."""
    monkeypatch.setattr("service.learning.trainer_process.run_trainer", raising(error))
    ended = headrace("train")
    assert ended == Ended(status, "", "error: say what is right\n")


def test_an_error_of_the_system_is_one_line(headrace: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be written to would bring a traceback."""
    monkeypatch.setattr(
        "service.learning.trainer_process.run_trainer", raising(PermissionError(13, "Permission denied", "/data"))
    )
    assert headrace("train") == Ended(1, "", "error: /data: Permission denied\n")


def test_a_defect_keeps_its_traceback(headrace: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of ours could not be found from a user's report."""
    monkeypatch.setattr("service.learning.trainer_process.run_trainer", raising(ZeroDivisionError("a defect")))
    ended = headrace("train")
    assert ended.status == 1
    entry = json.loads(ended.err.splitlines()[-1])
    assert entry["level"] == "critical"
    assert "ZeroDivisionError: a defect" in entry["exception"]


def test_tracebacks_on_demand(headrace: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error whose cause is not in its message could not be looked into."""
    monkeypatch.setenv("HEADRACE_DEBUG", "1")
    monkeypatch.setattr("service.learning.trainer_process.run_trainer", raising(JournalInvalid("x")))
    ended = headrace("train")
    assert ended.status == 1
    assert "Traceback" in ended.err


def test_ctrl_c_is_quiet(headrace: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops a command would get a traceback."""
    monkeypatch.setattr("service.learning.trainer_process.run_trainer", raising(KeyboardInterrupt()))
    assert headrace("train") == Ended(130, "", "")


def test_a_reader_that_has_gone_is_no_error() -> None:
    """`headrace config show | head -1` would bring a traceback."""
    code = f"{sys.executable} -m service.cli config show --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", f"sleep 0.1; {code}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_the_model_to_train_is_chosen(headrace: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer would learn a model that nobody meant."""
    trained: list[str] = []

    def run_trainer(_: object, name: str, **_beginning: object) -> int:
        trained.append(name)
        return 0

    monkeypatch.setattr("service.learning.trainer_process.run_trainer", run_trainer)
    assert headrace("train").status == 0
    Path("headrace.yaml").write_text("models: {one: {}, two: {}}")
    assert headrace("train", "--model", "two").status == 0
    assert trained == ["default", "two"]

    def run_supervisor(_: object, models: list[str]) -> int:
        trained.extend(models)
        return 0

    monkeypatch.setattr("service.commands.train.run_supervisor", run_supervisor)
    assert headrace("train").status == 0
    assert trained[2:] == ["one", "two"], "all of them, each in a process"
    unsaid, unknown = headrace("train", "--from", "earliest"), headrace("train", "--model", "three")
    assert (unsaid.status, unknown.status) == (2, 2)
    assert "--model one of one, two" in unsaid.err
    assert "no such model" in unknown.err


def test_models_are_added_listed_and_removed(headrace: Headrace) -> None:
    """An operator without HTTP would have to restart everything for one more model."""
    Path("shop.yaml").write_text("topic: shop\ntask: binary\n")
    added = headrace("models", "add", "shop", "--settings", "shop.yaml", "--json")
    assert json.loads(added.out)["created"]
    assert headrace("models", "add", "shop", "--settings", "shop.yaml").err.endswith("settings now\n")
    listed = json.loads(headrace("models", "list", "--json").out)
    assert listed["models"] == [
        {"model": "default", "declared_in": "file", "topic": "events"},
        {"model": "shop", "declared_in": "api", "topic": "shop"},
    ]
    assert headrace("checkpoints", "list", "--model", "shop").status == 0
    Path("shop.yaml").write_text("topics: shop\n")
    wrong = headrace("models", "add", "shop", "--settings", "shop.yaml")
    assert (wrong.status, "did you mean models.shop.topic" in wrong.err) == (1, True)
    assert headrace("models", "remove", "default").status == 1
    assert headrace("models", "remove", "shop").err.endswith("shop is gone\n")
    assert "shop" not in headrace("models", "list").out


def test_replay_sends_a_file_and_tells_what_came_of_it(headrace: Headrace, csv_file: Path) -> None:
    """A program could not tell whether a replay went well."""
    with answering() as server:
        ended = headrace("replay", str(csv_file), "--label", "y", "--to", server.url, "--batch", "4", "--json")
    assert ended.status == 0, ended.err
    result = json.loads(ended.out.splitlines()[-1])
    assert (result["events"], result["accepted"], result["rejected"]) == (10, 10, 0)
    sent = [event for post in server.posts() for event in post.events()]
    assert sent == [{"features": {"x": n}, "label": n % 2} for n in range(10)]


def test_replay_in_words(headrace: Headrace, csv_file: Path) -> None:
    """A person would have to read JSON."""
    scores = {"stream": {"accuracy": 0.75, "majority_accuracy": 0.5, "no_change_accuracy": 0.25, "log_loss": 0.4}}

    def answer(asked: Asked) -> Answer:
        if asked.method == "GET":
            return Answer(200, {"scores": scores, "task": "binary"})
        rejected = [{"index": 0, "reason": "label"}]
        return Answer(202, {"accepted": len(asked.events()) - 1, "rejected": rejected})

    with answering(answer) as server:
        ended = headrace("replay", str(csv_file), "--label", "y", "--to", server.url, "--limit", "5", "--as", "json")
    assert ended.status == 0
    assert "4 events in" in ended.out
    assert "1 were refused: 1 label" in ended.out
    assert "accuracy 0.7500 (majority class 0.5000, last label 0.2500)" in ended.out
    assert "replaying stream.csv" in ended.err


def test_replay_can_wait_until_all_is_learned(headrace: Headrace, csv_file: Path) -> None:
    """A script that asks for predictions after a replay would ask too early."""
    # The first look finds the server, the second where it starts, the others come while the events are learned.
    consumed = iter([3, 3, 7, 12])
    seen: list[int] = []

    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            return accept_all(asked)
        seen.append(next(consumed, 13))
        return Answer(200, {"events_consumed": seen[-1], "scores": {}})

    with answering(answer) as server:
        ended = headrace("replay", str(csv_file), "--label", "y", "--to", server.url, "--wait")
    assert ended.status == 0, ended.err
    assert seen[-1] == 13


def test_a_replay_of_which_nothing_is_taken_fails(headrace: Headrace, csv_file: Path) -> None:
    """A script would go on as if there were something to learn."""

    def answer(asked: Asked) -> Answer:
        if asked.method == "GET":
            return Answer(200, {})
        return Answer(202, {"accepted": 0, "rejected": [{"index": i, "reason": "label"} for i in range(10)]})

    with answering(answer) as server:
        assert headrace("replay", str(csv_file), "--label", "y", "--to", server.url).status == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nowhere.csv", "--label", "y"], 1, "nowhere.csv: there is no such file"),
        (["stream.csv", "--label", "z", "--to", "URL"], 1, "no column 'z' for --label"),
        (["stream.csv", "--label", "y", "--to", "http://127.0.0.1:1"], 1, "nothing answers at http://127.0.0.1:1"),
        (["stream.csv", "--label", "y", "--to", "localhost"], 2, "--to localhost"),
        (["stream.csv", "--label", "y", "--topic", "t"], 2, "--topic is for --to kafka"),
        (["stream.csv", "--label", "y", "--to", "kafka", "--model", "x"], 2, "no such model"),
        (["stream.csv", "--label", "y", "--to", "kafka", "--model", "flat"], 2, "'flat'"),
    ],
)
def test_a_replay_that_cannot_be_is_told_in_one_line(
    headrace: Headrace, csv_file: Path, arguments: list[str], status: int, said: str
) -> None:
    """A mistake in a command would bring a traceback, or be found out a minute later."""
    Path("headrace.yaml").write_text("models: {default: {}, flat: {events: {format: flat, label: y}}}\n")
    with answering() as server:
        ended = headrace("replay", *[server.url if word == "URL" else word for word in arguments])
    assert ended.status == status, ended.err
    error = ended.err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error
    assert "Traceback" not in ended.err


def test_a_broker_that_is_not_there_is_told_in_one_line(csv_file: Path) -> None:
    """A wrong address of the broker would bring a traceback, or nothing at all."""
    settings = {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "KAFKA__CONNECT_TIMEOUT": "0.5", "SERVE__PORT": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "replay", str(csv_file), "--label", "y", "--to", "kafka"],
        cwd=ROOT,
        env=os.environ | {f"HEADRACE_{name}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: ")
    assert "127.0.0.1:1" in error
    assert "Traceback" not in done.stderr

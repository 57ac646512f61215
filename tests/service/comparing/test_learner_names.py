"""The names that `--learners` takes."""

import pytest

from models.baselines import BASELINES
from models.examples import Task
from service.comparing.learner_names import DEFAULT, NAMES, WAYS, Entrant, fitting, parse_entrants, with_key
from service.errors import ConfigurationInvalid
from service.settings.learner_kinds import KINDS


def test_every_learner_can_be_compared() -> None:
    """A learner would be in the configuration but could not be compared, or would be listed and not exist."""
    assert {name for name, way in WAYS.items() if way != "baseline"} == set(KINDS)
    assert {name for name, way in WAYS.items() if way == "baseline"} == set(BASELINES)


def test_names_and_sizes_are_read() -> None:
    """Another learner would be tested than the one that was asked for."""
    assert parse_entrants("mlp, auto@256,mlp,no-change,own/net.py:Net@32") == [
        Entrant("mlp", "mlp"),
        Entrant("auto@256", "auto", 256),
        Entrant("no-change", "no-change"),
        Entrant("own/net.py:Net@32", "own/net.py:Net", 32),
    ]
    assert [entrant.name for entrant in parse_entrants(None)] == list(DEFAULT)


def test_what_is_usual_shows_every_way_to_learn() -> None:
    """A first look would leave out batch, microbatches of several sizes, online learning or the baselines."""
    usual = parse_entrants(None)
    assert {entrant.way for entrant in usual} == {"microbatch", "batch", "online", "baseline"}
    assert len({entrant.size for entrant in usual if entrant.way == "microbatch"}) >= 3
    assert {"online", "auto@1"} <= {entrant.name for entrant in usual if entrant.way == "online"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("mpl", "there is no learner 'mpl'; did you mean mlp?"),
        ("auto,nonsense", f"There are {NAMES}"),
        (" , ", "names no learner"),
        ("auto@0", "'0' is no size of a microbatch"),
        ("auto@many", "such as auto@256"),
        ("auto@", "'' is no size"),
        ("online@64", "online learns one row at a time"),
        ("majority@64", "majority learns one row at a time"),
    ],
)
def test_wrong_names_are_told(names: str, told: str) -> None:
    """Somebody who mistypes a name would not learn which there are."""
    with pytest.raises(ConfigurationInvalid) as refused:
        parse_entrants(names)
    assert told in str(refused.value)


def test_baselines_fit_the_task() -> None:
    """The usual comparison would fail at a baseline of another task, or one that was asked for would be left out."""
    entrants = parse_entrants("auto,majority,mean,no-change")
    known = [name for name, tasks in BASELINES.items() if Task.REGRESSION in tasks]
    left = fitting(entrants, known, chosen=False, task="regression")
    assert [entrant.name for entrant in left] == ["auto", "mean", "no-change"]
    with pytest.raises(ConfigurationInvalid, match="majority: does not know the task, which is regression; its basel"):
        fitting(entrants, known, chosen=True, task="regression")


def test_learners_that_can_have_keys_are_tested_with_them_too() -> None:
    """A key could not be judged: whether it helps is seen beside the same learner without it."""
    found = with_key(parse_entrants("linear,online,batch,mean,own/net.py:Net"), "station")
    assert [(each.name, each.key) for each in found] == [
        ("linear", ""),
        ("linear+station", "station"),
        ("online", ""),
        ("batch", ""),
        ("mean", ""),
        ("own/net.py:Net", ""),
        ("own/net.py:Net+station", "station"),
    ]
    assert with_key(found[:1], None) == found[:1]

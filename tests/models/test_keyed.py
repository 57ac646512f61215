"""Small models for keys: what they learn, whom they leave alone, and that nothing of them is lost."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from models import keyed_spill
from models.checks import yield_checks
from models.checks_expect import answers, expect_same_state
from models.errors import LearnerOptionsInvalid
from models.examples import Examples, FeatureKey, Features, Kind, Task
from models.learner import LearnerOptions, LearnerState
from models.registry import create_learner, load_predictor
from models.torch_learner import TorchLearner
from tests.models.test_real_streams import examples
from tests.support.keyed import KEY, counts, keyed_learner, keyed_stream, learn, of_keys, scores
from tests.support.learning import labelled

WHOLE = (
    "predicting_is_pure",
    "foreign_state_is_refused",
    "forgotten_scores_leave_what_was_learned",
    "published_spec_is_stable",
    "new_class_later",
    "efforts_are_followed_exactly",
    "one_row_at_a_time",
    "unlabelled_rows_change_nothing",
)
EVICTING = ("restored_goes_on_exactly", "published_follows_in_place", "published_is_predictor", "state_is_a_copy")


def cases() -> list[object]:
    """Return checks of the contract, some of learners that have too few slots for the keys that come."""
    found: list[object] = []
    for task, most, only in ((Task.MULTICLASS, 9, WHOLE), (Task.BINARY, 2, EVICTING), (Task.REGRESSION, 2, EVICTING)):
        for check in yield_checks(lambda task=task, most=most: keyed_learner(task, "city", keys=most)):  # type: ignore[misc] # of its defaults
            name = check.func.__name__.removeprefix("check_")
            if name in only:
                found.append(pytest.param(check, id=f"{task}-{most}-{name}"))
    return found


@pytest.mark.parametrize("check", cases())
def test_a_learner_with_keys_keeps_the_contract(check: Callable[[], None]) -> None:
    """The service would lose, double or misreport what was learned."""
    check()


@pytest.mark.parametrize(
    ("task", "measure", "share"),
    [(Task.REGRESSION, "mae", 0.35), (Task.BINARY, "log_loss", 0.8), (Task.MULTICLASS, "log_loss", 0.8)],
)
def test_keys_with_weights_of_their_own_are_told_apart(task: Task, measure: str, share: float) -> None:
    """Keyed models would be no better than a shared one where they are made for."""
    shared, keyed = (keyed_learner(task, key) for key in ("", KEY))
    given = keyed_stream(task, 4096)
    for each in (shared, keyed):
        learn(each, given, 256)
    assert scores(keyed)[measure] < share * scores(shared)[measure]


def test_keys_that_do_not_differ_are_left_alone() -> None:
    """A key that tells nothing would make answers worse: every one of its models learns noise."""
    random = np.random.default_rng(5)
    given = of_keys(Task.REGRESSION, np.zeros(4096, np.int64))
    noisy = [float(label) + 10 * random.normal() for label in given.labels]
    names = {KEY: [f"device-{key}" for key in random.integers(50, size=len(given)).tolist()]}
    given = replace(given, labels=noisy, features=replace(given.features, categories=names))
    shared, keyed = (keyed_learner(Task.REGRESSION, key) for key in ("", KEY))
    for each in (shared, keyed):
        learn(each, given, 256)
    assert scores(keyed)["mae"] < 1.05 * scores(shared)["mae"]


@pytest.mark.parametrize("task", Task)
def test_rows_without_a_known_key_are_answered_by_the_shared_model(task: Task) -> None:
    """A new device would be answered by another's model, or the shared model would learn otherwise beside keys."""
    shared, keyed = (keyed_learner(task, key) for key in ("", KEY))
    for each in (shared, keyed):
        learn(each, keyed_stream(task, 512))
    asked = keyed_stream(task, 40, seed=1).features
    for names in ({KEY: [f"new-{row}" for row in range(40)]}, {KEY: [None] * 40}, {}):
        features = replace(asked, categories=names)
        found = [answers(each.predictor().predict(features)) for each in (shared, keyed)]
        np.testing.assert_array_equal(found[0], found[1])
    known = [answers(each.predictor().predict(asked)) for each in (shared, keyed)]
    assert not np.array_equal(known[0], known[1])


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.BOOLEAN])
def test_numbers_and_truth_values_are_keys_too(kind: Kind) -> None:
    """A station's number would be taken for no key, and nothing would say so."""
    keyed = keyed_learner(Task.REGRESSION)
    given = keyed_stream(Task.REGRESSION, 1024, keys=2)
    codes = np.array([float((name or "")[-1]) for name in given.features.categories[KEY]])
    codes[::7] = np.nan
    features = given.features
    features = Features(
        features.rows, (*features.keys, FeatureKey(KEY, kind)), np.column_stack([features.numbers, codes])
    )
    learn(keyed, labelled(features, list(given.labels)))
    assert counts(keyed)["known"] == 2


def test_a_class_that_comes_later_is_learned_for_each_key() -> None:
    """Keys that were there before a class would never answer it."""
    keyed = keyed_learner(Task.MULTICLASS)
    given = keyed_stream(Task.MULTICLASS, 2048, keys=4)
    early = ["mid" if label == "high" else label for label in given.labels[:512]]
    learn(keyed, replace(given, labels=[*early, *given.labels[512:]]))
    again = keyed_stream(Task.MULTICLASS, 512, keys=4, seed=3)
    found = keyed.predictor().predict(again.features)
    assert found.probabilities is not None
    chosen = [found.classes[place] for place in found.probabilities.argmax(1).tolist()]
    assert np.mean([one == other for one, other in zip(chosen, again.labels, strict=True)]) > 0.75


def test_keys_beyond_those_with_weights_for_a_class_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more classes than a key has weights for, a label would name a weight that is not there."""
    monkeypatch.setattr("models.keyed.MOST_CLASSES", 2)
    keyed = keyed_learner(Task.MULTICLASS)
    learn(keyed, keyed_stream(Task.MULTICLASS, 512))
    assert scores(keyed)["log_loss"] < np.log(3)


def test_spilled_keys_come_back_with_what_they_had_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is silent for a while would begin anew; or, spilled in segments, come back as another one."""
    monkeypatch.setattr(keyed_spill, "ROWS", 8)
    roomy, spilling, forgetful = (
        keyed_learner(Task.REGRESSION, keys=most, spilled_keys=spilled) for most, spilled in ((20, 0), (4, 100), (4, 0))
    )
    errors = [_error_after_a_silence(each) for each in (roomy, spilling, forgetful)]
    assert errors[1] < 1.2 * errors[0]
    assert errors[1] < 0.6 * errors[2]
    found = counts(spilling)
    assert (found["known"], found["resident"], found["spilled"], found["forgotten"]) == (20, 4, 16, 0)


def _error_after_a_silence(keyed: TorchLearner) -> float:
    """Return the mean error where groups of four keys came in turn, and then one event of each key of a group."""
    groups = [np.arange(start, start + 4) for start in range(0, 20, 4)]
    for turn in range(6):
        for group in groups:
            learn(keyed, of_keys(Task.REGRESSION, np.tile(group, 16), seed=turn), 32)
    errors = []
    for group in groups:
        keyed.learn(of_keys(Task.REGRESSION, group, seed=50))
        again = of_keys(Task.REGRESSION, np.repeat(group, 8), seed=60)
        errors.append(np.abs(answers(keyed.predictor().predict(again.features)) - np.array(again.labels, np.float64)))
    return float(np.mean(errors))


def test_what_is_spilled_is_kept_and_goes_on_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart spilled keys would be gone, or others than before, and a replay would come to other bits."""
    monkeypatch.setattr(keyed_spill, "ROWS", 16)
    one, other = (keyed_learner(Task.BINARY, keys=8) for _ in range(2))
    learn(one, keyed_stream(Task.BINARY, 640, keys=60), 32)
    state = one.state()
    assert any(name.startswith("spilled-") for name in state.arrays), "nothing was made a segment of"
    other.restore(LearnerState(state.meta, {name: array.copy() for name, array in state.arrays.items()}))
    expect_same_state(state, other.state())
    for each in (one, other):
        learn(each, keyed_stream(Task.BINARY, 640, keys=60, seed=1), 32)
    expect_same_state(one.state(), other.state())


def test_more_keys_in_a_microbatch_than_there_are_slots() -> None:
    """The first keys of a large microbatch would take all slots, and the others would never be learned."""
    keyed = keyed_learner(Task.REGRESSION, keys=5)
    learn(keyed, keyed_stream(Task.REGRESSION, 1024, keys=20), 256)
    assert counts(keyed)["known"] == 20


def test_publishing_costs_what_changed() -> None:
    """Every update would copy all keys' weights: megabytes for one event."""
    keyed = keyed_learner(Task.REGRESSION)
    learn(keyed, keyed_stream(Task.REGRESSION, 4096, keys=1000))
    for _ in range(2):  # the first may be the first of a shape
        keyed.published()
        learn(keyed, of_keys(Task.REGRESSION, np.array([7, 7, 9]), keys=1000))
    published = keyed.published()
    assert published.changed is not None
    changed = sum(stop - start for start, stop in published.changed["weights"])
    assert 0 < changed < published.arrays["weights"].size / 50
    assert "index.hashes" not in published.changed


def test_served_answers_follow_keys_that_come_and_go() -> None:
    """A serving process would answer a device by the slot of one that took it over."""
    keyed = keyed_learner(Task.REGRESSION, keys=6)
    learn(keyed, keyed_stream(Task.REGRESSION, 512))
    published = keyed.published()
    predictor = load_predictor(published.spec, {name: array.copy() for name, array in published.arrays.items()})
    asked = keyed_stream(Task.REGRESSION, 60, seed=9).features
    np.testing.assert_array_equal(answers(predictor.predict(asked)), answers(keyed.predictor().predict(asked)))


@pytest.mark.parametrize("kind", ["mlp", "auto"])
def test_any_shared_model_may_have_keys_beside_it(kind: str) -> None:
    """Only linear models would be corrected, or a mixture's newcomer would be left without its keys."""
    keyed = keyed_learner(Task.REGRESSION, kind=kind)
    learn(keyed, keyed_stream(Task.REGRESSION, 512, keys=5))
    state = keyed.state()
    other = keyed_learner(Task.REGRESSION, kind=kind)
    other.restore(state)
    expect_same_state(state, other.state())
    assert counts(keyed)["resident"] == 5


@pytest.mark.parametrize("kind", ["online", "batch"])
def test_learners_without_room_for_keys_say_so(kind: str) -> None:
    """A key would be configured, and ignored."""
    with pytest.raises(LearnerOptionsInvalid, match="key: kind"):
        create_learner(LearnerOptions(kind=kind, key=KEY), Task.BINARY)


def test_stations_of_bicycles_are_worth_models_of_their_own() -> None:
    """On a real stream keys would not tell what a shared model misses, which knows of a station by its name alone."""
    given = examples("bikes_toulouse", Task.REGRESSION).slice(0, 3000)
    shared, keyed = (
        TorchLearner(LearnerOptions(kind="linear", device="cpu", key=key), Task.REGRESSION) for key in ("", "station")
    )
    learn(shared, _named_alone(given), 128)
    learn(keyed, given, 128)
    assert scores(keyed)["mae"] < 0.8 * scores(shared)["mae"]


def _named_alone(given: Examples) -> Examples:
    """Return rows whose station is a token: it is hashed, and nothing is known of its targets."""
    features = given.features
    categories = {name: column for name, column in features.categories.items() if name != "station"}
    tokens = {"station": [[str(name)] for name in features.categories["station"]]}
    return replace(given, features=replace(features, categories=categories, tokens=tokens))

"""Floods of names: places stay bounded and are there for what comes later, and no feature gets another's weights."""

import numpy as np
import pytest

from models import encoder_admission, encoder_layout
from models.encoder_admission import Admission
from models.encoder_layout import MOST_COLUMNS, Layout
from models.examples import Examples, FeatureKey, Features, Kind, Task
from models.features import FeatureEncoder
from models.registry import load_predictor
from models.torch_learner import TorchLearner
from tests.support.learning import labelled, learner, network, numbers_of

ROWS = 32


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything scarce, so that little is a flood."""
    for name, value in (("FREE", 4), ("IDLE", 12), ("EVERY", 4)):
        monkeypatch.setattr(encoder_admission, name, value)
    monkeypatch.setattr(encoder_layout, "MOST_OF_NUMBERS", 40)
    monkeypatch.setattr(encoder_layout, "MOST_STRINGS", 12)


def microbatch(turn: int, *, flood: str = "", late: bool = False) -> Examples:
    """Return rows whose class follows from one number, or from one that comes late, and a flood of others.

    The names of the flood stay for 3 microbatches.
    """
    random = np.random.default_rng(turn)
    values = random.normal(size=(ROWS, 12))
    names = ["late" if late else "early", *(f"{turn // 3}-{place}" for place in range(11 if flood == "numbers" else 0))]
    keys = tuple(FeatureKey(name, Kind.NUMBER) for name in names)
    given = Features(ROWS, keys, values[:, : len(names)])
    strings = [f"{turn // 3}-{place}" for place in range(4)]
    if flood == "categories":
        given = Features(ROWS, keys, given.numbers, {name: ["a"] * ROWS for name in strings})
    if flood == "tokens":
        given = Features(ROWS, keys, given.numbers, tokens={name: [["a"]] * ROWS for name in strings})
    return labelled(given, (values[:, 0] > 0).tolist())


def expect_same(one: TorchLearner, other: TorchLearner, but: str = "nothing/") -> None:
    """Assert that two learners are the same, bit for bit, some arrays left out."""
    left, right = one.state(), other.state()
    assert left.meta == right.meta
    for name in (left.arrays.keys() | right.arrays.keys()) - {n for n in left.arrays if n.startswith(but)}:
        np.testing.assert_array_equal(left.arrays[name], right.arrays[name], err_msg=name)


def accuracy(made: TorchLearner, given: Examples) -> float:
    """Return how often a learner's predictor is right."""
    answer = made.predictor().predict(given.features)
    assert answer.probabilities is not None
    return float(np.mean([answer.classes[row] for row in answer.probabilities.argmax(1)] == np.array(given.labels)))


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("flood", ["numbers", "categories", "tokens"])
@pytest.mark.parametrize("kind", ["linear", "mlp", "fm"])
def test_what_comes_after_a_flood_is_learned(kind: str, flood: str) -> None:
    """A producer that names every feature anew would leave no place for a feature that matters."""
    made = learner(kind=kind)
    for turn in range(120):
        made.learn(microbatch(turn, flood=flood))
    layout = made.model.encoder.layout
    assert layout.taken_over > 0
    assert layout.width <= 40 + 64 + encoder_layout.MOST_STATISTICS
    assert FeatureKey("early", Kind.NUMBER) in layout.numbers
    for turn in range(120, 240):
        made.learn(microbatch(turn, flood=flood, late=True))
    assert accuracy(made, microbatch(999, flood=flood, late=True)) > 0.8


@pytest.mark.usefixtures("few")
def test_a_place_that_is_taken_over_is_as_new() -> None:
    """A new feature would begin with the weights, the scale and the replayed values of another."""
    made = learner(kind="linear")
    for turn in range(60):
        made.learn(microbatch(turn, flood="numbers"))
    encoder, expert = made.model.encoder, network(made)
    slots = encoder.layout.numbers
    old = next(key for key in slots if key.name != "early")
    slot, columns = encoder.layout.take_over_number(old, FeatureKey("new", Kind.NUMBER), 2)
    expert.renew(columns, [])
    index = columns[0]
    assert slots[FeatureKey("new", Kind.NUMBER)] == slot
    assert expert.parameters.views["weight"].count_nonzero() > 20
    assert not expert.parameters.views["weight"][:, index].any()
    width = expert.parameters.views["weight"][0].numel()
    assert not expert.parameters.block[..., -width:][..., index].any()
    assert not expert.replay.dense[:, index].any()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_restart_in_the_middle_of_a_flood_changes_nothing(kind: str) -> None:
    """Other names would get the places when the journal is learned again, and versions stand for two things."""
    calm = learner(kind=kind)
    states = []
    for turn in range(90):
        calm.learn(microbatch(turn, flood=("numbers", "categories")[turn % 2], late=turn > 50))
        states.append(calm.state() if turn in (20, 47, 70) else None)
    for stopped in (20, 47, 70):
        other, state = learner(kind=kind), states[stopped]
        assert state is not None
        other.restore(state)
        for turn in range(stopped + 1, 90):
            other.learn(microbatch(turn, flood=("numbers", "categories")[turn % 2], late=turn > 50))
        expect_same(other, calm)


@pytest.mark.usefixtures("few")
def test_servers_follow_when_a_place_is_taken_over() -> None:
    """A server would go on reading one feature's values into another's weights."""
    made = learner(kind="linear")
    predictor = None
    for turn in range(100):
        made.learn(microbatch(turn, flood="numbers", late=turn > 60))
        published = made.published()
        if predictor is None or published.changed is None:  # what a server looks at to load it anew
            predictor = load_predictor(published.spec, published.arrays)
        asked = microbatch(turn, flood="numbers", late=True).features
        np.testing.assert_allclose(
            numbers_of(predictor.predict(asked)), numbers_of(made.predictor().predict(asked)), atol=1e-6
        )


@pytest.mark.usefixtures("few")
def test_a_feature_that_is_back_keeps_its_place() -> None:
    """What comes seldom would be thrown out in the very microbatch that it comes in."""
    made = FeatureEncoder(Task.BINARY, Layout(), {})

    def observe(*names: str) -> None:
        keys = tuple(FeatureKey(name, Kind.NUMBER) for name in names)
        columns = {f"s{name}": ["a"] * 2 for name in names}
        made.observe(made.prepare(Features(2, keys, np.ones((2, len(keys))), columns)))

    for _ in range(4):
        observe(*(f"x{place:02}" for place in range(40)))
    for _ in range(26):
        observe("x01")
    observe("new")
    observe("x00", "new")
    assert made.admission.turn % 4 == 0
    assert {FeatureKey("x00", Kind.NUMBER), FeatureKey("new", Kind.NUMBER)} <= made.layout.numbers.keys()
    assert {FeatureKey("sx00", Kind.CATEGORY), FeatureKey("snew", Kind.CATEGORY)} <= made.layout.strings.keys()


def test_the_first_features_get_their_places_at_once() -> None:
    """Ordinary streams would be learned a microbatch late."""
    keys = [FeatureKey(f"x{place}", Kind.NUMBER) for place in range(encoder_admission.FREE)]
    assert Admission().choose(keys, 0) == keys


def test_later_ones_have_to_be_met_twice_and_the_commonest_come_first() -> None:
    """Names that never come again would get places, and take the turn of those that do."""
    admission, held = Admission(), encoder_admission.FREE
    rare, common, once = (FeatureKey(name, Kind.NUMBER) for name in ("a", "b", "c"))
    assert admission.choose([common], held) == []
    assert admission.choose([common], held) == [common]
    assert admission.choose([rare, common], held) == [common]
    assert admission.choose([rare, common, once], held) == [common, rare]


def test_a_state_of_before_there_was_an_admission_is_read() -> None:
    """An update of Headrace would cost a model what it has learned."""
    made = learner(kind="linear")
    for turn in range(5):
        made.learn(microbatch(turn, flood="categories"))
    state = made.state()
    arrays = {name: array for name, array in state.arrays.items() if not name.startswith("admission/")}
    other = learner(kind="linear")
    other.restore(type(state)(state.meta, arrays))
    for turn in range(5, 40):
        other.learn(microbatch(turn, flood="numbers"))
        made.learn(microbatch(turn, flood="numbers"))
    expect_same(other, made, but="admission/")


def test_wide_streams_get_all_their_places() -> None:
    """A vector of a thousand components would be learned in part."""
    made = learner(kind="linear")
    keys = tuple(FeatureKey(f"v[{place}]", Kind.VECTOR) for place in range(1000))
    for turn in range(6):
        values = np.random.default_rng(turn).normal(size=(16, 1000))
        made.learn(labelled(Features(16, keys, values), (values[:, 0] > 0).tolist()))
    assert len(made.model.encoder.layout.values) == 1000
    assert made.model.encoder.layout.width <= MOST_COLUMNS
    assert made.task is Task.BINARY

"""Every decoder of bytes under a little fuzzing; ``make fuzz`` has the same targets under much of it."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.durability import journal_reading
from tests.fuzz.mutation import RAW, mutate
from tests.fuzz.targets import TARGETS


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    """Do not wait for the other half of a frame: nobody appends here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_reading, "_SETTLE", 0.0)
        yield


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_survived(name: str) -> None:
    """Fails when input that was trouble once, or is ordinary, breaks a decoder."""
    for seed in TARGETS[name].seeds:
        TARGETS[name].attack(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_cuts_and_flipped_bits_are_survived(name: str) -> None:
    """Fails when damage makes a decoder raise what nobody expects of it."""

    @settings(max_examples=60)
    @given(st.sampled_from(TARGETS[name].seeds), st.integers(0), st.integers(1, 255), st.booleans())
    def attack(seed: bytes, place: int, bits: int, cut: bool) -> None:
        place %= max(1, len(seed))
        damaged = seed[:place] if cut else seed[:place] + bytes([seed[place] ^ bits]) + seed[place + 1 :]
        TARGETS[name].attack(damaged)

    attack()


@pytest.mark.parametrize("name", ["events", "bodies", "predictions", "tensors", "manifests", "statuses"])
def test_odd_json_is_survived(name: str) -> None:
    """Fails when a value that nobody thought of, at any place, makes a decoder raise, or its two paths disagree."""

    @settings(max_examples=100)
    @given(st.sampled_from(TARGETS[name].seeds), st.integers(0, 2**32))
    def attack(seed: bytes, number: int) -> None:
        TARGETS[name].attack(mutate(seed, 1 << 16, number) or b"")

    attack()


@pytest.mark.parametrize("raw", RAW)
def test_what_is_almost_json_costs_one_event(raw: bytes) -> None:
    """Fails when a value that only just is no JSON takes the events beside it along, or is judged in two ways."""
    for number in range(8):
        TARGETS["events"].attack(bytes([number]) + b'{"features":{"a":%s},"label":1}' % raw)
        TARGETS["bodies"].attack(bytes([number]) + b'[{"features":{"a":1},"label":%s}]' % raw)
    TARGETS["predictions"].attack(b'{"instances":[{"features":{"a":%s}}]}' % raw)
    TARGETS["predictions"].attack(b'{"instances":[{"features":{"a":1e999,"b":%s}}]}' % raw)

"""The parts of keyed models: who has a slot, what is spilled, in which order rows are learned, and what is solved."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import keyed_spill
from models.keyed_index import NOWHERE, WAYS
from models.keyed_residence import Residence
from models.keyed_solutions import MEMORIES, KeySolutions
from models.keyed_spill import Spill, Spilled
from models.keyed_table import KeyTable
from models.keyed_waves import NARROW, RUN, WAVES, yield_waves

CPU = torch.device("cpu")


def admit(table: KeyTable, *keys: int) -> list[int]:
    """Learn some keys; return their slots."""
    table.now += 1
    return list(table.admit(np.array(keys)).slots.tolist())


def rows_of(*keys: int) -> Spilled:
    """Return rows in which each key has its own number."""
    found = np.array(keys)
    return Spilled(found, found[:, None].astype(np.float32), np.zeros_like(found), np.ones(len(keys)))


def test_the_keys_learned_longest_ago_make_room() -> None:
    """Devices that are busy would be spilled, and silent ones kept."""
    table = KeyTable(3)
    admit(table, 11, 12, 13)
    admit(table, 11)
    admit(table, 13)
    admit(table, 14)
    assert set(table.owners.tolist()) == {11, 13, 14}
    assert table.evictions == 1
    assert (table.index.find(np.array([12, 15])) == NOWHERE).all()


@given(st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=5, unique=True), max_size=40))
def test_a_slot_has_one_key_and_a_key_one_slot(batches: list[list[int]]) -> None:
    """Two devices would learn into the same weights."""
    table = KeyTable(5)
    for keys in batches:
        slots = admit(table, *keys)
        assert [int(table.owners[slot]) for slot in slots] == keys
        owned = table.owners[table.owners != 0]
        assert len(set(owned.tolist())) == len(owned) == table.resident
        assert table.owners[table.index.find(owned)].tolist() == owned.tolist()


def test_a_full_bucket_gives_up_the_key_that_was_learned_longest_ago() -> None:
    """Keys whose hashes happen to be alike would never be learned, or would end the trainer."""
    table = KeyTable(64)
    alike = [1 + place * len(table.index.hashes) for place in range(WAYS + 2)]
    for key in alike:
        assert admit(table, key) != [NOWHERE]
    assert (table.index.find(np.array(alike[:2])) == NOWHERE).all()
    assert (table.index.find(np.array(alike[2:])) != NOWHERE).all()
    # All of one microbatch: those for whom there is no place are not kept.
    assert admit(KeyTable(64), *alike).count(NOWHERE) == 2


def test_slots_grow_with_the_keys_up_to_the_bound() -> None:
    """Three stations would take the memory of ten thousand, or the bound be passed."""
    table = KeyTable(200)
    admit(table, *range(1, 4))
    few = table.capacity
    admit(table, *range(1, 201))
    assert few < 100 < table.capacity == 200


@pytest.mark.parametrize("most", [6, 500])
def test_another_number_of_keys_may_be_configured(most: int) -> None:
    """Who gives keys more room, or less, would have to begin anew, or be answered by other keys' models."""
    before, after = KeyTable(100), KeyTable(most)
    admit(before, *range(1, 91))
    after.restore(*before.state())
    assert after.owners[after.index.find(np.arange(1, 91))].tolist() == list(range(1, 91))
    admit(after, *range(101, 105))
    assert after.resident == min(most, 94)
    assert (after.index.find(np.arange(101, 105)) != NOWHERE).all()


def test_spilled_rows_come_back_once_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in a segment, in memory, or left of a segment that was given up would be lost, or brought back twice."""
    monkeypatch.setattr(keyed_spill, "ROWS", 4)
    spill = Spill(100, tmp_path)
    for start in (0, 4, 8):
        spill.add([1, 1], rows_of(*range(start + 1, start + 4)))
        spill.add([1, 1], rows_of(start + 4))
    spill.take(np.array([1, 2, 3]))
    spill.add([1, 1], rows_of(21, 22))
    spill.add([1, 1], rows_of(23, 24))  # makes a segment, and gives up the one that has 4 alone
    assert len(spill) == 13
    found = {
        int(key): float(row)
        for returned in spill.take(np.arange(1, 30))
        for key, row in zip(returned.content.keys, returned.content.rows[:, 0], strict=True)
    }
    assert found == {key: float(key) for key in (*range(4, 13), 21, 22, 23, 24)}
    assert not spill.take(np.arange(1, 30))
    assert not list(tmp_path.iterdir()), "a file would outlive the process"


def test_segments_are_on_disk_and_cannot_be_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million spilled keys would stay in memory, or each checkpoint write all of them again."""
    monkeypatch.setattr(keyed_spill, "ROWS", 2)
    spill = Spill(100, tmp_path)
    spill.add([1, 1], rows_of(2, 1))
    arrays = spill.state()[1]
    segment = {name: array for name, array in arrays.items() if name.startswith(keyed_spill.SPILLED)}
    assert len(segment) == len(Spilled._fields)
    assert not any(array.flags.writeable for array in segment.values())
    assert isinstance(segment["spilled-000001/rows"], np.memmap)
    assert all(segment[name] is array for name, array in spill.state()[1].items() if name in segment)


def test_the_oldest_rows_are_forgotten_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys without end would fill the disk."""
    monkeypatch.setattr(keyed_spill, "ROWS", 2)
    spill = Spill(4)
    for key in range(1, 9, 2):
        spill.add([1, 1], rows_of(key, key + 1))
    assert (len(spill), spill.forgotten) == (4, 4)
    assert not spill.take(np.arange(1, 5))


def test_where_no_file_can_be_written_rows_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would end the trainer, or lose keys."""
    monkeypatch.setattr(keyed_spill, "ROWS", 2)
    spill = Spill(4, tmp_path / "nowhere")
    spill.add([1, 1], rows_of(1, 2))
    assert len(spill.take(np.array([1, 2]))[0].content.keys) == 2


@given(st.lists(st.integers(-1, 6), max_size=200), st.integers(1, 3))
def test_waves_have_each_row_once_and_those_of_a_key_in_order(slots: list[int], times: int) -> None:
    """Rows would be learned twice, not at all, or in another order than the log's."""
    given = np.array(slots * times, np.int64)
    waves = list(yield_waves(given))
    learned: dict[int, list[int]] = {}
    for wave in waves:
        assert len(set(wave.slots.tolist())) == len(wave.slots)
        for slot, rows, count in zip(wave.slots.tolist(), wave.rows.tolist(), wave.counts.tolist(), strict=True):
            learned.setdefault(slot, []).extend(rows[:count])
    assert learned == {slot: np.flatnonzero(given == slot).tolist() for slot in sorted(set(slots) - {-1})}
    assert len(waves) <= (WAVES + 1) * 3
    assert NARROW < RUN


def seat(residence: Residence, *keys: int) -> list[int]:
    """Have some keys learn; return their slots."""
    return list(next(residence.yield_seated(np.array(keys))).tolist())


def solved(rows: int) -> tuple[KeySolutions, np.ndarray, np.ndarray]:
    """Return solutions for two keys, each of which learned so many rows in one go; their inputs, and their targets."""
    random = np.random.default_rng(rows)
    inputs = np.column_stack([np.ones(2 * rows), random.normal(size=(2 * rows, 2))]).astype(np.float32)
    targets = (inputs @ [0.5, -1.0, 2.0] + 0.01 * random.normal(size=2 * rows)).astype(np.float32)
    solutions = KeySolutions(CPU, numeric=True)
    solutions.grow(2, 3, 1)
    for wave in yield_waves(np.tile([0, 1], rows)):
        tensors = (torch.from_numpy(inputs), torch.zeros(2 * rows, 1), torch.from_numpy(targets), torch.ones(2 * rows))
        solutions.learn(wave, *tensors)
    return solutions, inputs, targets


def test_a_key_has_the_ridge_regression_of_its_own_rows() -> None:
    """Weights would be another key's, or of rows that count otherwise than was said."""
    rows = 20  # fewer than a run: all are one step
    solutions, inputs, targets = solved(rows)
    for place, slot in enumerate((0, 1)):
        x, y = inputs[place::2].astype(np.float64), targets[place::2]
        for solution, memory in enumerate(MEMORIES):
            kept = np.exp(-np.arange(rows - 1, -1, -1) / memory)
            # Errors are bounded by four times the one that is expected before anything is learned.
            y = np.clip(y, -4, 4)
            squares = (x.T * kept) @ x
            np.testing.assert_allclose(solutions.squares[slot, solution], squares, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(solutions.products[slot, solution, :, 0], (x.T * kept) @ y, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(solved(400)[0].weights[1, 1, :, 0], [0.5, -1.0, 2.0], atol=0.1)


def test_what_is_packed_is_unpacked_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that comes back would go on from other weights than it had: not even a replay would be the same."""
    monkeypatch.setattr(keyed_spill, "ROWS", 2)
    solutions, *_ = solved(40)
    residence = Residence(2, 10, solutions)
    first = seat(residence, 5, 6)
    solutions.restore(solved(40)[0].state())  # seats are empty when they are taken: as if these keys had learned
    before = solutions.pack(torch.tensor(first)).clone()
    seat(residence, 7, 8)
    assert not solutions.weights.any()
    assert residence.counts()["spilled"] == 2
    again = seat(residence, 6, 5)
    torch.testing.assert_close(solutions.pack(torch.tensor(again[::-1])), before, rtol=0, atol=0)


def test_units_and_columns_that_changed_meanwhile_are_heeded() -> None:
    """A key that comes back would answer in units that are no more, or by a feature whose place another one has."""
    solutions = KeySolutions(CPU, numeric=True)
    solutions.grow(1, 3, 1)
    residence = Residence(1, 10, solutions)
    solutions.weights[seat(residence, 5)[0]] = 1.0
    seat(residence, 6)
    residence.rescale(0.5)
    residence.renew([2])
    found = solutions.weights[seat(residence, 5)[0]]
    assert found[:, :2].eq(0.5).all()
    assert not found[:, 2].any()

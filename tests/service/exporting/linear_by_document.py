"""What ``docs/export.md`` says of the learner `linear`, as a program: safetensors and NumPy alone."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

Row = Mapping[str, Any]
Array = NDArray[Any]

KINDS: Mapping[type, str] = {bool: "boolean", int: "number", float: "number", str: "category", list: "tokens"}


class Linear:
    """An export of the learner `linear`.

    Parameters
    ----------
    path
        Of the file.
    """

    def __init__(self, path: Path) -> None:
        with safe_open(path, "np") as file:
            self.description = json.loads(file.metadata()["description"])
            names = [name for name in file.keys() if name.startswith("published/")]  # noqa: SIM118 -- no mapping
            self.arrays: dict[str, Array] = {name.removeprefix("published/"): file.get_tensor(name) for name in names}
        self.spec = self.description["spec"]
        self.layout = self.spec["layout"]
        self.slots = {tuple(key): slot for slot, key in enumerate(self.layout["numbers"])}
        self.strings = {(name, kind): column for name, kind, column in self.layout["strings"]}
        worth = self.arrays["encoder/worth"]
        ratio = np.divide(worth[0], worth[1], out=np.zeros(worth.shape[1]), where=worth[1] > 0)
        self.slopes = ratio.clip(0.0, 1.0)

    def predict(self, row: Row) -> Array:
        """Return the probabilities of the classes, shape (classes,), or the number, shape (1,)."""
        dense, places = self._encode(row)
        each = self._outputs(dense, places)
        shares = np.exp(self.arrays["rates/shares"].astype(np.float64))
        summary = self.arrays["targets/summary"]
        if self.spec["task"] == "regression":
            low, high, _, mean, deviation = summary[7:12, 0]
            value = (shares @ each[:, 0]) / shares.sum() * deviation + mean
            reach = 0.25 * (high - low)
            return np.array([np.clip(value, low - reach, high + reach)])
        classes = len(self.spec["classes"])
        counts = summary[:classes] + 0.5
        prior = np.log(counts / counts.sum())
        if self.spec["task"] == "binary":
            logits = each[:, :1] + prior[1] - prior[0]
            answers = np.hstack([1 / (1 + np.exp(logits)), 1 / (1 + np.exp(-logits))])
        else:
            logits = each[:, :classes] + prior
            answers = np.exp(logits - logits.max(1, keepdims=True))
            answers /= answers.sum(1, keepdims=True)
        mixed: Array = shares @ answers / shares.sum()
        return mixed

    def _outputs(self, dense: Array, places: list[tuple[int, float]]) -> Array:
        """Return what each copy of the network makes of a row, shape (copies, outputs)."""
        inputs, outputs = self.spec["expert"]["shape"]
        parameters = self.arrays["network/parameters"].astype(np.float64)
        copies, binned = len(parameters), min(inputs, 64)
        bias, weight, bins = np.split(parameters, np.cumsum([outputs, inputs * outputs]), axis=1)
        found: Array = bias + np.einsum("i,cio->co", dense, weight.reshape(copies, inputs, outputs))
        bins = bins[:, : binned * 9 * outputs].reshape(copies, binned, 9, outputs)
        for column in self.spec["expert"]["numbers"]:
            if column < 64:
                near = 1 - np.minimum(abs(dense[column] - np.arange(-4, 5)), 1)
                found += 0.25 * np.einsum("k,cko->co", near, bins[:, column])
        for place, amount in places:
            found += amount * self.arrays["table/parameters"][place].astype(np.float64)
        return found

    def _encode(self, row: Row) -> tuple[Array, list[tuple[int, float]]]:
        """Return the dense input, and the rows of the table with their amounts."""
        dense = np.zeros(self.spec["expert"]["shape"][0])
        places: list[tuple[int, float]] = []
        self._encode_lags(dense)
        for slot, mark in enumerate(self.layout["marks"]):
            name, kind = self.layout["numbers"][slot]
            missing = row.get(name) is None or KINDS[type(row[name])] != kind
            if mark >= 0 and missing:
                dense[mark] = 1.0
        for name, value in row.items():
            if value is None:
                continue
            kind = KINDS[type(value)]
            if (name, kind) in self.slots:
                self._encode_number(dense, name, kind, float(value))
            elif kind in ("category", "tokens"):
                places += self._encode_strings(dense, name, kind, value)
        return dense, places

    def _encode_number(self, dense: Array, name: str, kind: str, value: float) -> None:
        slot = self.slots[name, kind]
        count, mean, squares = self.arrays["encoder/moments"][:3, slot]
        deviation = np.sqrt(squares / max(count, 1.0))
        if deviation <= max(abs(mean) * 1e-13, 1e-150):
            deviation = np.inf
        standard = (np.clip(value, -1e100, 1e100) - mean) / deviation
        dense[self.layout["values"][slot]] = np.clip(standard, -4, 4)
        tail = self.layout["tails"][slot]
        if tail >= 0:
            dense[tail] = (np.clip(standard, -20, 20) - np.clip(standard, -4, 4)) / 4
        first = dict(self.layout["levels"]).get(slot)
        if first is not None:
            statistics = self._statistics(_hash_number(value, _hash(kind, name, "level")))
            dense[first : first + len(statistics)] = statistics * self.slopes[first : first + len(statistics)]

    def _encode_strings(self, dense: Array, name: str, kind: str, value: Any) -> list[tuple[int, float]]:
        if (name, kind) not in self.strings:
            return []
        values = [value] if kind == "category" else value[:512]
        places = []
        for each in values:
            found = _hash(kind, name, each)
            found = found >> 1 if kind == "category" else found & (1 << 62) - 1
            amount = len(values) ** -0.5
            dense[self.layout["hashed"] + (found >> 16) % 64] += amount * (1 - 2 * (found >> 24 & 1))
            places.append((found & 0xFFFF, amount))
            first = self.strings[name, kind]
            if first >= 0:
                statistics = self._statistics(found)
                dense[first : first + len(statistics)] = statistics
        return places

    def _statistics(self, found: int) -> Array:
        """Return what the target was where a value occurred, in units of its scale; 0 where it never did."""
        count, *held = self.arrays["statistics/statistics"][found & 0xFFFF]
        means, factors = self._scales()
        statistics: Array = (np.reshape(held, (-1, len(means))) - means) * factors
        statistics[0] *= count / (count + 10.0)
        statistics *= count > 0
        return statistics.clip(-4, 4).ravel()

    def _encode_lags(self, dense: Array) -> None:
        lags, first = self.arrays["encoder/lags"], self.layout["lags"]
        several = lags.shape[1] > 1
        if first < 0 or not lags[0, 0] or (several and lags[1, 2:].sum() > 0.1 * lags[1, :2].min()):
            return
        means, factors = self._scales()
        standard = ((lags[2:] - means) * factors)[:, int(several)].clip(-4, 4)
        dense[first : first + len(standard)] = standard * self.slopes[first : first + len(standard)]

    def _scales(self) -> tuple[Array, Array]:
        """Return mean and inverse deviation of each side of the target."""
        summary = self.arrays["targets/summary"]
        if self.spec["task"] == "multiclass":
            means = self.arrays["encoder/lags"][1]
            deviations = np.sqrt(np.maximum(means * (1 - means), 0.0))
        elif self.spec["task"] == "binary":
            counts = summary[: len(self.spec["classes"])]
            share = (counts[1] + 0.5) / (counts.sum() + 0.5 * len(counts))
            means, deviations = np.array([share]), np.array([np.sqrt(share * (1 - share))])
        else:
            means, deviations = summary[10:11, 0], summary[11:12, 0]
        return means, np.divide(1.0, deviations, out=np.zeros(len(means)), where=deviations > 0)


def _hash(kind: str, name: str, value: str) -> int:
    """Return 63 bits of BLAKE2b of a feature and a value."""
    content = f"{kind}\0{name}\0{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1


def _hash_number(value: float, seed: int) -> int:
    """Return 63 bits of a number's 64."""
    every = (1 << 64) - 1
    mixed = int(np.float64(value + 0.0).view(np.uint64)) ^ seed
    mixed = mixed * FIRST & every
    mixed ^= mixed >> 29
    mixed = mixed * SECOND & every
    return (mixed ^ mixed >> 32) >> 1


FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9

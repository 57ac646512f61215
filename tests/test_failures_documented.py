"""Every failure that Headrace promises to survive is in the operators' table, with a test that makes it happen."""

import ast
from functools import cache

import pytest

from tests.support.failures import NODE, ROOT, named_in, rows

PROMISED = (
    "the broker is down at start",
    "the broker is restarted in mid-stream",
    "the connection is cut for 30 s",
    "two trainers on one data directory",
    "a take-over in mid-stream",
    "a trainer was frozen and wakes",
    "a poison message: broken JSON, wrong types, NaN, infinity, nesting bombs, megabyte strings",
    "a decompression bomb",
    "records are compressed with an unknown codec",
    "a tombstone",
    "a label is out of the task",
    "a flood of feature names",
    "a loss explodes or a gradient is not finite",
    "the device is out of memory",
    "the device's context is dead",
    "the disk is full",
    "an `fsync` fails",
    "a checkpoint is truncated, bit-flipped or missing",
    "the topic was deleted and made again",
    "offsets are out of range",
    "partitions are added",
    "the clock jumps",
    "an event comes twice with one id",
    "producers are faster than learning",
    "a client is slow",
    "half-open and unused connections",
    "a body is over the limit",
    "a flood of requests",
)
"""The list of issue 4, as the first column of the table begins."""


@cache
def names_in(path: str) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("what", PROMISED)
def test_every_promised_failure_has_a_row(what: str) -> None:
    """An operator who meets a failure that was promised to be survived would find nothing about it."""
    assert any(row.startswith(what) for row in rows())


def test_every_row_tells_what_is_seen_and_done_and_names_tests_that_exist() -> None:
    """A row would promise what nothing checks, or say nothing that helps."""
    for what, cells in rows().items():
        assert len(cells) == 3, what
        seen, done, tests = cells
        assert seen, what
        assert done, what
        named = named_in(cells)
        assert named, what
        assert NODE.sub("", tests).strip(" ,·") == "", f"{what}: only `tests/FILE.py::test_name` goes there"
        for path, name in named:
            assert (ROOT / path).is_file(), f"{what}: {path}"
            assert name in names_in(path), f"{what}: {path}::{name}"

"""The operators' table of failures, read from ``docs/operations.md``: what happens, and which tests make it happen."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
"""How the table names a test: its file and its function."""


@cache
def rows() -> dict[str, list[str]]:
    """Return the table: what happens → its other cells."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.partition("\n## Failures\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {what: rest for what, *rest in cells if not what.startswith("**")}


def named_in(cells: list[str]) -> list[tuple[str, str]]:
    """Return file and function of each test that a row names."""
    return NODE.findall(cells[-1])

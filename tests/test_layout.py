"""The shape of the repository: who may import whom, how long files and functions are, and what never gets into it."""

import ast
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sources import PACKAGES, ROOT, SOURCES, imports_of, name_of

PYTHON_FILES = SOURCES + sorted(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the import rules of the packages in `folder`."""
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function has from its ``def`` to its end, its docstring left out."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_the_import_rules_hold() -> None:
    """Dependencies would no longer point one way."""
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("consumers/source.py", "import models.examples"),
        ("models/learner.py", "import consumers.source"),
        ("models/learner.py", "import service.errors"),
        ("service/errors.py", "import torch"),
        ("consumers/errors.py", "import river"),
        ("models/errors.py", "import kafka"),
        ("service/errors.py", "import confluent_kafka"),
        ("consumers/errors.py", "import fastapi"),
        ("service/errors.py", "import pytest"),
    ],
)
def test_a_broken_import_rule_is_found(tmp_path: Path, file: str, statement: str) -> None:
    """A rule in pyproject.toml would be there without being enforced."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{statement}\n")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert "BROKEN" in result.stdout


def test_the_brokers_client_stays_in_its_files() -> None:
    """Another client could not be put behind the same Reader without touching the rest of consumers."""
    for client, names in (("kafka", "kafka"), ("confluent_kafka", "librdkafka_")):
        users = {path.name for path in SOURCES if client in imports_of(path)}
        assert users
        assert all(name.startswith(names) for name in users), users


def test_only_the_configuration_reads_the_environment() -> None:
    """A setting could come from somewhere that ``headrace config show`` does not show."""
    pattern = re.compile(r"\bos\.(environ|getenv)\b")
    readers = {name_of(path) for path in SOURCES if pattern.search(path.read_text())}
    assert readers <= {"service/config.py"}, readers


def test_files_are_small_rooms() -> None:
    """A reader could no longer take in a file at once."""
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in PYTHON_FILES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
    assert statistics.median(len(path.read_text().splitlines()) for path in SOURCES) <= 150


def test_functions_fit_a_screen() -> None:
    """A reader could no longer take in a function at once."""
    lengths = sorted(
        code_lines(node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert statistics.median(lengths) <= 8
    assert lengths[int(len(lengths) * 0.9)] <= 25
    assert lengths[-1] <= 60


def test_what_a_linter_is_told_to_pass_has_a_reason_beside_it() -> None:
    """Nobody would know whether it may go, and the next one would be there for convenience.

    The reason is on the line, in a comment above it, or what an assertion says.
    """
    ignore = re.compile(r"# (?:noqa: [A-Z0-9, ]+[0-9]|type: ignore\[[a-z, -]+\])(?P<reason>.*)")
    found = []
    for path in PYTHON_FILES:
        lines = path.read_text().splitlines()
        for place, line in enumerate(lines):
            match = ignore.search(line)
            said = match is None or re.search(r"\w", match["reason"]) or re.match(r'\s*assert .*, f?"', line)
            if not said and not lines[place - 1].lstrip().startswith("# "):
                found.append(f"{name_of(path)}:{place + 1}")
    assert found == []


def test_no_path_or_registry_of_one_machine_gets_in() -> None:
    """The repository would work, or mean something, on one machine only."""
    pattern = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/\w+|\b(?:index-url|find-links|trusted-host)\b")
    files = [*PYTHON_FILES, *(path for path in ROOT.glob("*") if path.is_file()), *(ROOT / ".ci").rglob("*")]
    files += (ROOT / "docs").rglob("*")
    found = {
        f"{name_of(path)}: {match.group()}"
        for path in files
        if path.is_file() and path != Path(__file__).resolve()
        for match in pattern.finditer(path.read_text(errors="replace"))
    }
    assert found == set()


def test_the_lock_names_no_address() -> None:
    """An installation would depend on one registry's address."""
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|^\s*-(?!-hash)| @ ", lock, re.MULTILINE)

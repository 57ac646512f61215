"""The documents keep what they promise: links lead somewhere, and names are those of the code."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from service.config import load_settings
from tests.support.sources import ROOT, name_of

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CODE_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
# Files that belong to the reader.
YOURS = {"headrace.yaml"}
# Commands that have commands of their own.
GROUPS = ("checkpoints", "config", "dead-letters", "keys", "models")


def prose(document: Path) -> str:
    """Return a document without its code blocks."""
    return CODE_BLOCK.sub("", document.read_text())


def blocks(language: str) -> list[tuple[str, str]]:
    """Return the code blocks of `language`: where they are, and what they say."""
    return [
        (f"{name_of(document)}#{number}", text)
        for document in DOCUMENTS
        for number, (found, text) in enumerate(CODE_BLOCK.findall(document.read_text()))
        if found == language
    ]


@cache
def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as the usual viewers make them."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def help_of(*command: str) -> str:
    """Return what a command says of itself."""
    program = Path(sys.executable).with_name("headrace")
    result = subprocess.run(
        [str(program), *command, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    """A reader who follows a link would find nothing."""
    for target in LINK.findall(prose(document)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_that_are_named_exist(document: Path) -> None:
    """A reader would look for a file that was renamed or never written."""
    named = re.findall(r"`([\w./-]+\.(?:py|md|toml|yaml|lock))`", prose(document))
    known = {path.name for path in ROOT.glob("*/*.py")} | YOURS
    missing = {name for name in named if not (ROOT / name).exists() and not (document.parent / name).exists()}
    assert missing <= known


@pytest.mark.parametrize(("place", "text"), blocks("yaml"))
def test_configurations_are_accepted(place: str, text: str, tmp_path: Path) -> None:
    """Somebody who copies a configuration out of the documents would be refused."""
    path = tmp_path / "headrace.yaml"
    path.write_text(text)
    assert isinstance(yaml.safe_load(text), dict)
    load_settings(path, {})


def named_commands(document: Path) -> list[list[str]]:
    """Return what a document calls ``headrace`` with, in its blocks and in its prose."""
    blocks_of = [text for language, text in CODE_BLOCK.findall(document.read_text()) if language in ("sh", "console")]
    lines = "\n".join(blocks_of).replace("\\\n", " ").splitlines() + re.findall(r"`([^`]+)`", prose(document))
    called = (re.search(r"(?:^|[ /])headrace (.*)", line.split("#")[0]) for line in lines)
    return [match[1].split() for match in called if match]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_commands_and_their_options_exist(document: Path) -> None:
    """Somebody who types what the documents say would be told that there is no such thing."""
    for words in named_commands(document):
        names = words[: 2 if words[0] in GROUPS else 1]
        explained = help_of(*(name for name in names if not name.startswith("-")))
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option in explained, f"headrace {' '.join(words)}"


def test_targets_of_make_exist() -> None:
    """Somebody who types what the documents say would be told that there is no such target."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|^|\n|\w=\w+ )make ([a-z]+)", document.read_text()))
        assert named <= targets, name_of(document)

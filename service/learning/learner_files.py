"""The files that a learner's settings name: a network of a user's own, and its weights.

What is in them shapes every update as settings do. So their digests are part of a model's recipe (``model.py``): where
a file was changed after a crash, what came after the last checkpoint is learned anew, under new numbers.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.learner import LearnerOptions


def digests_of(*learners: LearnerOptions) -> dict[str, dict[str, str]]:
    """Return ``{"files": {path: SHA-256}}`` of the files that are there, or nothing where none is named."""
    named = (name for options in learners for name in _named({"kind": options.kind, **options.network}))
    paths = {Path(name).expanduser() for name in named}
    found = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths) if path.is_file()}
    return {"files": found} if found else {}


def _named(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files that the settings of a learner, or of an expert of a mixture, name."""
    kind, weights, experts = (settings.get(key) for key in ("kind", "weights", "experts"))
    if isinstance(kind, str) and ".py:" in kind:
        yield kind.rpartition(":")[0]
    if isinstance(weights, str):
        yield weights
    for expert in experts if isinstance(experts, list | tuple) else ():
        yield from _named(expert if isinstance(expert, Mapping) else {"kind": expert})

"""The file of an export: safetensors, with a description as JSON in its header. ``docs/export.md`` is its contract.

Arrays ``published/…`` are what a serving process answers from; ``state/…``, where they were asked for, all that the
learner is. The description says what the arrays mean, and which model and version they are of.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models.learner import Array, Json, LearnerState
from models.names import under
from service.durability.files import Files
from service.errors import ExportInvalid

FORMAT = "headrace-export"
SCHEMA = 1
"""Version of what is written; it and those before it are read."""

PUBLISHED, STATE = "published/", "state/"


@dataclass(frozen=True, slots=True)
class Export:
    """One version of a model.

    Attributes
    ----------
    about
        Where it is from: ``model``, ``version``, ``restored_from``, ``created``, ``task``, ``learner``, ``classes``,
        ``features``, ``events_learned`` and ``headrace``, the version of the program.
    spec, arrays
        What :func:`models.registry.load_predictor` makes a predictor of.
    options
        What the learner was built from.
    state
        All that the learner is; None where only answers were exported.
    """

    about: Json
    spec: Json
    arrays: Mapping[str, Array]
    options: Json
    state: LearnerState | None = None


def encode_export(export: Export) -> bytes:
    """Return the file's content."""
    arrays = {PUBLISHED + name: _own(array) for name, array in export.arrays.items()}
    description: dict[str, Any] = {**export.about, "spec": export.spec, "options": export.options}
    if export.state is not None:
        arrays |= {STATE + name: _own(array) for name, array in export.state.arrays.items()}
        description["state"] = export.state.meta
    metadata = {"format": FORMAT, "schema": str(SCHEMA), "description": json.dumps(description)}
    return save(arrays, metadata)


def write_export(path: Path, content: bytes) -> None:
    """Write an export, whole or not at all.

    Raises
    ------
    StorageFailed, DurabilityLost
    """
    Files().write(path, [content])


def read_export(path: Path) -> Export:
    """Return what is in the file at `path`.

    Raises
    ------
    ExportInvalid
        It is no export, or one of a newer version of Headrace.
    """
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ExportInvalid(f"{path} is no export of Headrace's: `headrace export` writes one")
            if int(metadata["schema"]) > SCHEMA:
                raise ExportInvalid(f"{path} was written by a newer version of Headrace: use that one, or a newer one")
            description = json.loads(metadata["description"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- it is no mapping
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ExportInvalid(f"{path} cannot be read as an export: {error}") from error
    spec, options, meta = (description.pop(key, None) for key in ("spec", "options", "state"))
    state = None if meta is None else LearnerState(meta, dict(under(STATE, arrays)))
    return Export(description, spec, dict(under(PUBLISHED, arrays)), options, state)


def _own(array: Array) -> Array:
    """Return an array as the format takes it: row after row."""
    return np.asarray(array, order="C")

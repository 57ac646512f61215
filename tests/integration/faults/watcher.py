"""Looks at what is served all the time: which parameters stand behind each version, and whether one goes back."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from models.learner import Array, Json
from service.errors import PublicationMissing
from service.publishing.subscription import Subscription, View


def digest(spec: str, arrays: Mapping[str, Array]) -> str:
    """Return what tells published parameters from others, encoder included."""
    found = hashlib.blake2b(spec.encode(), digest_size=12)
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def spec_text(spec: Json) -> str:
    """Return a specification as one text."""
    return json.dumps(spec, sort_keys=True)


def watch(publication: Path, told: Path) -> int:
    """Note each version that is served, until this process is ended."""
    subscription = Subscription(publication)
    descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    newest = -1

    def look(view: View) -> tuple[int, str]:
        text = view.cache.get("spec") or view.cache.setdefault("spec", spec_text(view.spec))
        return int(view.header["version"]), digest(text, view.arrays)

    seen = ""
    while True:
        try:
            _, (version, found) = subscription.read(look)
        except PublicationMissing:
            time.sleep(0.01)
            continue
        if version != newest or found != seen:
            os.write(descriptor, f"{version} {found}\n".encode())
            newest, seen = version, found
        time.sleep(0.001)

"""Which model it is, whatever its name: a folder that was deleted and made again, or begun anew, is another one.

What is published lies outside of the model's folder and may outlive it. So it carries the identity of the model that
it is of, and servers answer only from what the model that is there now has published.
"""

import os
import uuid
from pathlib import Path

from service.durability.files import Files

_NAME = "identity"


def new_identity() -> str:
    """Return an identity that no other model has."""
    return uuid.uuid4().hex


def known_identity(root: Path) -> str:
    """Return the identity of the model whose folder is `root`; empty where it has none (yet)."""
    try:
        return (root / _NAME).read_text().strip()
    except OSError:
        return ""


def own_identity(root: Path) -> str:
    """Return the identity of the model whose folder is `root`, which gets one where it has none. For its owner only.

    Raises
    ------
    StorageFailed, DurabilityLost
    """
    return known_identity(root) or set_identity(root, new_identity())


def set_identity(root: Path, identity: str) -> str:
    """Give the model an identity, durably, and return it.

    Raises
    ------
    StorageFailed, DurabilityLost
    """
    files = Files()
    files.make_folder(root)
    files.write(root / _NAME, [f"{identity}{os.linesep}".encode()])
    return identity

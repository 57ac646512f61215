"""What the service's own SQLite files have in common: errors that say what to do."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from service.errors import StorageFailed


@contextlib.contextmanager
def database_errors_explained(path: Path) -> Iterator[None]:
    """Tell whatever befalls the database at `path` as what an operator can act on.

    Raises
    ------
    StorageFailed
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageFailed(f"{path} cannot be used ({error}); check free space and permissions") from error

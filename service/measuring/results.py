"""What every command that measures on a file does around it: look at the file first, and keep what came out."""

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.measuring.stream import StreamOrder, Survey, survey
from service.replaying.progress import StreamProgress


def make_folder(folder: Path) -> None:
    """Make the folder for the files, and see that they can be written before anybody waits for them.

    Raises
    ------
    OSError
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def show_survey(stream: StreamOrder) -> Survey:
    """Read a file through, with its progress, and say which rows cannot be used.

    Raises
    ------
    StreamFileInvalid
    """
    with StreamProgress(f"reading {stream.file.name}") as progress:
        found = survey(stream, progress.show)
    if found.first:
        print(f"rows that cannot be used: {sum(found.refused.values()):,}; the first is {found.first}", file=sys.stderr)
    return found


def keep(folder: Path, name: str, content: Any, page: str, picture: Callable[[Path], bool]) -> str:
    """Write a result as JSON, page and picture; return where they are.

    Parameters
    ----------
    folder, name
        Where, and what the files are called, without their endings.
    content
        What JSON can carry.
    page
        HTML.
    picture
        Draws it into a file; returns False where that cannot be done for lack of matplotlib.
    """
    files = [folder / f"{name}.{ending}" for ending in ("json", "html", "png")]
    files[0].write_text(json.dumps(content) + "\n")
    files[1].write_text(page, encoding="utf-8")
    if not picture(files[2]):
        print(f"for a picture ({files[2].name}), install matplotlib: headrace[plot]", file=sys.stderr)
        del files[2]
    return f"{folder}: {', '.join(file.name for file in files)}"

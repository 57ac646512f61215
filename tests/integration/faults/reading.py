"""A reading program over a campaign's partitions: what is started where the forked one was killed."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from service.reading import ingest_process
from tests.integration.faults.place import Place, Variety


def replace(owner: object, name: str, value: object) -> None:
    """Put `value` in the place of something that is there."""
    assert hasattr(owner, name), name
    setattr(owner, name, value)


def program(place: Place) -> str:
    """Return the program's text; the last of its arguments is the folder of the packages."""
    return (
        "import sys; sys.path.insert(0, sys.argv.pop()); from tests.integration.faults.reading import main; "
        f"main({str(place.folder)!r}, {place.variety!r}, sys.argv[1:])"
    )


def read_from(place: Place) -> None:
    """Have reading programs in this process read the partitions of `place`."""
    if place.partitions > 1:
        replace(ingest_process, "make_source", lambda _settings, _model, _share: place.source())


def main(folder: str, named: str, arguments: Sequence[str]) -> None:
    """Read for the trainer at the other end of the socket."""
    (variety,) = (each for each in get_args(Variety) if each == named)
    read_from(Place(Path(folder), variety))
    ingest_process.main(arguments)

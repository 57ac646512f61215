"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="File of settings; without it ./headrace.yaml, where there is one.", metavar="FILE"),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON, last on stdout.")]

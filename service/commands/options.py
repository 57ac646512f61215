"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="File of settings; without it ./headrace.yaml, where there is one.", metavar="FILE"),
]

ApiKeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        help="File with the key for the server; without it HEADRACE_API_KEY of the environment, where that is set.",
        metavar="FILE",
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON, last on stdout.")]

"""One target under atheris: ``python -m tests.fuzz.instrumented TARGET CORPUS [OPTIONS OF LIBFUZZER]``."""

import sys
import warnings

import atheris  # type: ignore[import-untyped]  # it has no types

with atheris.instrument_imports(include=["service", "consumers", "models"]):
    from service.durability import journal_reading
    from tests.fuzz.mutation import mutate
    from tests.fuzz.targets import TARGETS


def _mutator(data: bytes, most: int, seed: int) -> bytes:
    """Change JSON as JSON half of the time, and bytes as bytes otherwise."""
    changed = mutate(data, most, seed) if seed % 2 else None
    return changed if changed is not None else atheris.Mutate(data, most)


def main() -> None:
    """Run until the options say that it is enough, or something was found."""
    target = TARGETS[sys.argv.pop(1)]
    # Nobody appends while the journal is read here, so half a frame need not be waited for.
    journal_reading._SETTLE = 0.0
    warnings.simplefilter("error")
    atheris.Setup(sys.argv, target.attack, custom_mutator=_mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

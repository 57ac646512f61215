"""The audit of what is locked says what it did not look at: silence would be taken for safety."""

from typing import Any

import pytest

from tests.audit import CLEAN, NOT_AUDITED, VULNERABLE, judge

FINE = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("audited", "status", "said"),
    [
        ([FINE, FINE], CLEAN, "2 packages"),
        ([FINE, BAD], VULNERABLE, "b 2: PYSEC-1, fixed in 3"),
        ([FINE, UNKNOWN], NOT_AUDITED, "NOT AUDITED: 1 of 2"),
        ([BAD, UNKNOWN], VULNERABLE, "PYSEC-1"),
        ([], NOT_AUDITED, "NOT AUDITED"),
    ],
)
def test_only_what_was_looked_up_counts_as_clean(audited: list[dict[str, Any]], status: int, said: str) -> None:
    """Fails when packages that nobody knows anything of pass for packages without a vulnerability."""
    found, lines = judge(audited)
    assert found == status
    assert said in "\n".join(lines)

"""``make audit``: the packages of requirements.lock, hashes and all, against the published advisories.

pip-audit passes over packages that its service does not know, and calls the rest clean; where the service cannot be
reached, or an index answers in its place that keeps no advisories, that is all of them. Here a package that was not
looked up is a failure of its own: nothing is known of it.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
_WHERE = "The advisories are at pypi.org (ARGS='-s osv': at api.osv.dev); run this where they can be reached."
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 2


def judge(audited: Sequence[dict[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit status and what to say.

    Parameters
    ----------
    audited
        What pip-audit found out: one object a package, with ``name`` and either ``version`` and ``vulns`` or
        ``skip_reason``.
    """
    found = [
        f"{each['name']} {each['version']}: {vulnerability['id']}, "
        f"fixed in {', '.join(vulnerability.get('fix_versions') or ['no version yet'])}"
        for each in audited
        for vulnerability in each.get("vulns", ())
    ]
    skipped = [f"{each['name']}: {each['skip_reason']}" for each in audited if "skip_reason" in each]
    if found:
        return VULNERABLE, [*found, "make lock ARGS=--upgrade takes newer versions; see the advisories first"]
    if skipped or not audited:
        count = f"NOT AUDITED: {len(skipped)} of {len(audited)} locked packages were not looked up."
        return NOT_AUDITED, [*skipped[:3], count, _WHERE]
    return CLEAN, [f"{len(audited)} packages for this platform, none with a known vulnerability"]


def main() -> None:
    """Audit; further arguments are pip-audit's."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--require-hashes", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", *sys.argv[1:]]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        status, said = judge(json.loads(ran.stdout)["dependencies"])
    except (ValueError, KeyError):
        status, said = (
            NOT_AUDITED,
            [ran.stderr.strip()[-300:], f"NOT AUDITED: pip-audit itself failed, see above. {_WHERE}"],
        )
    print("\n".join(said))
    sys.exit(status)


if __name__ == "__main__":
    main()

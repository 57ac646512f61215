"""The file of API keys: what it keeps, what it refuses, and what happens when it changes."""

import stat
from pathlib import Path

import pytest
import structlog

from service.errors import KeysInvalid
from service.security.keys import LOOK_EVERY, KeyRing
from service.security.keys_file import ROLES, add_key, digest_of, read_keys, remove_key

BOB = f"bob predict sha256${digest_of(b'bobs').hex()}\n"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file of keys by hand."""
    path.write_text(text)
    path.chmod(mode)
    return path


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


def test_a_key_is_recognised_by_what_the_file_keeps_of_it(path: Path) -> None:
    """A key that was just made would open nothing, or a wrong one everything."""
    key = add_key(path, "shop", ["predict", "ingest"])
    add_key(path, "ops", ["operate"])
    ring = KeyRing(path)
    found = ring.find(key.encode())
    assert found is not None
    assert found.name == "shop"
    assert found.roles == {"predict", "ingest"}
    for wrong in (key[:-1], key + "a", "", found.digest.hex(), "x" * 100_000):
        assert ring.find(wrong.encode()) is None


def test_the_file_does_not_hold_the_key_and_is_its_owners_alone(path: Path) -> None:
    """Whoever reads the file, or a backup of it, could call the API."""
    keys = [add_key(path, name, ["operate"]) for name in ("a", "b")]
    text = path.read_text()
    assert not any(key in text or key.removeprefix("headrace_") in text for key in keys)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(keys[0]) >= 43 + len("headrace_")  # 32 bytes, six bits a character
    assert keys[0] != keys[1]


def test_a_removed_key_opens_nothing_within_a_second(path: Path) -> None:
    """A key that was stolen would stay open until the server is restarted."""
    clock = Clock()
    key = add_key(path, "shop", ["predict"]).encode()
    other = add_key(path, "other", ["predict"]).encode()
    ring = KeyRing(path, clock)
    remove_key(path, "shop")
    clock.now += LOOK_EVERY
    assert ring.find(key) is None
    assert ring.find(other) is not None
    again = add_key(path, "shop", ["ingest"]).encode()
    clock.now += LOOK_EVERY
    found = ring.find(again)
    assert found is not None
    assert found.roles == {"ingest"}


@pytest.mark.parametrize("how", ["removed", "writable by everybody", "no text"])
def test_a_file_that_goes_bad_shuts_everybody_out(path: Path, how: str) -> None:
    """Whoever takes the file away, or finds it tampered with, would not have closed the door."""
    clock = Clock()
    key = add_key(path, "shop", ["predict"]).encode()
    ring = KeyRing(path, clock)
    if how == "removed":
        path.unlink()
    elif how == "no text":
        path.write_bytes(b"\xff\xfe")
    else:
        path.chmod(0o602)
    clock.now += LOOK_EVERY
    with structlog.testing.capture_logs() as logs:
        assert ring.find(key) is None
    assert [entry["log_level"] for entry in logs] == ["error"]
    path.unlink(missing_ok=True)
    back = add_key(path, "shop", ["predict"]).encode()
    clock.now += LOOK_EVERY
    assert ring.find(back) is not None


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("bob predict", "must be a name"),
        ("bob predict sha256$1234", "never the key itself"),
        ("bob predict headrace_abcdefgh", "never the key itself"),
        ("bob admin " + BOB.split()[2], "roles are predict, ingest, operate"),
        ("bob predict,predict,x " + BOB.split()[2], "roles are"),
        ("b/ob predict " + BOB.split()[2], "the name must be"),
    ],
)
def test_a_line_that_is_wrong_counts_for_nothing_and_is_not_quoted(path: Path, line: str, fault: str) -> None:
    """A typo would open the API, lock everybody out, or put a key into the log."""
    written(path, f"# keys\n\n{BOB}{line}\n".replace("bob ", "ann ", 1))
    found = read_keys(path)
    assert [key.name for key in found.keys] == ["ann"]
    assert len(found.faults) == 1
    assert "line 4" in found.faults[0]
    assert fault in found.faults[0]
    assert line.rsplit(maxsplit=1)[-1] not in found.faults[0].replace("sha256$ with", "")
    with pytest.raises(KeysInvalid, match="put it right first"):
        add_key(path, "new", ["predict"])


def test_a_name_counts_once(path: Path) -> None:
    """Removing a key by its name could leave a second one of that name open."""
    written(path, BOB + BOB.replace("predict", "operate"))
    found = read_keys(path)
    assert [key.roles for key in found.keys] == [{"predict"}]
    assert "twice" in found.faults[0]


def test_permissions(path: Path) -> None:
    """Anybody on the machine could add a key; or nobody would say that everybody can read the file."""
    with pytest.raises(KeysInvalid, match="chmod 600"):
        read_keys(written(path, BOB, 0o606))
    for mode, faults in ((0o644, 1), (0o620, 1), (0o640, 0), (0o400, 0)):
        assert len(read_keys(written(path, BOB, mode)).faults) == faults
        path.chmod(0o600)
    with pytest.raises(KeysInvalid, match="headrace keys add"):
        read_keys(path.with_name("nowhere"))


@pytest.mark.parametrize(
    ("name", "roles", "said"),
    [("", ["predict"], "cannot be named"), ("a b", ["predict"], "cannot be named"), ("a", [], "--role predict")],
)
def test_a_key_needs_a_name_and_a_role(path: Path, name: str, roles: list[str], said: str) -> None:
    """The file would hold a line that cannot be read, or a key that opens nothing."""
    with pytest.raises(KeysInvalid, match=said):
        add_key(path, name, [role for role in ROLES if role in roles])
    assert not path.exists()


def test_names_are_told_apart_and_told(path: Path) -> None:
    """A second key would replace the first one, or a typo would seem to have removed a key."""
    add_key(path, "a", ["predict"])
    with pytest.raises(KeysInvalid, match="already"):
        add_key(path, "a", ["operate"])
    with pytest.raises(KeysInvalid, match="there is a"):
        remove_key(path, "b")


def test_a_link_to_a_file_is_followed_when_it_leads_elsewhere(tmp_path: Path) -> None:
    """Keys that an orchestrator mounts, and replaces by turning a link, would never change."""
    clock = Clock()
    first, second = (add_key(tmp_path / name, "a", ["predict"]).encode() for name in ("1", "2"))
    link = tmp_path / "keys.txt"
    link.symlink_to("1")
    ring = KeyRing(link, clock)
    assert ring.find(first) is not None
    link.unlink()
    link.symlink_to("2")
    clock.now += LOOK_EVERY
    assert ring.find(first) is None
    assert ring.find(second) is not None

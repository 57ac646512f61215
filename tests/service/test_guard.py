"""The guard against other people's packages named `consumers` and `models`."""

import sys
from pathlib import Path

import pytest

from service.errors import PackagesShadowed
from service.guard import check_packages

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder with a package that must never be imported."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('a stranger was imported')\n")
    return tmp_path


def test_our_own_packages_pass() -> None:
    """Nothing would start."""
    check_packages()


def test_a_package_in_the_way_is_named_and_not_imported(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's code would run, and fail far from the cause."""
    monkeypatch.syspath_prepend(str(stranger))
    with pytest.raises(PackagesShadowed, match=str(stranger / "models")):
        check_packages()


def test_a_folder_without_code_or_a_single_file_is_in_the_way_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`consumers.py` somewhere on the path would be imported in place of the package."""
    (tmp_path / "consumers.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PackagesShadowed, match=r"consumers\.py"):
        check_packages()


def test_a_package_behind_ours_does_no_harm(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a folder `models` far down the path could not use headrace."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path, str(stranger)])
    check_packages()


def test_a_link_to_our_folder_is_our_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that is reached through a link would refuse to start."""
    link = tmp_path / "link"
    link.symlink_to(ROOT)
    monkeypatch.setattr(sys, "path", [str(link), *sys.path])
    check_packages()


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An incomplete installation would end in a traceback."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(PackagesShadowed, match="incomplete"):
        check_packages()

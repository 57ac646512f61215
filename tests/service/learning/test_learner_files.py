"""The files that a learner's settings name are part of what shapes its updates."""

from pathlib import Path
from typing import Any

from consumers.testing import MemorySource
from models.learner import LearnerOptions
from service.learning.learner_files import digests_of
from tests.support.training import open_model, settings


def test_every_file_is_found_and_told_by_its_content(tmp_path: Path) -> None:
    """A changed network would be replayed under version numbers that stand for other parameters."""
    files = [tmp_path / name for name in ("net.py", "other.py", "w.safetensors", "v.safetensors")]
    for file in files:
        file.write_text(file.name)
    code, other, *weights = map(str, files)
    alone: dict[str, Any] = {"kind": f"{code}:Net", "network": {"weights": weights[0], "hidden": 3}}
    assert digests_of(LearnerOptions(**alone))["files"].keys() == {code, weights[0]}
    experts = ["leaves", f"{other}:Net", {"kind": f"{code}:Net", "weights": weights[1]}]
    assert digests_of(LearnerOptions(network={"experts": experts}))["files"].keys() == {code, other, weights[1]}
    before = digests_of(LearnerOptions(**alone))
    files[2].write_text("other weights")
    assert digests_of(LearnerOptions(**alone)) != before


def test_a_model_without_files_has_the_recipe_that_it_had(tmp_path: Path) -> None:
    """Every model would be learned anew after an upgrade, from its last checkpoint on."""
    assert digests_of(LearnerOptions(kind="mlp", network={"hidden": [3]})) == {}
    network = tmp_path / "net.py"
    network.write_text("1")
    model = open_model(settings(tmp_path, learner={"kind": f"{network}:Net", "device": "cpu"}), MemorySource())
    try:
        before = model.recipe()
        assert model.recipe() == before
        network.write_text("2")
        assert model.recipe() != before
    finally:
        model.close()
        model.lease.release()

"""The section `teacher`: who may teach whom is settled before anything starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.config import Settings, load_settings
from service.errors import ConfigurationInvalid

NAMED = {"task": "binary"}


def models(**given: object) -> Settings:
    """Return settings of these models."""
    return Settings.model_validate({"models": given})


def refusal(**given: object) -> str:
    """Return what is said of models that are wrong."""
    with pytest.raises(ValidationError) as caught:
        models(**given)
    return str(caught.value)


def test_a_student_has_the_task_of_its_teacher() -> None:
    """If this fails, a user must say the same twice; or a student without labels never begins."""
    chosen = models(big=NAMED, small={"teacher": {"model": "big"}}, other={})
    assert (chosen.models["small"].task, chosen.models["other"].task) == ("binary", "auto")
    teacher = chosen.models["small"].teacher
    assert teacher is not None
    assert (teacher.model, teacher.weight, teacher.temperature) == ("big", 0.5, 1.0)
    assert models(small={"teacher": {"model": "big"}} | NAMED, big={}).models["big"].task == "auto"
    assert models(a={"teacher": {"model": "b"}}, b={"teacher": {"model": "c"}}, c=NAMED).models["a"].task == "binary"
    assert models(a={"teacher": None}).models["a"].teacher is None


def test_a_teacher_can_be_named_by_the_environment(tmp_path: Path) -> None:
    """If this fails, a container cannot choose a teacher without a file, or a typo goes unnoticed."""
    file = tmp_path / "headrace.yaml"
    file.write_text("models: {big: {task: binary}, small: {}}")
    prefix = "HEADRACE_MODELS__SMALL__TEACHER__"
    teacher = load_settings(file, {f"{prefix}MODEL": "big", f"{prefix}WEIGHT": "0.3"}).models["small"].teacher
    assert teacher is not None
    assert (teacher.model, teacher.weight) == ("big", 0.3)
    with pytest.raises(ConfigurationInvalid, match=r"did you mean models\.small\.teacher\.model\?"):
        load_settings(file, {f"{prefix}MODL": "big"})


def test_a_teacher_that_cannot_teach_is_refused() -> None:
    """If this fails, a typo trains a model without its teacher, or two models teach each other what neither knows."""
    taught = {"teacher": {"model": "big"}}
    said = refusal(small=taught | NAMED, bigg={})
    assert "models.small.teacher.model: there is no model 'big'; did you mean bigg?" in said
    assert "none but itself" in refusal(small=taught | NAMED)
    said = refusal(big={"teacher": {"model": "small"}} | NAMED, small=taught)
    assert "big learns from small learns from big" in said
    assert "small learns from small" in refusal(small={"teacher": {"model": "small"}} | NAMED)
    said = refusal(big={"task": "regression"}, small=taught | NAMED)
    assert "'big' cannot teach a model of another task: small has task binary, big has task regression" in said
    said = refusal(big={}, small=taught)
    assert "models.small.task: must be binary, multiclass or regression, here or for its teacher 'big'" in said


@pytest.mark.parametrize(
    "section", [{}, {"model": "big", "weight": 0}, {"model": "big", "weight": 1}, {"model": "big", "temperature": 0}]
)
def test_its_numbers_are_checked(section: dict[str, object]) -> None:
    """If this fails, labels count for nothing, or a teacher does, and nobody is told."""
    assert "teacher" in refusal(big=NAMED, small={"teacher": section})

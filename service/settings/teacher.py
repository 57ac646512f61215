"""The section ``models.NAME.teacher``: another model of this service, whose answers a model learns from too."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal, Protocol

from pydantic import Field

from service.settings.section import Section

TaskName = Literal["auto", "binary", "multiclass", "regression"]


class TeacherSettings(Section):
    """Distillation; see "A model learns from another one" in ``docs/learning.md``.

    Attributes
    ----------
    model
        The teacher's name, among ``models``.
    weight
        λ, its share in the loss of an event that has a label too: (1 - λ) · label + λ · teacher.
    temperature
        By which the logarithms of its probabilities are divided: above 1 they become more alike, so that more is said
        of improbable classes; below 1, less.
    """

    model: Annotated[str, Field(min_length=1)]
    weight: Annotated[float, Field(gt=0, lt=1)] = 0.5
    temperature: Annotated[float, Field(ge=0.1, le=20)] = 1.0


class Pupil(Protocol):
    """What of a model's settings matters here."""

    @property
    def task(self) -> TaskName:
        """As configured."""

    @property
    def teacher(self) -> TeacherSettings | None:
        """None: labels are its only teacher."""


def check_teachers(models: Mapping[str, Pupil]) -> dict[str, TaskName]:
    """Return the tasks that models have from their teachers, where they name none themselves.

    A model that has a teacher learns events without a label too, so its task cannot wait for labels.

    Raises
    ------
    ValueError
        A teacher does not exist, or learns from its own pupil, or predicts something else; or nobody names a task.
    """
    found: dict[str, TaskName] = {}
    for name, model in models.items():
        if model.teacher is None:
            continue
        key, teacher = f"models.{name}.teacher.model", model.teacher.model
        if teacher not in models:
            near = difflib.get_close_matches(teacher, models, n=1)
            others = ", ".join(each for each in models if each != name) or "none but itself"
            hint = f"did you mean {near[0]}?" if near else f"there are {others}"
            raise ValueError(f"{key}: there is no model {teacher!r}; {hint}")
        chain = _chain(name, models)
        if chain[-1] == name:
            raise ValueError(f"{key}: {' learns from '.join(chain)}: one of them must do without a teacher")
        tasks = [models[each].task for each in chain]
        named = [task for task in tasks if task != "auto"]
        if not named:
            raise ValueError(
                f"models.{name}.task: must be binary, multiclass or regression, here or for its teacher {teacher!r}: "
                "events without a label are learned too, so that no label may be there to tell"
            )
        if len(set(named)) > 1:
            raise ValueError(
                f"{key}: {teacher!r} cannot teach a model of another task: "
                + ", ".join(f"{each} has task {models[each].task}" for each in chain)
            )
        found[name] = named[0]
    return found


def _chain(name: str, models: Mapping[str, Pupil]) -> list[str]:
    """Return a model, its teacher, the teacher's teacher and so on, up to the first that comes twice or has none."""
    chain = [name]
    while (teacher := models[chain[-1]].teacher) is not None and teacher.model in models:
        chain.append(teacher.model)
        if teacher.model in chain[:-1]:
            break
    return chain

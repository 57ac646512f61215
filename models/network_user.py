"""Networks of a user's own: any ``torch.nn.Module`` that keeps the contract below.

Named as ``path/to/file.py:ClassName``, or by the name of an entry point of the group ``headrace.networks`` whose object
is the class. The contract:

- ``Class(inputs, outputs, **options)`` makes the module: the number of columns that come in and of values that go out
  (logits: one for two classes under ``bce``, otherwise one a class; one for regression), and what the configuration has
  under ``network``.
- ``forward(x)`` takes float32 of shape (rows, inputs), standardised numbers and hashed strings, and returns float32 of
  shape (rows, outputs).
- Its parameters are float32, and made in the constructor. It may have buffers. Random layers are seeded for each step.
- When features or classes are added, a new module is made with the new numbers; each parameter and buffer then takes
  over its old values at the beginning of every dimension, and what is new in a parameter becomes 0.
"""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.devices import FAILURES
from models.encoder_layout import Role
from models.errors import NetworkInvalid
from models.examples import Kind
from models.network import Inputs, LossGradient, Rate, Shape

GROUP = "headrace.networks"
PROBE = (3, 2)  # inputs and outputs of the module that is made at start-up to see whether it keeps the contract


def is_user_network(kind: str) -> bool:
    """Return whether `kind` names a network of a user's own."""
    return ".py:" in kind or bool(entry_points(group=GROUP, name=kind))


class UserNetwork:
    """A module behind the interface of all networks.

    Parameters
    ----------
    kind
        Where it comes from.
    options
        Further arguments of its constructor.

    Raises
    ------
    NetworkInvalid
    """

    default_rates: ClassVar[Mapping[str, Rate]] = {
        "adam": Rate(1e-3),
        "adamw": Rate(1e-3),
        "adagrad": Rate(0.01),
        "sgd": Rate(0.01),
    }
    default_replay: ClassVar[int] = 64
    table_kinds: ClassVar[frozenset[Kind]] = frozenset()
    spare: ClassVar[bool] = False
    side_by_side: bool = False

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        self._kind = kind
        self._options = dict(options)
        self._make = _load(kind)
        self._module: nn.Module | None = None
        self._probe()

    def _probe(self) -> None:
        """Make a small module and run it, so that what is wrong shows at start-up."""
        inputs, outputs = PROBE
        module = self._build(inputs, outputs, seed=0)
        if not list(module.parameters()):
            raise NetworkInvalid(f"{self._kind}: it has no parameters; register them in its constructor")
        wrong = [name for name, parameter in module.named_parameters() if parameter.dtype != torch.float32]
        if wrong:
            raise NetworkInvalid(f"{self._kind}: parameters {wrong} are not float32")
        found = self._run(module, torch.zeros(4, inputs), outputs)
        if not found.requires_grad:
            raise NetworkInvalid(f"{self._kind}: what forward returns does not depend on any parameter")

    def _build(self, inputs: int, outputs: int, seed: int) -> nn.Module:
        """Return a new module."""
        with _seeded(seed, torch.device("cpu")):
            try:
                module = self._make(inputs, outputs, **self._options)
            except Exception as error:
                raise NetworkInvalid(
                    f"{self._kind}: cannot be made with inputs={inputs}, outputs={outputs}, {self._options}: {error!r}"
                ) from error
        if not isinstance(module, nn.Module):
            raise NetworkInvalid(f"{self._kind}: makes a {type(module).__name__}, not a torch.nn.Module")
        return module

    def _run(self, module: nn.Module, dense: Tensor, outputs: int | None) -> Tensor:
        """Return what the module makes of its input."""
        try:
            found = module(dense)
        except FAILURES:
            raise
        except Exception as error:
            raise NetworkInvalid(f"{self._kind}: forward failed on float32 {tuple(dense.shape)}: {error!r}") from error
        expected = (len(dense), outputs if outputs is not None else self._outputs)
        if not isinstance(found, Tensor) or tuple(found.shape) != expected:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise NetworkInvalid(f"{self._kind}: forward must return shape {expected}, it returned {shape}")
        return found

    def shapes(self, inputs: int, outputs: int) -> dict[str, Shape]:
        """See :class:`models.network.Network`."""
        self._inputs, self._outputs = inputs, outputs
        before, self._module = self._module, self._build(inputs, outputs, seed=0)
        if before is not None:
            _carry(before, self._module)
        return {name: tuple(parameter.shape) for name, parameter in self._module.named_parameters()}

    @property
    def module(self) -> nn.Module:
        """The module, once :meth:`shapes` made it."""
        if self._module is None:
            raise NetworkInvalid(f"{self._kind}: used before its shapes were known")
        return self._module

    def buffers(self) -> dict[str, Tensor]:
        """See :class:`models.network.Network`."""
        return dict(self._module.named_buffers()) if self._module is not None else {}

    def input_dimensions(self) -> dict[str, int]:
        """See :class:`models.network.Network`: those that have one more with one more input."""
        inputs, outputs = PROBE
        less, more = (dict(self._build(inputs + extra, outputs, seed=0).named_parameters()) for extra in (0, 1))
        return {
            name: dimension
            for name, parameter in less.items()
            for dimension, size in enumerate(parameter.shape)
            if size == inputs and more[name].shape[dimension : dimension + 1] == (inputs + 1,)
        }

    def table_width(self, outputs: int) -> int:  # noqa: ARG002 - see Network
        """See :class:`models.network.Network`."""
        return 0

    def initialise(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> None:
        """See :class:`models.network.Network`."""
        seed = int(torch.randint(1 << 31, (), generator=generator))
        made = self._build(self._inputs, self._outputs, seed)
        for name, parameter in made.named_parameters():
            parameters[name][0].copy_(parameter.detach())

    def initialise_table(self, table: Tensor, generator: torch.Generator) -> None:
        """See :class:`models.network.Network`."""

    def add_inputs(
        self, parameters: Mapping[str, Tensor], first: int, roles: Sequence[Role], generator: torch.Generator
    ) -> None:
        """Leave zeros: see :class:`models.network.Network`."""

    def bind(self, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor] | None) -> None:
        """See :class:`models.network.Network`."""
        device = next(iter(parameters.values())).device
        self.module.to(device)
        for name, parameter in self.module.named_parameters():
            parameter.data = parameters[name][0]
            parameter.grad = None if gradients is None else gradients[name][0]

    def outputs(self, inputs: Inputs) -> Tensor:
        """See :class:`models.network.Network`."""
        with torch.no_grad():
            return self._run(self.module.eval(), inputs.dense, None).unsqueeze(0)

    def learn(self, inputs: Inputs, loss_gradient: LossGradient) -> tuple[Tensor, Tensor | None]:
        """See :class:`models.network.Network`."""
        for parameter in self.module.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        with _seeded(inputs.seed, inputs.dense.device), torch.enable_grad():
            outputs = self._run(self.module.train(), inputs.dense, None)
            torch.autograd.backward(outputs, loss_gradient(outputs.detach().unsqueeze(0)).squeeze(0))
        return outputs.detach().unsqueeze(0), None


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's own generators for a while."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def _carry(before: nn.Module, after: nn.Module) -> None:
    """Copy a module's buffers into the beginning of another's."""
    old = dict(before.named_buffers())
    for name, buffer in after.named_buffers():
        if name in old and old[name].dim() == buffer.dim():
            region = tuple(slice(0, min(sizes)) for sizes in zip(old[name].shape, buffer.shape, strict=True))
            buffer[region] = old[name][region].to(buffer.device)


def _load(kind: str) -> Callable[..., Any]:
    """Return the class that `kind` names."""
    if ".py:" in kind:
        file, _, name = kind.rpartition(":")
        found = getattr(_load_file(Path(file)), name, None)
    else:
        (entry, *_), name = entry_points(group=GROUP, name=kind), kind
        try:
            found = entry.load()
        except Exception as error:
            raise NetworkInvalid(f"entry point {kind} of {GROUP} cannot be loaded: {error!r}") from error
    if not inspect.isclass(found):
        raise NetworkInvalid(f"{kind}: there is no class {name}")
    return found


def _load_file(path: Path) -> Any:
    """Return the module in a file, which need not be, and is not put, on ``sys.path``."""
    if not path.is_file():
        raise NetworkInvalid(f"{path}: there is no such file (paths are relative to {Path.cwd()})")
    name = f"headrace_network_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NetworkInvalid(f"{path}: this is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise NetworkInvalid(f"{path}: failed while being imported: {error!r}") from error
    return module

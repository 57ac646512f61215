"""Networks of a user's own: any ``torch.nn.Module`` that keeps the contract below.

Named as ``path/to/file.py:ClassName``, or by the name of an entry point of the group ``headrace.networks`` whose object
is the class. The contract:

- ``Class(inputs, outputs, **options)`` makes the module: the number of columns that come in and of values that go out
  (logits: one for two classes under ``bce``, otherwise one a class; one for regression), and what the configuration has
  under ``network``.
- ``forward(x)`` takes float32 of shape (rows, inputs), standardised numbers and hashed strings, and returns float32 of
  shape (rows, outputs).
- Its parameters are float32, and made in the constructor. It may have buffers. Random layers are seeded for each step.
- Copies of it learn at several rates at once, by ``torch.func``, where that can map it over their parameters: where
  ``forward`` does not branch on their values, and changes buffers in place. Otherwise there is one.
- When features or classes are added, a new module is made with the new numbers; each parameter and buffer then takes
  over its old values at the beginning of every dimension. What is new in a parameter becomes 0, or what the file of
  weights has there; what is new in a frozen one is what the constructor makes of it.
- What needs no gradient is frozen: nothing ever changes it. A part of which all parameters are frozen runs as when
  answering, so that its buffers stay too, and its random layers do nothing.

Of the arguments under ``network``, ``weights`` and ``freeze`` are not the module's: see ``network_pretrained.py``.
"""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from models.devices import FAILURES
from models.encoder_layout import Role
from models.errors import NetworkInvalid
from models.examples import Kind
from models.network import Inputs, LossGradient, Rate, Shape
from models.network_pretrained import Pretrained, resting

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
        Further arguments of its constructor, and those of :class:`models.network_pretrained.Pretrained`.

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

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        self._kind = kind
        self._pretrained, self._options = Pretrained.of(kind, options)
        self._make = _load(kind)
        self._module: nn.Module | None = None
        self._resting: Iterable[nn.Module] = ()
        self._parameters: Mapping[str, Tensor] = {}
        self._gradients: Mapping[str, Tensor] | None = None
        self._buffers: Mapping[str, Tensor] = {}
        self._frozen: Mapping[str, Tensor] = {}
        self._probe()
        self.side_by_side = self._maps()

    def _probe(self) -> None:
        """Make a small module and run it, so that what is wrong shows at start-up."""
        inputs, outputs = PROBE
        if not list(self._new(inputs, outputs, seed=0).parameters()):
            raise NetworkInvalid(f"{self._kind}: it has no parameters; register them in its constructor")
        self._pretrained.check(partial(self._new, seed=0), inputs, outputs)
        module = self._build(inputs, outputs, seed=0)
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise NetworkInvalid(f"{self._kind}: all its parameters are frozen; leave some to be learned")
        wrong = [name for name, parameter in module.named_parameters() if parameter.dtype != torch.float32]
        if wrong:
            raise NetworkInvalid(f"{self._kind}: parameters {wrong} are not float32")
        found = self._run(module, torch.zeros(4, inputs), outputs)
        if not found.requires_grad:
            raise NetworkInvalid(f"{self._kind}: what forward returns does not depend on any parameter")

    def _maps(self) -> bool:
        """Return whether copies of it can be run at once."""
        inputs, outputs = PROBE
        module = self._build(inputs, outputs, seed=0)
        *parts, frozen = self._parts(module)
        learned, buffers = ({name: torch.stack([tensor] * 2) for name, tensor in part.items()} for part in parts)
        _begin_to_learn(module, resting(module, set(frozen)))
        try:
            self._map(module, _Parts(learned, buffers, frozen), torch.zeros(4, inputs), outputs)
        except NetworkInvalid:
            return False
        return True

    def _parts(self, module: nn.Module) -> "_Parts":
        """Return the tensors of a module."""
        still = self._pretrained.frozen(module)
        learned, buffers, frozen = dict[str, Tensor](), dict[str, Tensor](), dict[str, Tensor]()
        for part, tensors in ((learned, module.named_parameters()), (buffers, module.named_buffers())):
            for name, tensor in tensors:
                (frozen if name in still else part)[name] = tensor.detach()
        return _Parts(learned, buffers, frozen)

    def _map(self, module: nn.Module, parts: "_Parts", dense: Tensor, outputs: int | None) -> Tensor:
        """Return what copies of a module make of the same input, shape (copies, rows, outputs)."""

        def one(of_parameters: dict[str, Tensor], of_buffers: dict[str, Tensor]) -> Tensor:
            held = {**of_parameters, **of_buffers, **parts.frozen}
            found = self._run(partial(functional_call, module, held), dense, outputs)
            if any(held[name] is not buffer for name, buffer in of_buffers.items()):
                raise NetworkInvalid(f"{self._kind}: forward assigns buffers instead of changing them in place")
            return found

        found: Tensor = vmap(one, randomness="different")(dict(parts.learned), dict(parts.buffers))
        return found

    def _build(self, inputs: int, outputs: int, seed: int) -> nn.Module:
        """Return a new module that has its weights, and knows what of it is frozen."""
        module = self._new(inputs, outputs, seed)
        self._pretrained.give_to(module)
        return module

    def _new(self, inputs: int, outputs: int, seed: int) -> nn.Module:
        """Return a module as its constructor makes it."""
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

    def _run(self, forward: Callable[[Tensor], Any], dense: Tensor, outputs: int | None) -> Tensor:
        """Return what a module makes of its input."""
        try:
            found = forward(dense)
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
        self._module = self._build(inputs, outputs, seed=0)
        learned, _, frozen = self._parts(self._module)
        self._resting = resting(self._module, set(frozen))
        return {name: tuple(parameter.shape) for name, parameter in learned.items()}

    @property
    def module(self) -> nn.Module:
        """The module, once :meth:`shapes` made it."""
        if self._module is None:
            raise NetworkInvalid(f"{self._kind}: used before its shapes were known")
        return self._module

    def buffers(self) -> dict[str, Tensor]:
        """See :class:`models.network.Network`."""
        return dict(self._buffers)

    def frozen(self) -> dict[str, Tensor]:
        """See :class:`models.network.Network`."""
        return dict(self._frozen)

    def see(self, numbers: Sequence[int], device: torch.device) -> None:
        """See :class:`models.network.Network`: nothing."""

    def input_dimensions(self) -> dict[str, int]:
        """See :class:`models.network.Network`: those that have one more with one more input."""
        inputs, outputs = PROBE
        less, more = (self._parts(self._build(inputs + extra, outputs, seed=0))[0] for extra in (0, 1))
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
        learned, _, frozen = self._parts(self._build(self._inputs, self._outputs, seed))
        for made, held in ((learned, parameters), (frozen, self._frozen)):
            for name, tensor in made.items():
                held[name].copy_(tensor)

    def widen(self, parameters: Mapping[str, Tensor]) -> None:
        """See :class:`models.network.Network`: what the file of weights has beyond what there was room for."""
        for name, copies in parameters.items():
            for parameter in copies:
                self._pretrained.fill(name, parameter)

    def initialise_table(self, table: Tensor, generator: torch.Generator) -> None:
        """See :class:`models.network.Network`."""

    def add_inputs(
        self, parameters: Mapping[str, Tensor], first: int, roles: Sequence[Role], generator: torch.Generator
    ) -> None:
        """Leave zeros: see :class:`models.network.Network`."""

    def bind(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        buffers: Mapping[str, Tensor] | None = None,
        frozen: Mapping[str, Tensor] | None = None,
    ) -> None:
        """See :class:`models.network.Network`."""
        self._parameters, self._gradients = parameters, gradients
        some = next(iter(parameters.values()))
        self.module.to(some.device)
        _, own_buffers, own_frozen = self._parts(self.module)
        if buffers is None:
            buffers = {name: torch.stack([buffer] * len(some)) for name, buffer in own_buffers.items()}
            _carry(self._buffers, buffers)
        if frozen is None:
            frozen = {name: tensor.clone() for name, tensor in own_frozen.items()}
            _carry(self._frozen, frozen)
        self._buffers, self._frozen = buffers, frozen

    def outputs(self, inputs: Inputs) -> Tensor:
        """See :class:`models.network.Network`."""
        with torch.no_grad():
            parts = _Parts(self._parameters, self._buffers, self._frozen)
            return self._forward(self.module.eval(), parts, inputs.dense)

    def _forward(self, module: nn.Module, parts: "_Parts", dense: Tensor) -> Tensor:
        """Return what the copies make of an input, shape (copies, rows, outputs)."""
        if len(next(iter(parts.learned.values()))) > 1:
            return self._map(module, parts, dense, None)
        only = {name: held[0] for name, held in (*parts.learned.items(), *parts.buffers.items())}
        only |= parts.frozen
        found = self._run(partial(functional_call, module, only), dense, None).unsqueeze(0)
        for name, buffer in parts.buffers.items():
            if only[name].data_ptr() != buffer.data_ptr():  # it was assigned, not changed in place
                buffer[0].copy_(only[name].detach())
        return found

    def learn(self, inputs: Inputs, loss_gradient: LossGradient) -> Tensor | None:
        """See :class:`models.network.Network`."""
        leaves = {name: held.detach().requires_grad_() for name, held in self._parameters.items()}
        _begin_to_learn(self.module, self._resting)
        # What a module does to its frozen tensors while it learns goes nowhere.
        frozen = {name: tensor.clone() for name, tensor in self._frozen.items()}
        with _seeded(inputs.seed, inputs.dense.device), torch.enable_grad():
            outputs = self._forward(self.module, _Parts(leaves, self._buffers, frozen), inputs.dense)
            slopes = loss_gradient(outputs.detach())
            found = torch.autograd.grad(outputs, list(leaves.values()), slopes, allow_unused=True)
        for name, gradient in zip(leaves, found, strict=True):
            written = (self._gradients or {})[name]
            written.zero_() if gradient is None else written.copy_(gradient)
        return None


class _Parts(NamedTuple):
    """The tensors of a module by their names.

    Attributes
    ----------
    learned, buffers
        Parameters that learn, and buffers that may change; in a learner of shape (copies, …).
    frozen
        Parameters and buffers that do neither; the same for all copies.
    """

    learned: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    frozen: Mapping[str, Tensor]


def _begin_to_learn(module: nn.Module, still: Iterable[nn.Module]) -> None:
    """Have a module run as when learning, but for some parts of it."""
    module.train()
    for part in still:
        part.eval()


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's own generators for a while."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def _carry(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    """Copy buffers into the beginning of others."""
    for name, buffer in after.items():
        if name in before and before[name].dim() == buffer.dim():
            region = tuple(slice(0, min(sizes)) for sizes in zip(before[name].shape, buffer.shape, strict=True))
            buffer[region] = before[name][region].to(buffer.device)


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

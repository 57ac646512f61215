"""What a network of a user's own brings with it: weights from a file, and parts that are not to learn any more.

Stands between the configuration, ``network: {weights: FILE.safetensors, freeze: [PATTERN, …]}``, and the module that
``network_user.py`` makes: each new module is given the weights, and is told what of it is frozen. Weights come from
safetensors files only, which hold numbers and nothing that could be run, as a pickle could.
"""

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.errors import NetworkInvalid

WEIGHTS, FREEZE = "weights", "freeze"
"""Arguments of ``network`` that are not the module's own."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What is known of a module before anything is learned.

    Attributes
    ----------
    kind
        Whose, for messages.
    source
        The file of the weights, for messages.
    weights
        Names of parameters and buffers → values; there need not be one for each.
    patterns
        Globs of names of parameters and buffers, or of modules, all within which is then meant.
    """

    kind: str
    source: str = ""
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    patterns: Sequence[str] = ()

    @classmethod
    def of(cls, kind: str, options: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """Return what the arguments of ``network`` say, and those that are for the module.

        Raises
        ------
        NetworkInvalid
            The file cannot be read, or holds what cannot be weights.
        """
        rest = dict(options)
        source, patterns = rest.pop(WEIGHTS, None), rest.pop(FREEZE, ())
        patterns = (patterns,) if isinstance(patterns, str) else patterns
        if not isinstance(patterns, Sequence) or not all(isinstance(each, str) for each in patterns):
            raise NetworkInvalid(f"network.{FREEZE}: {patterns!r} is not a list of names or globs, such as [body.*]")
        if source is None:
            return cls(kind, patterns=tuple(patterns)), rest
        return cls(kind, str(source), _read(source), tuple(patterns)), rest

    def check(self, build: Callable[[int, int], nn.Module], inputs: int, outputs: int) -> None:
        """Refuse weights and patterns that do not fit the modules that `build` makes of these numbers, and of others.

        Raises
        ------
        NetworkInvalid
        """
        modules = [dict(_tensors(build(inputs + i, outputs + o))) for i, o in ((0, 0), (1, 0), (0, 1))]
        held = modules[0]
        for name, given in self.weights.items():
            if name not in held:
                raise NetworkInvalid(f"{self.source}: holds {name}, and {self.kind} has {_nearest(name, held)}")
            if given.dtype.is_floating_point != held[name].dtype.is_floating_point:
                raise NetworkInvalid(f"{self.source}: {name} is {given.dtype}, in {self.kind} {held[name].dtype}")
            self._check_shape(name, given, [tuple(module[name].shape) for module in modules if name in module])
        for pattern in self.patterns:
            if not any(_matches(pattern, name) for name in held):
                raise NetworkInvalid(f"network.{FREEZE}: {pattern} matches nothing; {self.kind} has {_some(held)}")

    def _check_shape(self, name: str, given: Tensor, shapes: Sequence[tuple[int, ...]]) -> None:
        """Refuse a tensor that does not fit shapes of several modules.

        A size that goes with the number of inputs or outputs may be any: there may be more of them later.
        """
        sizes = [set(along) for along in zip(*shapes, strict=True)]
        if given.dim() == len(sizes) and all(
            len(along) > 1 or size in along for along, size in zip(sizes, given.shape, strict=True)
        ):
            return
        wanted = ", ".join("any" if len(along) > 1 else str(along.pop()) for along in sizes)
        raise NetworkInvalid(
            f"{self.source}: {name} is of shape {tuple(given.shape)}, in {self.kind} of shape ({wanted}): give the "
            "module the arguments that it was trained with"
        )

    @torch.no_grad()
    def give_to(self, module: nn.Module) -> None:
        """Put the weights at the beginning of a module's tensors, and freeze what is to be frozen."""
        for name, tensor in _tensors(module):
            self.fill(name, tensor)
        for name, parameter in module.named_parameters():
            if any(_matches(pattern, name) for pattern in self.patterns):
                parameter.requires_grad = False

    def fill(self, name: str, tensor: Tensor) -> None:
        """Put the weights of that name, if there are any, at the beginning of every dimension of a tensor."""
        given = self.weights.get(name)
        if given is not None:
            region = tuple(slice(0, min(sizes)) for sizes in zip(given.shape, tensor.shape, strict=True))
            tensor[region] = given[region].to(tensor)

    def frozen(self, module: nn.Module) -> set[str]:
        """Return the names of parameters and buffers that do not learn, once the module was given to."""
        found = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
        found |= {
            name for name, _ in module.named_buffers() if any(_matches(pattern, name) for pattern in self.patterns)
        }
        for prefix, part in module.named_modules():
            if _rests(prefix, part, found):
                found |= {_joined(prefix, name) for name, _ in part.named_buffers()}
        return found


def resting(module: nn.Module, frozen: set[str]) -> list[nn.Module]:
    """Return the parts of a module that are frozen altogether: they run as when answering, random layers included."""
    return [part for prefix, part in module.named_modules() if _rests(prefix, part, frozen)]


def without_weights(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``network`` without files of weights: what has learned since is told by its state."""
    found = {name: value for name, value in options.items() if name != WEIGHTS}
    experts = found.get("experts")
    if isinstance(experts, Sequence) and not isinstance(experts, str):
        found["experts"] = [without_weights(each) if isinstance(each, Mapping) else each for each in experts]
    return found


def _rests(prefix: str, part: nn.Module, frozen: set[str]) -> bool:
    """Return whether nothing in a part learns: no parameter, and where there is none, no buffer."""
    held = [name for name, _ in part.named_parameters()] or [name for name, _ in part.named_buffers()]
    return bool(held) and all(_joined(prefix, name) in frozen for name in held)


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors of parameters and buffers."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def _matches(pattern: str, name: str) -> bool:
    """Return whether a pattern matches a name, or that of a module around it."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))


def _read(source: Any) -> dict[str, Tensor]:
    """Return what is in a file of weights."""
    path = Path(str(source)).expanduser()
    if not path.is_file():
        raise NetworkInvalid(f"network.{WEIGHTS}: {source}: there is no such file (paths are relative to {Path.cwd()})")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise NetworkInvalid(
            f"network.{WEIGHTS}: {source}: is not read as safetensors ({error}); pickles are not read at all: write it "
            "with safetensors.torch.save_file(module.state_dict(), FILE)"
        ) from None
    if not weights:
        raise NetworkInvalid(f"network.{WEIGHTS}: {source}: holds nothing")
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NetworkInvalid(f"network.{WEIGHTS}: {source}: {name} holds what is not a finite number")
    return weights


def _nearest(name: str, known: Mapping[str, Tensor]) -> str:
    """Return words for a name that is not known."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"no such name; did you mean {near[0]}?" if near else f"no such name; it has {_some(known)}"


def _some(known: Mapping[str, Tensor], most: int = 12) -> str:
    """Return names, not too many."""
    names = sorted(known, key=lambda name: (-math.prod(known[name].shape), name))
    more = len(names) - most
    return ", ".join(sorted(names[:most])) + (f" and {more} more" if more > 0 else "")

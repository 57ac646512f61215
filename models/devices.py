"""Where to compute, and what its failures are called."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray

from models.errors import DeviceFailed, DeviceLost, DeviceOutOfMemory, LearnerOptionsInvalid

FAILURES: tuple[type[Exception], ...] = (
    getattr(torch, "AcceleratorError", torch.OutOfMemoryError),
    torch.OutOfMemoryError,
)
"""What PyTorch raises for an accelerator's failures; older ones, and some libraries, know only RuntimeErrors."""

_WORDS = ("CUDA", "cuBLAS", "CUBLAS", "cuDNN", "CUDNN")  # in messages of RuntimeErrors that are the accelerator's

_OUT_OF_MEMORY = ("out of memory", "ALLOC_FAILED")
"""In messages of what the accelerator's libraries raise where they find no memory themselves."""

_LOST = (
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "device-side assert",
    "unspecified launch failure",
    "launch timed out",
    "hardware stack error",
    "invalid program counter",
    "not supported on global/shared address space",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "context is destroyed",
    "GPU is lost",
    "device is lost",
)
"""In messages of errors after which CUDA says that the process must end and start anew."""


def choose_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is CUDA where there is one, and otherwise the CPU.

    Raises
    ------
    LearnerOptionsInvalid
        There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise LearnerOptionsInvalid(f"device: {name!r} is not known; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise LearnerOptionsInvalid(f"device: {name!r} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise LearnerOptionsInvalid(
            f"device: {name!r} is not there ({torch.cuda.device_count()} CUDA devices); use auto"
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on a device; the host does not wait for it. On the CPU it may be the same memory."""
    if not array.flags.writeable or not array.flags.c_contiguous:
        array = array.copy()
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.to(device, non_blocking=True)


@contextmanager
def device_errors() -> Iterator[None]:
    """Raise what an accelerator's failures are to the service: :class:`DeviceFailed` or one of its kinds."""
    try:
        yield
    except FAILURES as error:
        raise _named(error) from error
    except RuntimeError as error:
        if any(word in str(error) for word in _WORDS):
            raise _named(error) from error
        raise


def _named(error: Exception) -> DeviceFailed:
    """Return an accelerator's failure under the name that it has here."""
    message = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(words in message for words in _OUT_OF_MEMORY):
        return DeviceOutOfMemory(f"out of device memory: {message}")
    if any(words in message for words in _LOST):
        return DeviceLost(f"the accelerator is lost to this process: {message}")
    return DeviceFailed(f"the accelerator failed: {message}")


def release_memory(error: BaseException) -> None:
    """Let go of what failed computations still hold on an accelerator: the frames that `error` came through."""
    found: BaseException | None = error
    while found is not None:
        traceback.clear_frames(found.__traceback__)
        found = found.__cause__
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # PyTorch left its types out
        torch.cuda.empty_cache()


def memory_held(device: torch.device) -> int:
    """Return the bytes that are held on an accelerator; 0 on the CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that were ever held on an accelerator by this process; 0 on the CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def wait_for_device() -> None:
    """Wait until an accelerator that is in use has done its work: learning returns before."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # PyTorch left its types out
        torch.cuda.synchronize()


def describe_device(name: str) -> str:
    """Return what a device is called by who made it; ``CPU`` for the CPU.

    Raises
    ------
    LearnerOptionsInvalid
        There is no such device here.
    """
    device = choose_device(name)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"

"""What goes wrong on an accelerator gets the names by which the service falls back, and nothing else does."""

import numpy as np
import pytest
import torch

from models.devices import choose_device, device_errors, memory_held, to_device
from models.errors import DeviceFailed, DeviceLost, DeviceOutOfMemory


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), DeviceOutOfMemory),
        (torch.AcceleratorError("CUDA error: out of memory"), DeviceOutOfMemory),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), DeviceOutOfMemory),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), DeviceLost),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), DeviceLost),
        (RuntimeError("CUDA error: device-side assert triggered"), DeviceLost),
        (torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"), DeviceFailed),
        (RuntimeError("cuBLAS error: CUBLAS_STATUS_EXECUTION_FAILED"), DeviceFailed),
        (RuntimeError("shapes cannot be multiplied"), RuntimeError),
        (ValueError("CUDA"), ValueError),
    ],
    ids=str,
)
def test_failures_get_their_names(raised: Exception, expected: type[Exception]) -> None:
    """The online learner would not take over; or it would, from a bug."""
    with pytest.raises(expected) as caught, device_errors():
        raise raised
    assert type(caught.value) is expected


def test_auto_is_what_there_is() -> None:
    """A machine without an accelerator could not run the service as it comes."""
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert memory_held(torch.device("cpu")) == 0


def test_read_only_arrays_are_copied() -> None:
    """PyTorch would warn of each microbatch whose arrays may not be written to."""
    array = np.arange(3.0)
    array.flags.writeable = False
    assert to_device(array, torch.device("cpu")).tolist() == [0.0, 1.0, 2.0]
    assert to_device(np.arange(6.0)[::-2], torch.device("cpu")).tolist() == [5.0, 3.0, 1.0]

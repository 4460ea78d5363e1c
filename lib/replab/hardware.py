"""What this machine has: cores, their name, devices, native bfloat16."""

import platform
import re
import shutil
from pathlib import Path

from replab.cores import available_cores
from replab.errors import UserError
from replab.recipe import nearest

DEVICE_CLASSES = ("cpu", "cuda", "mps")
_CPUINFO = Path("/proc/cpuinfo")


def device_class(device: str) -> str:
    """`cpu`, `cuda` or `mps` of a device string such as `cuda:1`.

    Raises:
        UserError: the device is of no known class.
    """
    kind, colon, number = device.partition(":")
    if kind not in DEVICE_CLASSES or (colon and not number.isdecimal()):
        raise UserError(
            f"no device {device!r}{nearest(kind, DEVICE_CLASSES)}; there are: auto, "
            f"{', '.join(DEVICE_CLASSES)}"
        )
    return kind


def cpu_name() -> str:
    """The processor's name and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    if _CPUINFO.is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE)
        name = match.group(1) if match else name
    return f"{' '.join(name.split())}, {available_cores()} cores"


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver is installed: without one, no CUDA GPU can be used."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()


def native_precision(device: str) -> str:
    """`bf16` where the device multiplies bfloat16 in hardware, else `fp32`.

    On a CPU, as Linux reports its instructions; emulated bfloat16 is slower than float32.
    """
    if device.startswith("cuda"):
        import torch

        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if device == "cpu" and _CPUINFO.is_file():
        flags = re.search(r"^flags\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE)
        words = set(flags.group(1).split()) if flags else set()
        return "bf16" if words & {"avx512_bf16", "amx_bf16"} else "fp32"
    return "fp32"

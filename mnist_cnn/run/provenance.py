"""Where a number comes from: the machine, the packages, the commit."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def machine(device: torch.device) -> dict[str, Any]:
    """The processor, its cores in use, and the device."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"processor": name, "threads": torch.get_num_threads(), "device": device_name}


def versions() -> dict[str, str]:
    """Python and the packages that a result may depend on."""
    packages = ("torch", "torchvision", "albumentations", "opencv-python-headless", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def git_commit() -> str | None:
    """The commit of this checkout, with "+changes" if it is not clean; None outside a checkout."""
    folder = Path(__file__).parent
    code = (":/", ":(top,exclude)benchmarks/*.json")  # everything but what benchmarks write
    try:
        commit, changes = (
            subprocess.run(
                ["git", *command], cwd=folder, check=True, capture_output=True, text=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", *code])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changes else "")

"""What computes a run: device and processes, precision, workers, and who watches."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType

Amp = Literal["bf16", "fp16", "off"]
AMPS: dict[Amp, torch.dtype | None] = {"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}
AMP_NAMES = {str(dtype): name for name, dtype in AMPS.items()}


@dataclass(frozen=True)
class Engine:
    """What computes a run; its result depends on it only by rounding."""

    accelerator: Accelerator  # device and processes
    amp: torch.dtype | None  # of mixed precision; None for full precision
    workers: int  # processes that augment, for each process that trains


def start_engine(
    device: str, amp: Amp | Literal["auto"], workers: int, trackers: Sequence[str], folder: Path
) -> Engine:
    """The engine that the flags `--device`, `--amp`, `--workers` and `--track` ask for.

    Raises:
        ValueError: this machine has no such device, tracker or group of processes.
    """
    _check_trackers(trackers)
    accelerator = Accelerator(
        cpu=_pick_device(device) == "cpu",
        mixed_precision="no",  # precision is ours: the same with and without `accelerate launch`
        log_with=list(trackers) or None,
        project_dir=folder,
    )
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched != accelerator.num_processes:
        raise ValueError(
            f"{launched} processes were launched, but each would train by itself on "
            f"{accelerator.device.type}: pass --device cpu, or launch one"
        )
    return Engine(accelerator, pick_amp(amp, accelerator.device), workers)


def _check_trackers(names: Sequence[str]) -> None:
    known = [str(name) for name in LoggerType.list() if str(name) != "all"]
    here = [str(name) for name in get_available_trackers()]
    for name in names:
        if name not in known:
            raise ValueError(f"unknown tracker {name!r}; choose of {', '.join(known)}")
        if name not in here:
            raise ValueError(f"--track {name} needs its package: pip install {name}")


def _pick_device(name: str) -> str:
    """The kind of a device; of several GPUs, the one that was named becomes the current one."""
    if name == "auto":  # without a GPU, processes must be told so, or each would train by itself
        return name if torch.accelerator.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used here: {error}".splitlines()[0]) from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"unknown device {name!r}; choose one of auto, cpu, cuda, cuda:N, mps")
    return device.type


def pick_amp(name: Amp | Literal["auto"], device: torch.device) -> torch.dtype | None:
    """The dtype of mixed precision, None for full precision.

    "auto" is bf16 where the hardware multiplies in it (CPUs with AVX512-BF16 or AMX, GPUs since
    Ampere), fp16 on older GPUs, off elsewhere: emulated bf16 is slower than fp32.
    """
    if name != "auto":
        return AMPS[name]
    if device.type == "cuda":
        new = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if new else torch.float16
    if device.type == "cpu":
        can = torch.cpu.get_capabilities()
        return torch.bfloat16 if can.get("avx512_bf16") or can.get("amx_bf16") else None
    return None

"""Where a cell computes, and in what precision: the one place that knows of devices.

``rank`` and ``world`` say which slice of each step's pictures this process takes; process_group.py starts several.
"""

import contextlib
import importlib.util
import os
import platform
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from sslbench.errors import UserError
from sslbench.nn.backbone import Backbone
from sslbench.nn.bf16_conv_workaround import avoid_wrong_gradients


class Device:
    """One device, set up for one cell's ``train`` settings. Made by ``computing``."""

    def __init__(self, name: str, train: dict, rank: int = 0, world: int = 1) -> None:
        self.torch = torch.device(name)
        self.rank, self.world = rank, world
        self.cuda = self.torch.type == "cuda"
        self.bf16 = train["precision"] == "bf16"
        self.memory_format = torch.channels_last if train["channels_last"] else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.torch.type, dtype=torch.bfloat16, enabled=self.bf16)

    def place(self, module: nn.Module) -> nn.Module:
        if self.bf16 and not self.cuda:
            avoid_wrong_gradients(module)
        return module.to(device=self.torch, memory_format=self.memory_format)

    def send(self, tensor: Tensor) -> Tensor:
        """``tensor``, which lies on the CPU, on the device; the host does not wait for the copy."""
        return (tensor.pin_memory() if self.cuda else tensor).to(self.torch, non_blocking=True)

    def shard(self, start: int, stop: int) -> tuple[int, int]:
        """This process's part of the pictures [start, stop) of a step."""
        share = (stop - start) // self.world
        return start + self.rank * share, start + (self.rank + 1) * share

    def name(self) -> str:
        if self.cuda:
            return torch.cuda.get_device_name(self.torch)
        return _cpu_name()

    def peak_memory(self) -> dict[str, int | None]:
        """Highest use so far in this process, in bytes. The allocator's figures are None on a CPU."""
        stats = torch.cuda.memory_stats(self.torch) if self.cuda else {}
        return {
            "allocated_bytes": stats.get("allocated_bytes.all.peak"),
            "reserved_bytes": stats.get("reserved_bytes.all.peak"),
            "rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,  # Linux counts in KiB
        }

    def energy_joules(self) -> float | None:
        """The energy counters of the cell's cards, where NVIDIA's library can be asked; differences mean something."""
        if not self.cuda or importlib.util.find_spec("pynvml") is None:
            return None
        import pynvml

        try:
            pynvml.nvmlInit()
            cards = range(self.world) if self.world > 1 else [self.torch]
            uuids = [torch.cuda.get_device_properties(card).uuid for card in cards]
            handles = [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}") for uuid in uuids]
            return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles) / 1000
        except (pynvml.NVMLError, AttributeError):
            return None


def resolved(name: str) -> str:
    """``name``, and for `auto` what there is here."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextlib.contextmanager
def computing(name: str, threads: int, train: dict, rank: int = 0, world: int = 1) -> Iterator[Device]:
    """The device ``cpu``, ``cuda`` or ``cuda:<n>``, with torch's process-wide switches set, and put back afterwards.

    fp32 means IEEE float32 throughout, not TF32. Of ``world`` processes on GPUs, that of ``rank`` has cuda:<rank>.

    Raises:
        UserError: the device is not there, or its name is unknown.
    """
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UserError(f"device is {name!r}; it is cpu, cuda or cuda:<number>")
    if kind == "cuda":
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # read when CUDA starts; deterministic products need it
        if not torch.cuda.is_available():
            raise UserError("device is 'cuda', but torch finds no GPU here; set device: cpu, or run where there is one")
        if torch.device(name).index is not None and torch.device(name).index >= torch.cuda.device_count():
            raise UserError(f"device is {name!r}, but torch finds {torch.cuda.device_count()} GPU(s), counted from 0")
        if world > 1:
            if name != "cuda" or torch.cuda.device_count() < world:
                raise UserError(
                    f"compute.devices is {world}, but device is {name!r}, and torch finds {torch.cuda.device_count()} "
                    "GPU(s) here; lower compute.devices, or give device: cuda where there are as many"
                )
            name = f"cuda:{rank}"
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    before_warn = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.set_num_threads(threads)
    # An operation without a deterministic kernel says so in the log rather than ending a run of hours.
    torch.use_deterministic_algorithms(train["deterministic"], warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a help in debugging that costs time
    try:
        if kind == "cuda":
            with torch.cuda.device(name), _cuda_switches(train):
                torch.cuda.reset_peak_memory_stats()
                yield Device(name, train, rank, world)
        else:
            yield Device(name, train, rank, world)
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before_warn)
        torch.utils.deterministic.fill_uninitialized_memory = fill


@contextlib.contextmanager
def _cuda_switches(train: dict) -> Iterator[None]:
    matmul = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=not train["deterministic"], deterministic=train["deterministic"], allow_tf32=False
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul


def compile_backbones(method: nn.Module, device: Device) -> str | None:
    """Compile every backbone in ``method`` in place; state_dict keys stay. Returns why not, where it cannot be done."""
    if device.world > 1:
        return "compile: not on several devices; going on without"
    if device.cuda and importlib.util.find_spec("triton") is None:
        return "compile: there is no triton here; going on without"
    if not device.cuda and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        return "compile: there is no C++ compiler here; going on without"
    for module in method.modules():
        if isinstance(module, Backbone):
            # The part that both forward() and maps() run.
            module.model.forward_features = torch.compile(module.model.forward_features)
    return None


def _cpu_name() -> str:
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

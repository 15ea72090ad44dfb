"""Where a cell's packed pixels live while it trains: it decides how fast a step is, and changes no bit of a result.

``device``   the whole set in the memory of the device
``pinned``   the whole set in page-locked memory of the host; each step's pictures are sent ahead of it (prefetch.py)
``mapped``   the pack's file, mapped into memory: the system keeps of it what fits; sent ahead in the same way

On a CPU ``device`` and ``pinned`` both mean memory of the process's own. ``mapped`` is what ``auto`` takes there: after
the first epoch the file's pages are in memory as well, and processes that train on one pack share them.
"""

import os
from pathlib import Path

import torch

from sslbench.data.pack import jpeg
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.training.device import Device

DEVICE_SHARE = 0.5  # of the GPU's free memory that `auto` gives to pictures; networks and views need the rest
HOST_SHARE = 0.5  # of the available host memory that `auto` locks


def place(packed: PackedSet, device: Device, wanted: str = "auto") -> str:
    """Bring the pixels of ``packed`` to where ``wanted`` (auto, device, pinned or mapped) says, or where they fit.

    Returns one line that says where they are, why, and how large they are.

    Raises:
        UserError: ``wanted`` is not ``auto`` and there is no room for it.
    """
    size = packed.manifest["bytes"]
    if packed.jpeg:
        return _decoded_by_the_batch(packed, device, size, wanted)
    if wanted == "auto":
        return _automatic(packed, device, size)
    if wanted == "mapped":
        return _mapped(size, "as compute.placement says")
    in_device = wanted == "device" and device.cuda
    free = device_free(device) if in_device else host_available()
    # The processes of one cell's devices have a copy each.
    if (size if in_device or not device.cuda else locked_size(size)) * (1 if in_device else device.world) > free:
        where = f"on the GPU: {_gb(free)} are free there" if in_device else f"in memory: {_gb(free)} are available"
        raise UserError(
            f"compute.placement is {wanted!r}, but the pictures of {packed.folder} are {_gb(size)} and do not fit "
            f"{where}; set compute.placement: auto, or lower the dataset's pack_size"
        )
    if in_device:
        packed.to(device.torch)
        return f"pictures: {_gb(size)} on the GPU (of {_gb(free)} free), as compute.placement says"
    packed.load(pin=device.cuda)
    kind = "page-locked memory" if device.cuda else "memory"
    return f"pictures: {_gb(size)} in {kind} (of {_gb(free)} available), as compute.placement says"


def _decoded_by_the_batch(packed: PackedSet, device: Device, size: int, wanted: str) -> str:
    if wanted in ("device", "pinned"):
        raise UserError(
            f"compute.placement is {wanted!r}, but the pictures of {packed.folder} are packed as JPEGs, which are "
            "decoded by the batch from their file; set compute.placement: auto, or the dataset's encoding: pixels"
        )
    if not device.cuda:
        return _mapped(size, "JPEGs, decoded by the batch on the CPU")
    if not jpeg.usable(device.torch):
        return _mapped(size, "JPEGs, decoded by the batch on the CPU: torchvision cannot decode on this GPU")
    packed.decode_on = device.torch
    return _mapped(size, "JPEGs, decoded by the batch on the GPU")


def _automatic(packed: PackedSet, device: Device, size: int) -> str:
    if not device.cuda:
        return _mapped(size, "training on the CPU")
    free = device_free(device)
    if size <= DEVICE_SHARE * free:
        packed.to(device.torch)
        return f"pictures: {_gb(size)} on the GPU (of {_gb(free)} free)"
    more = f"more than {DEVICE_SHARE:.0%} of the GPU's free {_gb(free)}"
    available = host_available()
    if device.world * locked_size(size) > HOST_SHARE * available:
        limit = f"{HOST_SHARE:.0%} of the host's available {_gb(available)}"
        return _mapped(size, f"{more}; page-locked they would take {_gb(locked_size(size))}, more than {limit}")
    try:
        packed.load(pin=True)
    except RuntimeError as error:  # what may be locked can be less than what is free
        return _mapped(size, f"{more}; locking memory failed: {str(error).partition(chr(10))[0]}")
    return f"pictures: {_gb(size)} in page-locked memory (of {_gb(available)} available; {more})"


def _mapped(size: int, why: str) -> str:
    return f"pictures: {_gb(size)} mapped from the pack's file ({why})"


def locked_size(size: int) -> int:
    """What torch takes for ``size`` page-locked bytes: the next power of two."""
    return 1 << (size - 1).bit_length()


def device_free(device: Device) -> int:
    """Free bytes on the GPU, what torch holds in reserve for this process included."""
    reserve = torch.cuda.memory_reserved(device.torch) - torch.cuda.memory_allocated(device.torch)
    return torch.cuda.mem_get_info(device.torch)[0] + reserve


def host_available(root: Path = Path("/")) -> int:
    """Bytes that this process can take without swapping: by the machine's account and by its control groups'.

    Where the machine keeps no such account: half of its memory.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
        own = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    group = next((line[3:] for line in own if line.startswith("0::")), "/")
    folder = root / "sys/fs/cgroup" / group.lstrip("/")
    for ancestor in (folder, *folder.parents):  # a limit on any of them binds
        try:
            limit = int((ancestor / "memory.max").read_text())
            used = int((ancestor / "memory.current").read_text())
            stat = dict(line.split() for line in (ancestor / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # not a group, or "max": no limit
            continue
        found.append(max(0, limit - used + int(stat.get("file", 0))))  # its share of the page cache can be dropped
    return min(found, default=0)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.2g} MB"

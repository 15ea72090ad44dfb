"""Peak memory of a short SimCLR training: sslbench's against lightly's way, each in processes of its own.

    python -m benchmarks.memory --size 64 --batch 128                  # CPU: memory of the process and its workers
    python -m benchmarks.memory --device cuda --size 224 --batch 256   # GPU: torch's allocated and reserved bytes too

Same pictures, backbone, head, batch, size and precision. lightly's arm is its SimCLRTransform, torchvision's
ImageFolder and a DataLoader with workers. On the CPU a process is charged for its share of what it shares with others
(PSS), read every 20 ms over the whole tree of processes, less what it was when all imports were done; sslbench's
memory-mapped pictures count. The peak of each of the repeated processes is one value.
"""

import json
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from benchmarks import bench

ROOT = Path(__file__).resolve().parent.parent
OURS, LIGHTLY = "sslbench", "lightly's way"
EVERY = 0.02  # s between two looks


def shared_out(process: int) -> int:
    """Bytes of a process and its descendants, memory shared among several divided by how many share it (PSS)."""
    total = 0
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total = int(line.split()[1]) * 1024
    except OSError:  # it ended
        return 0
    return total + sum(shared_out(child) for child in bench.children(process))


def peak(arm: str, options, folder: Path) -> dict[str, float]:
    """Run one arm in a process of its own; bytes at its peak, by what they count."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    command = [
        sys.executable,
        "-m",
        "benchmarks.memory",
        "--arm",
        arm,
        "--options",
        json.dumps(plain | {"at": str(folder)}),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        if child.stdout.readline() != "ready\n":
            raise bench.Skipped(f"{arm} did not start; see above")
        imported = highest = shared_out(child.pid)
        child.stdin.write("go\n")
        child.stdin.flush()
        while child.poll() is None:
            highest = max(highest, shared_out(child.pid))
            time.sleep(EVERY)
        if child.returncode:
            raise RuntimeError(f"the {arm} arm ended with {child.returncode}")
        found = json.loads(child.stdout.read())
    return {"bytes": max(highest - imported, 1), "bytes with imports": highest} | found


def ready() -> None:
    """Imports are done: tell the parent, and wait until it has looked."""
    print("ready", flush=True)
    sys.stdin.readline()


def train_ours(options: dict) -> None:
    import torch

    from benchmarks.cells import settings_of
    from sslbench.data.pack.read import PackedSet
    from sslbench.nn.backbone import Backbone
    from sslbench.training.device import computing
    from sslbench.training.monitor.ledger import Ledger
    from sslbench.training.trainer import Training

    settings = settings_of(
        "simclr", options["size"], options["batch"], options["precision"], backbone=options["backbone"]
    )
    import_module("sslbench.methods.simclr.model")
    Backbone(options["backbone"])  # what it imports belongs to the imports, too
    ready()
    with computing(options["device"], options["threads"], settings["train"]) as device:
        pictures = PackedSet.open(Path(options["at"]) / "pack")
        if device.cuda:
            pictures.to(device.torch)
        training = Training(settings, pictures, device, Ledger(device, options["threads"]))
        for _ in range(options["steps"]):
            training.advance()
    report(torch, options)


def train_theirs(options: dict) -> None:
    import timm
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    timm.create_model(options["backbone"], num_classes=0)  # what it imports belongs to the imports, too
    ready()
    torch.set_num_threads(options["threads"])
    device, bf16 = torch.device(options["device"]), options["precision"] == "bf16"
    folder = ImageFolder(Path(options["at"]) / "pictures" / "train", SimCLRTransform(input_size=options["size"]))
    loader = DataLoader(
        folder,
        options["batch"],
        shuffle=True,
        drop_last=True,
        num_workers=options["workers"],
        persistent_workers=options["workers"] > 0,
        pin_memory=device.type == "cuda",
    )
    backbone = timm.create_model(options["backbone"], num_classes=0)
    model = torch.nn.Sequential(backbone, SimCLRProjectionHead(backbone.num_features, 2048, 128))
    model = model.to(device, memory_format=torch.channels_last)
    criterion, optimizer = NTXentLoss(), torch.optim.SGD(model.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)
    done = 0
    while done < options["steps"]:
        for views, _ in loader:
            x0, x1 = (x.to(device, memory_format=torch.channels_last) for x in views)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = criterion(model(x0), model(x1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done == options["steps"]:
                break
    report(torch, options)


def report(torch, options: dict) -> None:
    found = {}
    if options["device"].startswith("cuda"):
        found["bytes of GPU allocated"] = torch.cuda.max_memory_allocated()
        found["bytes of GPU reserved"] = torch.cuda.max_memory_reserved()
    print(json.dumps(found), flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = bench.parser(__doc__)
    parser.add_argument("--size", type=int, default=64, help="px")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4, help="of training, default 4")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--backbone", default="resnet18", help="timm name")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="of lightly's DataLoader")
    parser.add_argument("--arm", choices=(OURS, LIGHTLY), help="for the processes that this one starts")
    parser.add_argument("--options", type=json.loads, help="as --arm")
    options = parser.parse_args(arguments)
    if options.arm:
        return (train_ours if options.arm == OURS else train_theirs)(options.options)
    if options.quick:
        options.size, options.batch, options.backbone, options.steps = 32, 32, "test_resnet", 2
    from benchmarks.cells import drawn_pictures, packed

    claim = (
        f"peak memory of training: SimCLR, {options.backbone}, {options.size} px, batch {options.batch}, "
        f"{options.precision}, {options.device}, {options.steps} steps, over the imports' own"
    )
    table, peaks = bench.Table(claim, "run"), {OURS: [], LIGHTLY: []}
    if not Path("/proc/self/smaps_rollup").exists():
        table.skip(OURS, "memory is read from /proc, which only Linux has")
    else:
        with tempfile.TemporaryDirectory(prefix="sslbench-") as folder:
            pictures = drawn_pictures(Path(folder, "pictures"), 3 * options.batch, 160)
            packed(pictures, Path(folder), 160)
            for round_ in range(options.repeats):
                for arm in bench.rotated(list(peaks), round_):
                    peaks[arm].append(peak(arm, options, Path(folder)))
        for arm, found in peaks.items():
            table.add(arm, {measure: [one[measure] for one in found] for measure in found[0]})
        table.compare(OURS, LIGHTLY, 1.0)
    bench.finish(options, [table], ["torch", "torchvision", "timm", "lightly"])


if __name__ == "__main__":
    main()

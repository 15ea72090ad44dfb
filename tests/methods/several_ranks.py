"""Two steps of every method in float64 on one process or several: what test_several_devices.py compares.

As a program, ``several_ranks.py WORLD PORT FOLDER CASE...`` is all of the processes, and each writes what it found in
these cases to FOLDER/RANK.pt.
"""

import multiprocessing.connection
import sys
from types import SimpleNamespace

import lightning_fabric  # noqa: F401 - before the processes part, or each would import it
import torch
from timm.models.resnet import BasicBlock
from torch import Tensor

from sslbench import registry
from sslbench.methods.base import Batch, Method
from sslbench.nn import distributed
from sslbench.nn.backbone import Backbone
from sslbench.nn.sync_batchnorm import synchronise
from sslbench.training.checkpoint import module_state
from sslbench.training.optimizers import momentum_parameters, update_momentum
from sslbench.training.process_group import average_gradients, joined
from tests.methods.method_batches import make_batch
from tests.methods.test_every_method import LEARNED, facts, small_options, variants

SIZE, BATCH, STEPS = 32, 8, 2
# Few norms, since each exchanges its statistics. A map of 4 x 4.
FEW_NORMS = {"block": BasicBlock, "channels": (8, 8, 8, 8), "stem_type": "", "output_stride": 8}
NARROW = {"test_resnet": FEW_NORMS, "test_vit": {"embed_dim": 24, "depth": 2, "num_heads": 3}}
TASKS = {"rotation": {"turns": "one"}, "dcl": {"tiles": 2, "reach": 1}, "lorot": {}}


class Case(SimpleNamespace):
    method: str
    options: dict
    tasks: dict
    backbone: str
    accumulate: int


def case(method: str, backbone: str | None = None, tasks: dict | None = None, accumulate: int = 1, **options) -> Case:
    usual = "test_vit" if facts(method).backbones == "vit" else "test_resnet"
    groups = {"statistics_group": 4} if method == "moco" else {}  # of which each process has one
    options = small_options(method) | groups | options
    return Case(method=method, options=options, tasks=tasks or {}, backbone=backbone or usual, accumulate=accumulate)


# Forms whose parts pass between processes in one way stand here once.
ONCE = ("simclr", "moco", "swav", "lorot")
CASES = {
    f"{name}-{i}": case(name, **options)
    for name in LEARNED
    if facts(name).several_devices
    for i, options in enumerate(variants(name)[: 1 if name in ONCE else None])
} | {
    "moco-shuffle": case("moco", statistics_group=2, queue=12, symmetric=True),
    "moco-split": case("moco", statistics_group=2, key_batch_norm="split", queue=20),
    "moco-plain": case("moco", key_batch_norm="plain", queue=16),
    "swav-queue-local": case("swav", queue_length=8, queue_start_epoch=0, local_views=2),
    "swav-accumulated": case("swav", accumulate=2, queue_length=6, queue_start_epoch=0),
    "dino-accumulated": case("dino", accumulate=2, local_views=1),
    "vicregl-authors": case(
        "vicregl", form="paper", local_norm="batch", pair_order="position", all_feature_matches=True
    ),
    "rotation-one": case("rotation", turns="one"),
    "dcl-code": case("dcl", variant="code"),
    "simclr-tasks": case("simclr", tasks=TASKS),
    "moco-tasks": case("moco", tasks={"rotation": {}, "lorot": {"variant": "explicit"}}, statistics_group=2),
    "simclr-vit": case("simclr", "test_vit"),
    "barlowtwins-efficientnet": case("barlowtwins", "test_efficientnet"),  # timm's batch norm with its activation in it
}


def built(it: Case) -> Method:
    package = (registry.METHODS | registry.REFERENCES)[it.method]
    defaults = registry.load(f"{package}.settings").Settings().model_dump(mode="json", exclude={"recipe"})
    torch.manual_seed(0)
    backbone = Backbone(it.backbone, NARROW.get(it.backbone, {}), SIZE)
    model = registry.load(f"{package}.model").Model(backbone, defaults | it.options, SIZE)
    model.input_size = SIZE
    if it.tasks:
        of = {name: registry.load(f"{registry.PRETEXT[name]}.settings").Settings(**o) for name, o in it.tasks.items()}
        tasks = {name: settings.model_dump(mode="json") for name, settings in of.items()}
        model = registry.load("sslbench.methods.with_auxiliary").WithAuxiliary(model, tasks, SIZE)
        model.input_size = SIZE
    return model.double().train()


def share(batch: Batch, part: slice) -> Batch:
    """This process's share of one part of the batch, in float64."""
    views = []
    for view in batch.views:
        places = None if view.locations is None else distributed.mine(view.locations[part].double())
        views.append(SimpleNamespace(images=distributed.mine(view.images[part].double()), locations=places))
    labels = None if batch.labels is None else distributed.mine(batch.labels[part])
    return Batch(views, labels, batch.epoch, batch.step, batch.total_steps)


def trained(it: Case) -> list[dict[str, dict[str, Tensor]]]:
    """Of each step: the parts of the loss, all gradients, and then all parameters and buffers."""
    model = built(it)
    model.check_pictures(10_000, BATCH // it.accumulate, distributed.world())
    if distributed.world() > 1:
        synchronise(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.02, momentum=0.9)
    online, momentum = momentum_parameters(model.momentum_pairs())
    found = []
    for step in range(STEPS):
        known = torch.tensor([0, 1, 2, -1, 3, -1, -1, 2]) if it.method == "supervised" else None
        batch = make_batch(model, BATCH, seed=step, labels=known)
        batch.step = batch.epoch = step
        torch.manual_seed(100 + step)
        model.before_step(step, step)
        parts: dict[str, Tensor] = {}
        for number in range(it.accumulate):
            rows = slice(number * BATCH // it.accumulate, (number + 1) * BATCH // it.accumulate)
            losses = model.loss(share(batch, rows))
            (losses["loss"].sum() / it.accumulate).backward()
            parts |= {f"{name}-{number}": value.detach().double() for name, value in losses.items()}
            parts[f"features-{number}"] = distributed.gathered(model.last_features)
        if distributed.world() > 1:
            average_gradients(model.parameters())
        model.after_backward(step, step)
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        optimizer.step()
        optimizer.zero_grad()
        if momentum:
            update_momentum(online, momentum, 0.9)
        state = {name: value.clone() for kind in module_state(model).values() for name, value in kind.items()}
        found.append({"parts": parts, "gradients": gradients, "state": state})
    return found


def work(rank: int, world: int, port: int, folder: str, names: list[str]) -> None:
    torch.set_num_threads(1)
    with joined(rank, world, cuda=False, port=port):
        torch.save({name: trained(CASES[name]) for name in names}, f"{folder}/{rank}.pt")


if __name__ == "__main__":
    ranks, meet = map(int, sys.argv[1:3])
    told = (ranks, meet, sys.argv[3], sys.argv[4:])
    fork = multiprocessing.get_context("fork")  # torch is imported once, and has started no thread yet
    # daemon: gone with this process, which ends at the first failure; the others would wait for the one that failed.
    processes = [fork.Process(target=work, args=(rank, *told), daemon=True) for rank in range(ranks)]
    for process in processes:
        process.start()
    while alive := [process for process in processes if process.exitcode is None]:
        multiprocessing.connection.wait([process.sentinel for process in alive])
        if any(process.exitcode for process in processes):
            break
    sys.exit(any(process.exitcode for process in processes))

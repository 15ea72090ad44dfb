"""lightly's arm: nine methods as its ImageNette benchmark assembles them. Nothing here is sslbench's.

Source: docs/source/getting_started/benchmarks/imagenette_benchmark.py of lightly at e8d317fc. Networks, heads, losses,
optimisers, rates and the order within a step are its own. Three things follow from the short run, in both arms: a
schedule moves with every step, since these few steps are about as many as its 200 epochs; a warm-up has the share of
the run that it has there; and MoCo's bank holds the share of the training images that it holds there.
"""

import copy

import torch
import torchvision
from lightly.loss import (
    BarlowTwinsLoss,
    DINOLoss,
    NegativeCosineSimilarity,
    NTXentLoss,
    SwaVLoss,
    VICRegLLoss,
    VICRegLoss,
)
from lightly.models.modules import heads
from lightly.models.utils import batch_shuffle, batch_unshuffle, deactivate_requires_grad, update_momentum
from lightly.utils.lars import LARS
from lightly.utils.scheduler import CosineWarmupScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from benchmarks.quality_against_lightly.images import Batches


class Theirs(nn.Module):
    """torchvision's ResNet-18 without its classifier, under SGD unless a method says otherwise."""

    rate, scaled = 0.06, True  # at a batch of 256

    def __init__(self) -> None:
        super().__init__()
        layers = list(torchvision.models.resnet18().children())[:-1]
        self.backbone = nn.Sequential(*layers, nn.Flatten(1))  # [n, 3, s, s] -> [n, 512]

    def loss(self, views: list[Tensor], epoch: int) -> Tensor:
        raise NotImplementedError

    def optimizer(self, batch: int, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
        rate = self.rate * (batch / 256 if self.scaled else 1)
        optimizer = torch.optim.SGD(self.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
        return optimizer, CosineAnnealingLR(optimizer, steps)


class SimCLR(Theirs):
    def __init__(self) -> None:
        super().__init__()
        self.projection, self.criterion = heads.SimCLRProjectionHead(512, 512, 128), NTXentLoss()

    def loss(self, views: list[Tensor], epoch: int) -> Tensor:
        return self.criterion(*(self.projection(self.backbone(x)) for x in views))


class BarlowTwins(SimCLR):
    def __init__(self) -> None:
        super().__init__()
        self.projection, self.criterion = heads.BarlowTwinsProjectionHead(512, 2048, 2048), BarlowTwinsLoss()


class VICReg(SimCLR):
    warmup = 20 / 200  # of the run

    def __init__(self) -> None:
        super().__init__()
        self.projection, self.criterion = heads.BarlowTwinsProjectionHead(512, 2048, 2048), VICRegLoss()

    def optimizer(self, batch: int, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
        optimizer = LARS(self.parameters(), lr=0.3 * batch / 256, weight_decay=1e-4, momentum=0.9)
        return optimizer, CosineWarmupScheduler(optimizer, round(self.warmup * steps), steps)


class VICRegL(VICReg):
    warmup = 10 / 200

    def __init__(self) -> None:
        super().__init__()
        self.local = heads.VicRegLLocalProjectionHead(512, 128, 128)
        self.criterion = VICRegLLoss(num_matches=(16, 4))

    def loss(self, views: list[Tensor], epoch: int) -> Tensor:
        views, grids = views[: len(views) // 2], views[len(views) // 2 :]
        *body, pool, flat = self.backbone
        found = []
        for x in views:
            for layer in body:
                x = layer(x)
            found.append((self.projection(flat(pool(x))), self.local(x.permute(0, 2, 3, 1))))
        return self.criterion(
            global_view_features=found, global_view_grids=grids, local_view_features=[], local_view_grids=[]
        )


class SimSiam(Theirs):
    scaled = False

    def __init__(self) -> None:
        super().__init__()
        self.projection = heads.SimSiamProjectionHead(512, 2048, 2048)
        self.prediction = heads.SimSiamPredictionHead(2048, 512, 2048)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, views: list[Tensor], epoch: int) -> Tensor:
        z0, z1 = (self.projection(self.backbone(x)) for x in views)
        p0, p1 = self.prediction(z0), self.prediction(z1)
        return 0.5 * (self.criterion(z0.detach(), p1) + self.criterion(z1.detach(), p0))


class BYOL(Theirs):
    def __init__(self) -> None:
        super().__init__()
        self.projection = heads.BYOLProjectionHead(512, 4096, 256)
        self.prediction = heads.BYOLPredictionHead(256, 4096, 256)
        self.momentum = frozen_copies(self.backbone, self.projection)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, views: list[Tensor], epoch: int) -> Tensor:
        follow(self.momentum, self.backbone, self.projection)
        p0, p1 = (self.prediction(self.projection(self.backbone(x))) for x in views)
        z0, z1 = (self.momentum(x).detach() for x in views)
        return 0.5 * (self.criterion(p0, z1) + self.criterion(p1, z0))


class MoCo(Theirs):
    def __init__(self, bank: int) -> None:
        super().__init__()
        self.projection = heads.MoCoProjectionHead(512, 2048, 128)
        self.momentum = frozen_copies(self.backbone, self.projection)
        self.criterion = NTXentLoss(temperature=0.1, memory_bank_size=(bank, 128))

    def loss(self, views: list[Tensor], epoch: int) -> Tensor:
        follow(self.momentum, self.backbone, self.projection)
        x0, x1 = views
        return 0.5 * (self.one_way(x0, x1) + self.one_way(x1, x0))

    def one_way(self, x0: Tensor, x1: Tensor) -> Tensor:
        shuffled, order = batch_shuffle(x1)
        query = self.projection(self.backbone(x0))
        return self.criterion(query, batch_unshuffle(self.momentum(shuffled), order))


class SwAV(Theirs):
    def __init__(self) -> None:
        super().__init__()
        self.projection = heads.SwaVProjectionHead(512, 2048, 128)
        self.prototypes, self.criterion = heads.SwaVPrototypes(128, 3000), SwaVLoss()

    def loss(self, views: list[Tensor], epoch: int) -> Tensor:
        self.prototypes.normalize()
        z = (self.projection(self.backbone(x)) for x in views)
        scores = [self.prototypes(nn.functional.normalize(each, dim=1)) for each in z]
        return self.criterion(scores[:2], scores[2:])

    def optimizer(self, batch: int, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3 * batch / 256, weight_decay=1e-6)
        return optimizer, CosineAnnealingLR(optimizer, steps)


class DINO(Theirs):
    def __init__(self) -> None:
        super().__init__()
        self.head, teacher_head = (
            heads.DINOProjectionHead(512, 2048, 256, 2048, batch_norm=True) for _ in range(2)
        )  # the teacher's starts from weights of its own
        self.teacher = nn.Sequential(copy.deepcopy(self.backbone), teacher_head)
        deactivate_requires_grad(self.teacher)
        self.criterion = DINOLoss(output_dim=2048)

    def loss(self, views: list[Tensor], epoch: int) -> Tensor:
        follow(self.teacher, self.backbone, self.head)
        teacher = [self.teacher(x) for x in views[:2]]
        return self.criterion(teacher, [self.head(self.backbone(x)) for x in views], epoch=epoch)


METHODS: dict[str, type[Theirs]] = {
    "barlowtwins": BarlowTwins,
    "byol": BYOL,
    "dino": DINO,
    "moco": MoCo,
    "simclr": SimCLR,
    "simsiam": SimSiam,
    "swav": SwAV,
    "vicreg": VICReg,
    "vicregl": VICRegL,
}


def frozen_copies(*modules: nn.Module) -> nn.Sequential:
    copies = nn.Sequential(*copy.deepcopy(modules))
    deactivate_requires_grad(copies)
    return copies


def follow(slow: nn.Sequential, *modules: nn.Module) -> None:
    for module, following in zip(modules, slow, strict=True):
        update_momentum(module, following, 0.99)


def start(seed: int) -> nn.Module:
    """The network that every method of this arm starts from at ``seed``."""
    torch.manual_seed(seed)
    return Theirs().backbone.to(memory_format=torch.channels_last)


def train(method: str, batches: Batches, batch: int, bank: int, seed: int) -> tuple[nn.Module, list[float]]:
    """The trained backbone, and the loss of each epoch."""
    torch.manual_seed(seed)
    model = (MoCo(bank) if method == "moco" else METHODS[method]()).train().to(memory_format=torch.channels_last)
    optimizer, scheduler = model.optimizer(batch, len(batches))
    losses: dict[int, list[float]] = {}
    for epoch, views in batches:
        views = [x.contiguous(memory_format=torch.channels_last) for x in views]
        loss = model.loss(views, epoch).sum()  # SwaVLoss and VICRegLLoss have shape [1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.setdefault(epoch, []).append(loss.item())
    return model.backbone, [sum(each) / len(each) for each in losses.values()]

"""MoCo's options and recipe, and their sources.

Authors: the papers (version 2: Chen et al. 2020, arXiv 2003.04297); version 1 is head: linear, temperature: 0.07.
"""

from typing import Annotated, Literal

from pydantic import Field

from sslbench.methods.spec import MethodFacts, MethodSettings, MomentumRecipe, Source, Temperature, Width

FACTS = MethodFacts(
    title="MoCo",
    family="contrastive",
    paper="He, Fan, Wu, Xie, Girshick, CVPR 2020, arXiv 1911.05722",
    several_devices=True,
)


class Settings(MethodSettings):
    head: Literal["linear", "mlp"] = "mlp"  # linear: version 1
    hidden_dim: Width = 2048  # of the MLP
    out_dim: Width = 128
    temperature: Temperature = 0.1
    queue: Annotated[int, Field(ge=1)] = 4096  # keys
    symmetric: bool = True  # each view is query and key, at twice the cost
    # On one device a query and its key share one batch, whose statistics tell them apart from the queue's keys. In the
    # paper they do not: its 8 devices have statistics of their own, and images are shuffled among them for the keys.
    #   shuffle: so here: consecutive groups of images for the queries, shuffled ones for the keys
    #   split: groups for the keys alone; fewer passes, a weaker effect
    #   plain: one group
    key_batch_norm: Literal["shuffle", "split", "plain"] = "plain"
    statistics_group: Annotated[int, Field(ge=2)] = 32  # images, at least
    recipe: MomentumRecipe = MomentumRecipe(
        optimizer="sgd", base_lr=0.06, weight_decay=5e-4, momentum=0.9, schedule="epoch", ema_start=0.99
    )

    presets = {
        "lightly": {},
        "authors": {
            "hidden_dim": 512,
            "temperature": 0.2,
            "symmetric": False,
            "key_batch_norm": "shuffle",
            "recipe": {"base_lr": 0.03, "weight_decay": 1e-4, "ema_start": 0.999},
        },
    }
    sources = {
        "head": Source(authors="version 2, section 3", lightly="336"),
        "hidden_dim": Source(
            authors="the features' width, 2048 in ResNet-50: version 2, section 3",
            lightly="336",
        ),
        "out_dim": Source(authors="section 3.3", lightly="336"),
        "temperature": Source(authors="version 2, section 3; version 1: 0.07", lightly="344"),
        "queue": Source(
            authors="65536, section 3.3",
            lightly="344",
            note="65536 keys are 5 % of ImageNet and 7 times ImageNette: a queue longer than the training set holds "
            "views of the query's own image",
        ),
        "symmetric": Source(authors="algorithm 1", lightly="368-373"),
        "key_batch_norm": Source(
            authors="section 3.3, shuffling BN",
            lightly="359-365",
            note="lightly's shuffling on one device moves images within the very same statistics: plain",
        ),
        "statistics_group": Source(authors="256 on 8 devices, section 3.3"),
        "recipe.optimizer": Source(authors="section 3.3", lightly="381"),
        "recipe.base_lr": Source(authors="section 3.3, at 256", lightly="383"),
        "recipe.weight_decay": Source(authors="of every tensor, section 3.3", lightly="385"),
        "recipe.momentum": Source(authors="section 3.3", lightly="384"),
        "recipe.schedule": Source(authors="version 2, section 3: cosine, set per epoch", lightly="387"),
        "recipe.ema_start": Source(authors="section 3.3; table of section 4.1", lightly="355"),
        "recipe.residual_gain": Source(authors="torchvision's start", lightly="331"),
    }

    def fault(self, pictures: int) -> str | None:
        if self.queue < pictures:
            return None
        return (
            f"queue is {self.queue}: {FACTS.title}'s queue must hold fewer keys than there are training pictures, or "
            f"most negatives are views of the query's own picture; here there are {pictures}, so give a queue of, say, "
            f"{max(1, pictures // 2)}"
        )

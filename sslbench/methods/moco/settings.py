"""MoCo's options and recipe for ResNet-18, and their sources.

Authors: facebookresearch/moco at bab0fe8, the last commit that holds the code, with the options of version 2 (Chen et
al. 2020, arXiv 2003.04297); version 1 is preset: authors, head: linear, temperature: 0.07. Lightly: docs/source/
getting_started/benchmarks/imagenette_benchmark.py at e8d317f, batch 256; other files of lightly by name.
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
    head: Literal["linear", "mlp"] = "mlp"
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
        optimizer="sgd", base_lr=0.06, weight_decay=5e-4, schedule="epoch", ema_start=0.99
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
        "head": Source(authors="mlp; README.md:51, moco/builder.py:34-41", lightly="mlp; 336"),
        "hidden_dim": Source(
            authors="the features' width, 2048 in ResNet-50; moco/builder.py:35-37",
            lightly="2048; 336",
            note="512 in ResNet-18, by the authors' rule",
        ),
        "out_dim": Source(authors="128; main_moco.py:154; paper, section 3.3", lightly="128; 336"),
        "temperature": Source(authors="0.2; README.md:51; version 1: 0.07", lightly="0.1; 344"),
        "queue": Source(
            authors="65536, 5 % of ImageNet; main_moco.py:159",
            lightly="4096; 123",
            note="4096 in both: 65536 are more than ImageNette's images, of which most keys would be views",
        ),
        "symmetric": Source(
            authors="false; moco/builder.py:128-173",
            lightly="true; 370-373",
            note="both halves meet the queue of the step before; in lightly the second has among its negatives the "
            "first's keys, which are of its own views (lightly/loss/ntx_ent_loss.py:133)",
        ),
        "key_batch_norm": Source(
            authors="shuffle, over 8 devices; moco/builder.py:82-126",
            lightly="plain: its shuffle stays within one batch; 359-365",
        ),
        "statistics_group": Source(authors="256 on 8 devices; README.md:42; paper, section 3.3", lightly="no effect"),
        "recipe.optimizer": Source(authors="sgd; main_moco.py:291", lightly="sgd; 381"),
        "recipe.base_lr": Source(authors="0.03; main_moco.py:83", lightly="0.06; 383"),
        "recipe.scale_lr": Source(authors="linear; README.md:53", lightly="linear; 149, 383"),
        "recipe.weight_decay": Source(authors="1e-4, of all tensors; main_moco.py:100", lightly="5e-4, of all; 385"),
        "recipe.momentum": Source(authors="0.9; main_moco.py:89", lightly="0.9; 384"),
        "recipe.schedule": Source(authors="epoch; main_moco.py:372,488-492", lightly="epoch; 387"),
        "recipe.warmup_epochs": Source(authors="0; main_moco.py:492", lightly="0; 387"),
        "recipe.end_lr_factor": Source(authors="0; main_moco.py:492", lightly="0; 387"),
        "recipe.ema_start": Source(
            authors="0.999; main_moco.py:164; paper, section 4.1",
            lightly="0.99; 355-356",
            note="both move the keys' network at the start of a step, the engine at its end: before the next keys",
        ),
        "recipe.residual_gain": Source(
            authors="1; torchvision's, moco/builder.py:31", lightly="1; torchvision's resnet18, 331"
        ),
    }

    def fault(self, pictures: int) -> str | None:
        if self.queue < pictures:
            return None
        return (
            f"queue is {self.queue}: {FACTS.title}'s queue must hold fewer keys than there are training pictures, or "
            f"most negatives are views of the query's own picture; here there are {pictures}, so give a queue of, say, "
            f"{max(1, pictures // 2)}"
        )

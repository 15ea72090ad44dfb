"""MoCo's options and recipe for ResNet-18; lightly means its docs/.../imagenette_benchmark.py, batch 256.

Defaults are version 2 (Chen et al. 2020, arXiv 2003.04297); version 1 is head: linear, temperature: 0.07.
"""

from typing import Annotated, Literal

from pydantic import Field

from sslbench.methods.spec import MethodFacts, MethodSettings, MomentumRecipe, Temperature, Width

FACTS = MethodFacts(
    title="MoCo",
    family="contrastive",
    paper="He, Fan, Wu, Xie, Girshick, CVPR 2020, arXiv 1911.05722",
    several_devices=True,
)


class Settings(MethodSettings):
    head: Literal["linear", "mlp"] = "mlp"  # version 2; linear: version 1
    hidden_dim: Width = 2048  # of the MLP; version 2, section 3; lightly
    out_dim: Width = 128  # paper, section 3.3; lightly
    temperature: Temperature = 0.2  # version 2, section 3; version 1 has 0.07 (section 3.3), lightly 0.1
    queue: Annotated[int, Field(ge=1)] = (
        4096  # keys; lightly; the paper's 65536 are 5 % of ImageNet, 7 times ImageNette
    )
    symmetric: bool = False  # paper; True, as in lightly: each view is query and key, at twice the cost
    # On one device a query and its key share one batch, whose statistics tell them apart from the queue's keys. In the
    # paper they do not: its 8 devices have statistics of their own, and pictures are shuffled among them for the keys.
    #   shuffle: so here: consecutive groups of pictures for the queries, shuffled ones for the keys
    #   split: groups for the keys alone; fewer passes, a weaker effect
    #   plain: one group; lightly on one device, where its shuffling moves pictures within the very same statistics
    key_batch_norm: Literal["shuffle", "split", "plain"] = "shuffle"
    statistics_group: Annotated[int, Field(ge=2)] = 32  # pictures, at least; paper, section 3.3: 256 on 8 devices
    # lightly; the paper's momentum is 0.999, for a queue of 65536
    recipe: MomentumRecipe = MomentumRecipe(
        optimizer="sgd", base_lr=0.06, weight_decay=5e-4, momentum=0.9, ema_start=0.99
    )

    def fault(self, pictures: int) -> str | None:
        if self.queue < pictures:
            return None
        return (
            f"queue is {self.queue}: {FACTS.title}'s queue must hold fewer keys than there are training pictures, or "
            f"most negatives are views of the query's own picture; here there are {pictures}, so give a queue of, say, "
            f"{max(1, pictures // 2)}"
        )

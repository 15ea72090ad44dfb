"""A backbone that can be had, with its weights: what no training on these images is needed for."""

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, ViewSpec

FACTS = MethodFacts(title="Pretrained", family="reference", paper="none", several_devices=True)


class Settings(MethodSettings):
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, weight_decay=0)  # never used: there is no training

    def views(self, input_size: int) -> list[ViewSpec]:
        return []

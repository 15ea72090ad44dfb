"""What every pretext task declares, without torch: its options, and its weight beside a method's loss."""

from sslbench.methods.spec import MethodSettings, ViewSpec, Weight
from sslbench.settings import Strict


class TaskSettings(Strict):
    """Base of every task's Settings, as a model entry's ``auxiliary:`` gives them."""

    weight: Weight  # of the task's loss, where the method's own has 1


class OneView(MethodSettings):
    """Base of the settings of methods that need one view of a picture."""

    def views(self, input_size: int) -> list[ViewSpec]:
        return [ViewSpec(size=input_size)]

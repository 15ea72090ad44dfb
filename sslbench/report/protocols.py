"""What a cell's protocol consists of."""

from collections.abc import Mapping

NETWORK = ("backbone", "backbone_options", "input_size")  # what an untrained start agrees in
PROTOCOL = (*NETWORK, "epochs", "batch_size", "precision")  # all that one holds; see collect


def network(protocol: Mapping) -> tuple:
    """What a cell of this protocol begins from; equal for those that have one untrained start."""
    return tuple(protocol[key] for key in NETWORK)

"""The study of pairs of operations (Chen et al. 2020, figure 5): which transform stands in which place of its table."""

from collections.abc import Container
from typing import Annotated

from pydantic import Field

from sslbench import registry
from sslbench.errors import UserError
from sslbench.settings import Strict


class Composition(Strict):
    """A table and a heat map of the report: the first operation down, the second across.

    In row a and column b stands the transform called ``a+b``; where both are one, ``a``; and where only the other order
    is defined, ``b+a``, marked (a crop, for one, can only come first).
    """

    rows: Annotated[list[str], Field(min_length=1)]
    columns: Annotated[list[str], Field(min_length=1)]


def places(composition: Composition, known: Container[str]) -> list[list[str]]:
    """The transform's name for each row and column, of those ``known``.

    Raises:
        UserError: a pair, or a single operation on the diagonal, has no transform in either order.
    """
    return [[_name(row, column, known) for column in composition.columns] for row in composition.rows]


def _name(row: str, column: str, known: Container[str]) -> str:
    names = [f"{row}+{column}", f"{column}+{row}"] if row != column else [row]
    for name in names:
        if name in known:
            return name
    guess = registry.nearest(names[0], list(known))
    raise UserError(f"config: composition: there is no transform called {' or '.join(map(repr, names))}.{guess}")

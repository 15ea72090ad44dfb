"""The one base of all typed settings: unknown keys are errors, values are frozen, numbers are finite."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, WrapValidator

Positive = Annotated[int, Field(ge=1)]
# A folder's name, and safe in a shell.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


def either(wanted: str) -> WrapValidator:
    """One message, ``wanted``, where a value is of none of a union's kinds; pydantic has one for each."""

    def checked(value: Any, inner: Callable[[Any], Any]) -> Any:
        try:
            return inner(value)
        except ValidationError:
            raise ValueError(wanted) from None

    return WrapValidator(checked)

"""The one base of all typed settings: unknown keys are errors, values are frozen, numbers are finite."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

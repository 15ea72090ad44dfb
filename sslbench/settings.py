"""The one base of all typed settings: unknown keys are errors, values are frozen, numbers are finite."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, WrapValidator

Positive = Annotated[int, Field(ge=1)]
# A folder's name, and safe in a shell.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=100)]


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


# pydantic's type of error -> what to write instead; {names} are of the error's context
_TRUTH = "give true or false"
_INTEGER, _NUMBER = "give a whole number", "give a number"
_TEXT = "give text; in quotes where YAML reads a number, a date or yes and no in it"
_WORDS = {
    "bool_parsing": _TRUTH,
    "bool_type": _TRUTH,
    "dict_type": "give keys with values, e.g. {{name: value}}",
    "finite_number": "give a finite number",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "greater_than": "give a number above {gt:g}",
    "greater_than_equal": "give a number of at least {ge:g}",
    "int_from_float": _INTEGER,
    "int_parsing": _INTEGER,
    "int_parsing_size": "give a smaller whole number",
    "int_type": _INTEGER,
    "less_than": "give a number below {lt:g}",
    "less_than_equal": "give a number of at most {le:g}",
    "list_type": "give a list, e.g. [a, b]",
    "literal_error": "give {expected}",
    "model_attributes_type": "give keys with values, e.g. {{name: value}}",
    "model_type": "give keys with values, e.g. {{name: value}}",
    "none_required": "give null, or leave the key out",
    "path_type": "give the path of a file or folder, as text",
    "string_pattern_mismatch": "begin with a letter or digit and go on with letters, digits and . _ + - alone",
    "string_too_long": "give at most {max_length} characters",
    "string_type": _TEXT,
    "string_unicode": _TEXT,
    "too_long": "give at most {max_length} values",
    "too_short": "give at least {min_length} of them",
    "tuple_type": "give a list, e.g. [a, b]",
}


def words(error: Any) -> str:
    """What a value must be, of one of ValidationError.errors(): pydantic's own sentences reach no user."""
    if error["type"] in ("value_error", "assertion_error"):
        return error["msg"].partition(", ")[2]
    return _WORDS.get(error["type"], "it is nothing that can stand here").format(**error.get("ctx", {}))


def _local(value: Any) -> Any:
    """A path of this machine, ``~``, ``$NAME`` and ``${NAME}`` expanded; a file whose name holds a $ is found too."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        raise ValueError("it is empty: give a path, or leave the key out")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", value):
        raise ValueError("it is a URL: download it, and give the path of what you have")
    if "\0" in value:
        raise ValueError("no path holds a null byte")

    def variable(found: re.Match) -> str:
        name = found[1] or found[2]
        if not (text := os.environ.get(name)):
            raise ValueError(f"the environment variable {name} is not set, or empty")
        return text

    as_written = "$" in value and os.path.lexists(value)
    expanded = value if as_written else re.sub(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", variable, value)
    try:
        return Path(expanded).expanduser()
    except RuntimeError:
        raise ValueError("no home folder of that user is known") from None


LocalPath = Annotated[Path, BeforeValidator(_local)]  # every path that a config file gives

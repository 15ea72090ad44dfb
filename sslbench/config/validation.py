"""Settings from what a config file says, and a fault in it told in one line: the key, the value, what is allowed."""

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sslbench import registry
from sslbench.config.plain_values import shown
from sslbench.errors import UserError
from sslbench.settings import Strict, words
from sslbench.transforms.spec import merge


def filled(cls: type[Strict], changes: dict, where: str, base: Strict | None = None) -> Any:
    """``cls`` with ``changes`` laid over ``base``, or over its own defaults, dict by dict."""
    if base is not None:
        start = base.model_dump()
    else:
        values = {
            name: field.get_default(call_default_factory=True)
            for name, field in cls.model_fields.items()
            if not field.is_required()
        }
        start = {name: v.model_dump() if isinstance(v, BaseModel) else v for name, v in values.items()}
    return validated(cls, merge(start, changes), where)


def validated(cls: type[Strict], data: dict, where: str) -> Any:
    """``data`` as a ``cls``. Raises UserError for the first fault; its key stands below ``where``."""
    try:
        made = cls.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = problems[0]
        key = _key(where, first["loc"])
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        if first["type"] == "extra_forbidden":
            known = _fields_at(cls, first["loc"][:-1])
            guess = registry.nearest(str(first["loc"][-1]), known)
            text = f"{key}: there is no such key.{guess} Known: {', '.join(known)}"
        elif first["type"] == "missing":
            text = f"{key} is missing"
        else:
            text = f"{key}: {_problem(first)}"
        raise UserError(f"config: {text}{more}") from None
    if (loc := _bool_as_number(data, made)) is not None:
        raise UserError(f"config: {_key(where, loc)}: give a number, not true or false (yes, no, on, off)")
    return made


def _key(where: str, loc: tuple) -> str:
    return ".".join([where] * bool(where) + [str(part) for part in loc if part != "[key]"]) or "(top level)"


def _problem(error: Any) -> str:
    """What is wrong with one value, in words. A fault between many keys does not show them all: its text names them."""
    message, value = words(error), error["input"]
    guess = ""
    if error["type"] == "literal_error":
        guess = registry.nearest(str(value), re.findall(r"'([^']*)'", str(error["ctx"]["expected"])))
    if isinstance(value, dict) and len(value) > 3:
        return message
    return f"{shown(value)} is not allowed: {message}{guess and '.' + guess}"


def _bool_as_number(data: Any, made: Any, loc: tuple = ()) -> tuple | None:
    """Where ``data`` says true or false and ``made`` of it has 1 or 0, which pydantic takes for the same."""
    if isinstance(data, bool):
        return loc if isinstance(made, int | float) and not isinstance(made, bool) else None
    if isinstance(data, dict) and isinstance(made, BaseModel):
        made = made.__dict__
    if isinstance(data, dict) and isinstance(made, dict):
        pairs = [(key, value, made[key]) for key, value in data.items() if key in made]
    elif isinstance(data, list | tuple) and isinstance(made, list | tuple):
        pairs = list(zip(range(len(data)), data, made, strict=False))
    else:
        return None
    found = (_bool_as_number(value, one, (*loc, key)) for key, value, one in pairs)
    return next((place for place in found if place is not None), None)


def _fields_at(cls: type[BaseModel], loc: tuple) -> list[str]:
    """The field names of the model that a validation error's path leads to."""
    for part in loc:
        field = cls.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            inner = [a for a in (field.annotation, *get_args(field.annotation)) if isinstance(a, type)]
            nested = [a for a in inner if issubclass(a, BaseModel)]
            cls = nested[0] if nested else cls
    return list(cls.model_fields)


def unknown(where: str, name: object, what: str, known: Any) -> UserError:
    """That nothing is called ``name``, with the nearest name that something has."""
    names = list(known)
    guess = registry.nearest(str(name), names)
    return UserError(f"config: {where}: no {what} is called {shown(name)}.{guess} Known: {', '.join(names)}")


def require_known(where: str, names: list[str], what: str, known: Any) -> None:
    """Raise UserError for the first of ``names`` that is not ``known``."""
    for name in names:
        if name not in known:
            raise unknown(where, name, what, known)

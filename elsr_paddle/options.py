"""Declare options as dataclass fields: the one place where a flag, its help and range are written.

Networks, stages, runs and encoders are frozen dataclasses. `commands.arguments` makes flags of
their fields, and metadata of what was trained holds them as JSON.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from elsr_paddle.errors import InputError


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    choices: tuple = (),
    minimum: float | None = None,
    **metadata: Any,
) -> Any:
    """A dataclass field that is also a flag.

    Parameters
    ----------
    default : the field's default; left out, the field has to be given.
    help : str, shown by --help
    choices : tuple, the only values allowed; empty for any
    minimum : number, the least value allowed
    **metadata : what `commands.arguments` needs besides, such as `metavar`
    """
    metadata = {"help": help, "choices": choices, "minimum": minimum, **metadata}
    return dataclasses.field(default=default, metadata=metadata)


def check(options: Any) -> None:
    """Hold the fields of a dataclass to the choices, minimums and types they were declared with.

    Raises
    ------
    InputError that names the field, what was expected and what came.
    """
    for field in dataclasses.fields(options):
        value, rule = getattr(options, field.name), field.metadata
        if value is None:
            continue
        if rule.get("choices") and value not in rule["choices"]:
            allowed = ", ".join(map(str, rule["choices"]))
            raise InputError(f"expected {field.name} to be one of {allowed} but got {value}")
        _check_number(field, value, rule.get("minimum"))


def _check_number(field, value, minimum):
    name = getattr(field.type, "__name__", field.type)  # text where annotations are postponed
    kind = {"int": int, "float": (int, float)}.get(name.removesuffix(" | None"))
    if kind and (isinstance(value, bool) or not isinstance(value, kind)):
        raise InputError(f"expected {field.name} to be a number but got {value!r}")
    if minimum is not None and not value >= minimum:
        raise InputError(f"expected {field.name} of at least {minimum} but got {value}")

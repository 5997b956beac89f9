"""Make flags of the fields of dataclasses, and dataclasses of the flags that were given.

The fields, declared by `options.option`, are the only place where an option is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from elsr_paddle.commands.shared import VERSION
from elsr_paddle.errors import InputError, needs


class Parser(argparse.ArgumentParser):
    """argparse's parser, with --version beside --help, and one line for what cannot be used."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        if self.add_help:
            self.add_argument("--version", action="version", version=VERSION)

    def error(self, message: str) -> NoReturn:
        """Raise InputError: the command ends with one line and status 2."""
        raise InputError(f"{message}; {self.prog} --help lists the options")


def add_options(
    parser: argparse._ActionsContainer, kind: type, *, without: Iterable[str] = ()
) -> None:
    """Add a flag for each field of a dataclass that was declared by `options.option`.

    A flag that is not given is None, so that a table or a file may hold the value instead; --help
    tells the field's default.

    Parameters
    ----------
    parser : argparse.ArgumentParser or a group of it
    kind : dataclass
    without : names of fields that get no flag
    """
    for field in dataclasses.fields(kind):
        if field.metadata.get("help") and field.name not in without:
            _add_flag(parser, field)


def _add_flag(parser, field):
    flag = f"--{field.name.replace('_', '-')}"
    text = _text(field)
    if _type_name(field) == "bool":
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        return
    choices = field.metadata["choices"] or None
    metavar = field.metadata.get("metavar") or (None if choices else _type_name(field).upper())
    parser.add_argument(flag, type=_parser_of(field), choices=choices, metavar=metavar, help=text)


def _text(field):
    default = field.default
    if default is dataclasses.MISSING or default is None:
        return field.metadata["help"]
    shown = ("no", "yes")[default] if isinstance(default, bool) else default
    return f"{field.metadata['help']} (default: {shown})"


def _type_name(field):
    name = getattr(field.type, "__name__", field.type)
    return name.removesuffix(" | None")


def _parser_of(field):
    """What turns the text of a flag into a value; the metadata's own where it has one."""
    own = field.metadata.get("parse")
    if own is not None:
        return own
    kind = {"int": int, "float": float}.get(_type_name(field), str)

    def parse(text):
        try:
            return kind(text)
        except ValueError:
            expected = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {expected} but got {text!r}") from None

    return parse


def size(text: str) -> tuple[int, int]:
    """Width and height of the text of a flag, such as 1920x1080."""
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text.lower())
    if not match or "0" in match.groups():
        raise argparse.ArgumentTypeError(f"expected a size such as 1920x1080 but got {text!r}")
    return int(match[1]), int(match[2])


def given_options(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The fields of a dataclass whose flags were given, by name."""
    values = {field.name: getattr(args, field.name, None) for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def read_config(path: str, known: Iterable[str]) -> dict[str, Any]:
    """Options from a YAML file: a mapping from their names to values.

    Parameters
    ----------
    path : str or Path
    known : names that may stand in it; dashes may stand for underscores.

    Raises
    ------
    InputError for a file that is no mapping, or a name that is not known.
    """
    yaml = needs("yaml", "train")

    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8") from error
    if not isinstance(found, dict):
        raise InputError(f"expected {path} to map names of options to values")
    options = {str(name).replace("-", "_"): value for name, value in found.items()}
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise InputError(f"{path} has options that do not exist: {', '.join(unknown)}")
    return options

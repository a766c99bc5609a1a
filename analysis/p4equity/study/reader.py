"""Reads one TOML file of a study into its typed model; every problem gets file, line, key and a way out."""

from __future__ import annotations

import re
import tomllib
import types
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from p4equity.errors import did_you_mean
from p4equity.study.locate import KeyPath, positions
from p4equity.study.problems import Problems

M = TypeVar("M", bound=BaseModel)
_PLACE = re.compile(r"^(?P<what>.*?) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


def read_toml(folder: Path, file: str, problems: Problems, *, required: bool = True) -> dict[str, Any] | None:
    """The parsed content of `folder/file`; None, with a problem noted, when it cannot be read (or is absent but not required)."""
    path = folder / file
    if not path.is_file():
        if required:
            problems.add(file, (), "file is missing", fix="a new study starts with: p4equity new-study DIR")
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
        raw = tomllib.loads(text)
    except UnicodeDecodeError as error:
        problems.add(file, (), "the file is not UTF-8 text", found=f"byte {error.start} cannot be read", fix="save it as UTF-8")
        return None
    except tomllib.TOMLDecodeError as error:
        _note_syntax(file, str(error), problems)
        return None
    problems.know(file, positions(text))
    return raw


def parse(model: type[M], raw: object, file: str, problems: Problems, prefix: KeyPath = ()) -> M | None:
    """`raw` (the content of a file, or of its block at `prefix`) as a typed model, or None with each problem noted."""
    if raw is None:
        return None
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        for item in _without_union_noise(error):
            _note(model, item, file, problems, prefix)
        return None


def _note_syntax(file: str, message: str, problems: Problems) -> None:
    place = _PLACE.match(message)
    what = place.group("what") if place else message
    at = (int(place.group("line")), int(place.group("column"))) if place and place.group("line") else None
    problems.add(file, (), f"not valid TOML: {what[0].lower()}{what[1:]}", at=at, fix="correct this line and run again")


def _without_union_noise(error: ValidationError) -> list[dict[str, Any]]:
    """One error a place: a union reports one for each of its members, with the member's name at the end of the place."""
    kept: dict[KeyPath, dict[str, Any]] = {}
    for item in error.errors(include_url=False):
        loc = tuple(part for part in item["loc"] if isinstance(part, int) or not re.match(r"^(str|tuple)\b", part))
        kept.setdefault(loc, {**item, "loc": loc})
    return list(kept.values())


def _note(model: type[BaseModel], item: dict[str, Any], file: str, problems: Problems, prefix: KeyPath) -> None:
    loc: KeyPath = item["loc"]
    path = (*prefix, *loc)
    kind, found = item["type"], item.get("input")
    if kind == "extra_forbidden":
        known = _fields_at(model, loc[:-1])
        problems.add(file, path, f"unknown key '{loc[-1]}'", fix=did_you_mean(str(loc[-1]), known))
    elif kind == "missing":
        problems.add(file, path, f"the key '{loc[-1]}' is missing", expected=_expected_type(model, loc))
    elif kind == "literal_error":
        words = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        problems.add(
            file, path, "unknown word", expected=", ".join(words), found=repr(found), fix=did_you_mean(str(found), words)
        )
    else:
        message = item["msg"][0].lower() + item["msg"][1:]
        problems.add(file, path, message.replace("input should be", "should be"), found=_show(found))


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _fields_at(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The known keys of the block at `path`."""
    here = _descend(model, path)
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _expected_type(model: type[BaseModel], path: KeyPath) -> str | None:
    here = _descend(model, path[:-1])
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return None
    field = here.model_fields.get(str(path[-1]))
    kind = _bare(field.annotation) if field else None
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"a section [{path[-1]}] with {', '.join(kind.model_fields)}"
    words = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(kind) if isinstance(kind, type) else None


def _descend(annotation: Any, path: KeyPath) -> Any:
    here = _bare(annotation)
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = _bare(field.annotation) if field else None
        elif get_origin(here) is tuple:
            here = _bare(get_args(here)[0])
        elif get_origin(here) is dict:
            here = _bare(get_args(here)[1])
        else:
            return None
    return here


def _bare(annotation: Any) -> Any:
    """The annotation without Annotated, and without the None of an optional one."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if get_origin(annotation) in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        return _bare(options[0]) if len(options) == 1 else annotation
    return annotation

"""A config's values against the signatures of the classes that it names: the constructor is the schema."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from receptive.comments import shown
from receptive.config import did_you_mean
from receptive.errors import InputError

_Options = TypeVar("_Options")

# below these a config may name classes and functions; a user's own prefixes stand in `target_prefixes`
TARGET_PREFIXES = (
    "receptive",
    "torch",
    "torchvision",
    "timm",
    "segmentation_models_pytorch",
    "torchmetrics",
    "pytorch_lightning",
)
# given by the builder, not by the config
GIVEN = {
    "data": {"augmentations", "seed", "channels_last", "device"},
    "model": {"in_channels", "num_classes", "image_size", "class_names"},
    "optimizer": {"params"},
    "scheduler": {"optimizer", "steps_per_epoch", "max_epochs"},
    "record": {"path"},
    "task": {"model", "optimizer", "schedule", "class_names", "class_counts", "channels_last"},
}


class Node(dict[str, Any]):
    """A part of a config, in plain containers, that can be a key of caches.

    Two are equal where their JSON is: in it 1, 1.0 and true differ.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self._text = json.dumps(values)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._text == other._text


def target_faults(key: str, node: Any, prefixes: tuple[str, ...]) -> list[str]:
    """Faults of a config node, in plain containers, and of the nodes below it."""
    if not isinstance(node, dict):
        return []
    found = []
    name = node.get("_target_")
    if name is not None:
        try:
            target = locate(f"{key}._target_", name, prefixes)
        except InputError as error:
            return [str(error)]
        found += _signature_faults(key, target, node)
    for child, value in node.items():
        found += target_faults(f"{key}.{child}", value, prefixes)
    return found


def locate(key: str, name: str, prefixes: Iterable[str] = TARGET_PREFIXES) -> Callable[..., Any]:
    """The class, function or method of a class with a dotted name below one of `prefixes`.

    Raises:
        InputError: there is none.
    """
    if not any(name.startswith(f"{prefix}.") for prefix in prefixes):
        raise InputError(
            f"{key}={name}: only names below {', '.join(prefixes)} may be used; list your own in target_prefixes"
        )
    holder_name, _, attribute = name.rpartition(".")
    try:
        holder = _module_or_class(holder_name)
    except ImportError as error:
        raise InputError(f"{key}={name}: {error}") from None
    found = getattr(holder, attribute, None)
    if not callable(found):
        raise InputError(f"{key}={name}: {holder_name} has no {attribute!r}{did_you_mean(attribute, dir(holder))}")
    return typing.cast("Callable[..., Any]", found)


def _module_or_class(name: str) -> Any:
    """What a dotted name stands for: a module, or a class in one or within another; raises ImportError."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        parent, _, attribute = name.rpartition(".")
        found = getattr(_module_or_class(parent), attribute, None) if parent else None
        if not inspect.isclass(found):
            raise error from None
        return found


def _signature_faults(key: str, target: Callable[..., Any], node: dict[str, Any]) -> list[str]:
    parameters = inspect.signature(target).parameters
    given = GIVEN.get(key, set())
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    settable = [name for name in parameters if name not in given]
    hints = hints_of(target)
    found = []
    for name, value in node.items():
        if name.startswith("_") and name.endswith("_"):
            continue
        if name in given or (name not in parameters and not open_ended):
            found.append(f"{key}.{name}: {target.__name__} has no such option{did_you_mean(name, settable)}")
        elif name in hints and not (isinstance(value, dict) and "_target_" in value):
            found += _type_faults(f"{key}.{name}", hints[name], value)
    for name, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if required and name not in node and name not in given:
            found.append(f"{key}.{name}: give a value, {target.__name__} needs it")
    return found


def option_faults(target: Callable[..., Any], values: Mapping[str, Any]) -> list[str]:
    """Faults of a verb's own options, by the annotations of the parameters that they are handed to."""
    hints = hints_of(target)
    found = [f"{name}: there is no such option{did_you_mean(name, hints)}" for name in values if name not in hints]
    return found + [
        fault for name, value in values.items() if name in hints for fault in _type_faults(name, hints[name], value)
    ]


def options_of(kind: type[_Options], values: Mapping[str, Any], key: str = "") -> _Options:
    """Options as an object, held against its annotations.

    Args:
        kind: a data class of options.
        values: that are given.
        key: of the config, below which they stand; "": they stand at the top.

    Raises:
        InputError: all faults.
    """
    found = option_faults(kind, values)
    try:
        if not found:
            return kind(**values)
    except ValueError as error:
        found = [str(error)]
    raise InputError("\n".join(f"{key}.{fault}" if key else fault for fault in found))


def hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """Parameter -> annotation of a class or function; empty where another library's cannot be evaluated."""
    own = inspect.isclass(target) and not dataclasses.is_dataclass(target)
    try:
        # a data class itself, whose fields may come from classes of other modules, with what these import
        found = typing.get_type_hints(target.__init__ if own else target, include_extras=True)
    except (NameError, TypeError):
        return {}
    return {name: found[name] for name in inspect.signature(target).parameters if name in found}


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # a dataclass or model forbids the config; others have no schema at all
        try:
            return TypeAdapter(hint)
        except PydanticSchemaGenerationError:
            return None


def _type_faults(key: str, hint: Any, value: Any) -> list[str]:
    adapter = _adapter(hint)
    if adapter is None:
        return []
    try:
        validated = adapter.validate_python(value)
    except ValidationError as error:
        items = [item for item in error.errors() if item["type"] != "is_instance_of"]
        reasons = ["true or false" if item["type"].startswith("bool_") else item["msg"] for item in items]
        reasons = [reason.removeprefix("Input should be ") for reason in dict.fromkeys(reasons)]
        return [f"{key}={shown(value)}: must be {' or '.join(reasons) or 'of another type'}"]
    if isinstance(value, (bool, float)) and type(validated) is not type(value):
        return [f"{key}={shown(value)}: must be a {'whole number' if isinstance(validated, int) else 'number'}"]
    if isinstance(value, str) and isinstance(validated, bool):  # no, off, 0
        return [f"{key}={value}: must be true or false"]
    if isinstance(value, str) and isinstance(validated, (int, float)):
        return [f"{key}={value!r}: must be a number without quotes"]
    return []


def guilty(group: str, node: Mapping[str, Any], error: Exception) -> str:
    """An error of another library with the key whose value it quotes."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    keys = [f"{group}.{key}={shown(value)}" for key, value in node.items() if key[0] != "_" and _quotes(text, value)]
    return f"{', '.join(keys) or group}: {text}"


def _quotes(text: str, value: Any) -> bool:
    """Whether a text holds a value as a word or number of its own: -0.01 holds neither 0.0 nor 0.01."""
    return re.search(rf"(?<![\w.-]){re.escape(str(value))}(?!\w|\.\d)", text) is not None

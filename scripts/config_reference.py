"""Write docs/reference/: every option of conf/ with its default, its type and bounds, and what it means.

    python scripts/config_reference.py            # what `make reference` does; the suite holds the pages against conf/

Defaults and comments are read from the YAML files, types and bounds from the signatures of the classes that they name,
explanations from these classes' docstrings. Of classes of other libraries the signature alone is used.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo
from torch import Tensor

from receptive.arguments import HydraVerb
from receptive.commands import VERBS
from receptive.comments import Key, header, keys, shown
from receptive.config import conf_dir
from receptive.files import read_yaml
from receptive.signatures import TARGET_PREFIXES, hints_of, locate

OUTPUT = Path(__file__).resolve().parent.parent / "docs" / "reference"
MARK = "<!-- Written by scripts/config_reference.py: change conf/ or the docstrings, then `make reference`. -->\n"
# group -> what is chosen there; how its keys begin on the command line
GROUPS = {
    "data": ("The data set, its validation split and its batches.", "data."),
    "augment": ("Changes of training images; several may be chosen: `augment=[rotation,cutout]`.", "augment."),
    "task": ("Loss and scores. A data set's file names its task.", "task."),
    "model": ("The network. Channels, classes and image size come from the data.", "model."),
    "optimizer": ("What updates the weights.", "optimizer."),
    "scheduler": ("How the learning rate goes over a run.", "scheduler."),
    "trainer": ("How long, where and how a run is computed.", "trainer."),
    "record": ("What is kept beside the metrics.", "record."),
    "logger": ("Who else is shown the run; both: `logger=[wandb,tensorboard]`.", "logger."),
    "scale": ("The size of an experiment or study.", ""),
    "hydra/launcher": ("Who runs the jobs of a sweep.", "hydra.launcher."),
    "hydra/sweeper": ("Where the points of a sweep come from.", "hydra.sweeper."),
}
# Whose options stand elsewhere than in the constructor.
OPTIONS = {
    "hydra_plugins.receptive_plugins.RandomSweeper": "receptive.sweeps.space.Drawing",
    "hydra_plugins.receptive_plugins.OptunaSweeper": "receptive.sweeps.trials.SearchOptions",
    "hydra_plugins.receptive_plugins.SlurmLauncher": "receptive.slurm.options.SlurmOptions",
    "activations": "receptive.activations.inspection.Options",
    "evaluate": "receptive.evaluate.Options",
    "export": "receptive.export.export.Options",
    "predict": "receptive.predict.Options",
}
_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
_SIGNS = {annotated_types.Ge: "≥", annotated_types.Gt: ">", annotated_types.Le: "≤", annotated_types.Lt: "<"}


def described(hint: Any) -> str:
    """A type in words: `Annotated[int, Ge(1)] | None` is "whole number ≥ 1, or null"; "" where nothing can be said."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        bounds = " and ".join(_bounds(arguments[1:]))
        return f"{described(arguments[0])} {bounds}".strip()
    if origin in (typing.Union, types.UnionType):
        parts = [described(part) for part in arguments if part is not Tensor]
        parts.sort(key=lambda part: (part == "null", part.startswith("list")))
        return ", or ".join(dict.fromkeys(part for part in parts if part))
    if origin is typing.Literal:
        return ", ".join(f"`{shown(value)}`" for value in arguments)
    if origin is tuple and Ellipsis not in arguments:
        inner = list(dict.fromkeys(map(described, arguments)))
        return f"list of {len(arguments)}: {', '.join(inner)}"
    if origin is not None and issubclass(origin, Mapping):
        return "mapping"
    if origin is not None and arguments:
        return f"list: {described(arguments[0])}"
    return "null" if hint is type(None) else _WORDS.get(hint, "")


def _bounds(metadata: tuple[Any, ...]) -> Iterator[str]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _bounds(tuple(item.metadata))
        elif sign := _SIGNS.get(type(item)):
            yield f"{sign} {next(iter(dataclasses.asdict(item).values()))}"


def explained(target: Callable[..., Any]) -> dict[str, str]:
    """Parameter -> what the Args section of a docstring of ours says of it."""
    if not target.__module__.startswith(("receptive", "hydra_plugins")):
        return {}
    section = (inspect.getdoc(target) or "").partition("\nArgs:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


class Node(typing.NamedTuple):
    """A class that a file names: where its keys begin, its name, types and explanations of its parameters."""

    prefix: str
    name: str
    hints: dict[str, Any]
    texts: dict[str, str]


def nodes(values: Any, prefix: str = "") -> Iterator[Node]:
    """The classes that a file names, outermost first."""
    if not isinstance(values, dict):
        return
    if name := values.get("_target_"):
        yield node(prefix, name)
    for key, value in values.items():
        yield from nodes(value, f"{prefix}{key}.")


def node(prefix: str, name: str) -> Node:
    """What is known of a class by its dotted name."""
    target = locate(name, name, (*TARGET_PREFIXES, "hydra_plugins"))
    hints, texts = hints_of(target), explained(target)
    if name in OPTIONS:
        hints |= hints_of(locate(name, OPTIONS[name]))
    for base in inspect.getmro(target) if inspect.isclass(target) else ():
        texts = explained(base) | texts
    return Node(prefix, name, hints, texts)


def table(own: list[Key], known: list[Node], prefix: str) -> list[str]:
    """The rows of a file's keys, with those headings only under which something stands."""
    rows = []
    for key in own:
        if key.name.rpartition(".")[2].startswith("_"):
            continue
        owner = next((each for each in reversed(known) if key.name.startswith(each.prefix)), None)
        name = key.name.removeprefix(owner.prefix) if owner else key.name
        kind = described(owner.hints[name]) if owner and name in owner.hints else ""
        told = re.sub(r"\bNone\b", "null", owner.texts.get(name, "")) if owner else ""
        comment = _without_choices(key.comment, kind)
        if "null:" in comment:  # it knows better
            told = told.partition("; null:")[0]
        meaning = " ".join(_sentence(text) for text in (told, _news(comment, told)) if text)
        rows.append([f"`{prefix}{key.name}`", f"`{key.shown}`", kind, meaning])
    if not rows:
        return ["No options.", ""]
    titles = ["key", "default", "type", "meaning"]
    kept = [column for column in range(len(titles)) if any(row[column] for row in rows)]
    lines = [titles, ["---"] * len(titles), *rows]
    return ["| " + " | ".join(_cell(line[column]) for column in kept) + " |" for line in lines] + [""]


def _news(comment: str, told: str) -> str:
    """Those parts of a comment that a docstring does not tell: null, an example, a page, or mostly new words."""
    if not told:
        return comment
    known = _stems(told)
    parts = [(part, _stems(part)) for part in re.split(r"; |, (?=e\.g\. )", comment)]
    return "; ".join(
        part for part, new in parts if re.search(r"^null:|=|docs/|\[", part) or 2 * len(new & known) < len(new)
    )


def _stems(text: str) -> set[str]:
    return {word[:4] for word in re.findall(r"\d+|[a-z][a-z0-9.]{3,}", text.lower())}


def _without_choices(comment: str, kind: str) -> str:
    """A comment without the list `a | b | c` at its beginning, where the type says the same."""
    listed = re.match(r"[\w-]+(?: \| [\w-]+)+", comment)
    if listed is None or not all(f"`{word}`" in kind for word in listed[0].split(" | ")):
        return comment
    return comment[listed.end() :].lstrip(",;: ")


def _sentence(text: str) -> str:
    opens = re.match(
        r"(?!true|false|null|auto|receptive|scikit)[a-z]+(?=[ ,;-]|\.?$|\. )", text
    )  # not a value or a name
    text = text[:1].upper() + text[1:] if opens and " | " not in text else text
    text = re.sub(r"\bdocs/([\w/]+\.md)", r"[\1](../\1)", text)
    return text if text.endswith((".", ":", "?")) else f"{text}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*") if "`" not in text else text.replace("|", "\\|")


def group_page(group: str) -> str:
    """The page of a group of conf/."""
    about, prefix = GROUPS[group]
    lines = [MARK, f"# `{group}=`", "", about, ""]
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        values = read_yaml(path)
        known = list(nodes(values))
        lines += [f"## `{group}={path.stem}`", "", *(_sentence(line) for line in _joined(header(path))), ""]
        lines += [_classes(known), ""] if known else []
        defaults = [each for each in values.get("defaults", []) if isinstance(each, str) and each != "_self_"]
        if defaults:
            lines += [f"Begins with the options of {', '.join(f'`{group}={name}`' for name in defaults)}.", ""]
        own = keys(path)
        if own or not defaults:
            lines += table(own, known, prefix)
    return "\n".join(lines).rstrip() + "\n"


def _classes(known: list[Node]) -> str:
    inner = [f"`{each.prefix.rstrip('.')}` is `{each.name}`" for each in known if each.prefix]
    outer = [f"`{each.name}`" for each in known if not each.prefix]
    return f"Class: {'; '.join([*outer, *inner])}."


def _joined(lines: list[str]) -> list[str]:
    """Header lines as one paragraph."""
    text = "\n".join(line.strip() for line in lines)
    return [re.sub(r"(?<![.:;,])\n(?=\d|receptive )", "; ", text).replace("\n", " ")] if text else []


def verbs_page() -> str:
    """The keys of the verbs' own files."""
    lines = [
        MARK,
        "# Verbs",
        "",
        "The keys at the top of each verb's config; `receptive VERB --help` lists them too.",
        "",
    ]
    for verb in [name for name, known in VERBS.items() if isinstance(known, HydraVerb)]:
        path = conf_dir() / f"{verb}.yaml"
        lines += [f"## `receptive {verb}`", "", *(_sentence(line) for line in _joined(header(path))), ""]
        pairs = [pair for each in read_yaml(path)["defaults"] if isinstance(each, dict) for pair in each.items()]
        chosen = [(key, value) for key, value in pairs if key.split()[0] not in ("override", "optional")]
        if chosen:
            listed = ", ".join(f"`{key}={shown(value)}`" for key, value in chosen)
            lines += [f"Groups, with what is chosen by default: {listed}.", ""]
        hints = hints_of(locate(verb, OPTIONS[verb])) if verb in OPTIONS else {}
        lines += table(keys(path), [Node("", verb, hints, {})], "")
    return "\n".join(lines).rstrip() + "\n"


def list_page(group: str, title: str, about: str) -> str:
    """The headers of files that set values of other groups."""
    lines = [MARK, f"# {title}", "", about, ""]
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        lines += [f"## `{group}={path.stem}`", ""]
        for line in header(path):
            if told := re.match(r"(\w+):\s+(.*)", line):
                lines.append(f"- **{told[1]}**: {_plain(told[2])}")
            else:
                lines.append(f"  {_plain(line.strip())}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _plain(text: str) -> str:
    return f"`{text}`" if text.startswith("receptive ") else text.replace("*", "\\*")


def pages() -> dict[str, str]:
    """File name -> text of every page."""
    written = {f"{group.removeprefix('hydra/')}.md": group_page(group) for group in GROUPS}
    written["verbs.md"] = verbs_page()
    about = (
        "A run each, of a report or, in `best_`, of the best recipe that was found: `receptive train experiment=NAME`. "
        "What a file sets can be overridden like everything."
    )
    written["experiment.md"] = list_page("experiment", "Experiments", about)
    about = (
        "A comparison each, of the reports, or of candidates for a better recipe (`search_`) and what comes of it "
        "(`best_`): `receptive train study=NAME`; [Studies](../studies.md) says what one holds."
    )
    written["study.md"] = list_page("study", "Studies in conf/", about)
    told = {f"{group.removeprefix('hydra/')}.md": (f"`{group}=`", text) for group, (text, _) in GROUPS.items()}
    told["verbs.md"] = "Verbs", "The keys at the top of each verb's config."
    told["experiment.md"] = "Experiments", "The reports' runs, and better recipes."
    told["study.md"] = "Studies", "The reports' comparisons, and searches for better recipes."
    about = "What can be chosen and changed, with default, type and bounds; from `conf/`, signatures and docstrings."
    index = [MARK, "# Every option", "", about, "", "| page | what |", "| --- | --- |"]
    index += [f"| [{name}]({file}) | {text} |" for file, (name, text) in told.items()]
    return written | {"index.md": "\n".join(index) + "\n"}


def main() -> None:
    """Write the pages, and remove others."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    written = pages()
    for path in OUTPUT.glob("*.md"):
        if path.name not in written:
            path.unlink()
    for name, text in written.items():
        (OUTPUT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""What `receptive VERB --help` tells beside the arguments: purpose, examples, where to read on. Imports no torch."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receptive.comments import Key


@dataclass(frozen=True)
class About:
    """What a verb's help says.

    Args:
        text: what the verb does, in sentences.
        examples: command without `receptive` -> what it does.
        more: pages of docs/ that go on from here.
        usage: what follows the verb, where Hydra composes its config.
        flags: of Hydra, where there are any: flag -> what it does.
    """

    text: str
    examples: Mapping[str, str]
    more: Sequence[str]
    usage: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)


_RUN = "outputs/runs/FOLDER"
_FLAGS = {
    "-m": "a sweep: lists, ranges and intervals give many runs",
    "--cfg job": "print the composed config, and run nothing",
    "--config-dir DIR": "your own YAML files beside the built-in ones: docs/extending.md",
    "--hydra-help": "Hydra's own flags and groups (hydra/launcher, hydra/sweeper)",
    "-sc install=bash": "completion, also for zsh and fish: docs/guide.md",
}
ABOUT = {
    "train": About(
        "Trains one network and tests it, into a folder of its own (outputs/runs/...). With -m, or with a study, it is "
        "a sweep: many runs that end in a table. The same command goes on with what was interrupted.",
        {
            "train": "digits, a small net, seconds",
            "train experiment=mnist_baseline seed=3": "an experiment of the reports",
            'train data=cifar10 model=net_b "augment=[horizontal_flip,pad_crop]"': "put together by yourself",
            "train -m optimizer.lr=0.01,0.001 seed=0,1": "a sweep of four runs",
            "train -m seed=0,1,2 hydra/launcher=packed": "on all cores or GPUs; slurm: on a cluster",
            "train study=mnist_augmentation dry_run=true": "what would run, and how long it may take",
            "train resume=latest": "go on with the run that was interrupted last",
        },
        ("guide", "sweeps", "extending", "reference"),
        "[-m] [GROUP=OPTION ...] [KEY=VALUE ...]",
        _FLAGS,
    ),
    "evaluate": About(
        "Computes the figures of a finished run again, from its folder alone, and shows them beside those of "
        "result.json. images= looks at single images.",
        {
            f"evaluate run={_RUN}": "the test set",
            f"evaluate run={_RUN} split=val checkpoint=last": "the held-out images, with the last weights",
            f'evaluate run={_RUN} "images=[3,17]"': "two test images; of a segmentation with a figure each",
        },
        ("guide", "segmentation"),
        "run=FOLDER [KEY=VALUE ...]",
    ),
    "predict": About(
        "Applies a finished run to images of your own: classes with probabilities (predictions.csv), or masks and the "
        "images with the masks on them. Images are resized to what the network was trained on; masks come back in the "
        "images' own size.",
        {
            f"predict run={_RUN} input=photo.jpg": "one image",
            f"predict run={_RUN} input=photos output=out": "all images below a folder",
            f"predict run={_RUN} input=scans overlays=false batch_size=4": "masks alone, four images at a time",
        },
        ("guide", "segmentation"),
        "run=FOLDER input=IMAGE_OR_FOLDER [KEY=VALUE ...]",
    ),
    "export": About(
        "Writes a trained run as one file for other programs: normalisation and network as ONNX or torch.export, or "
        "the weights alone. The file is opened again and held against the run; FILE.json beside it tells what goes in "
        "and comes out.",
        {
            f"export run={_RUN}": "ONNX",
            f"export run={_RUN} format=torch_export": "for torch.export.load",
            f"export run={_RUN} format=safetensors output=weights.safetensors": "the weights alone, there",
        },
        ("export",),
        "run=FOLDER [KEY=VALUE ...]",
    ),
    "activations": About(
        "Looks at what each layer of a trained network gives over a whole set of images: statistics, histograms, "
        "feature maps, linear probes, correlations, averages of batch normalisation. compare= puts networks side by "
        "side.",
        {
            f"activations run={_RUN}": "all training images",
            f'activations run={_RUN} split=test "images=[3]" "maps=[3]"': "one image",
            f'activations run={_RUN} probe=true "layers=[Conv2d]"': "what a linear map reads from each convolution",
            'activations "compare=[RUN_A,RUN_B]"': "two networks",
        },
        ("activations",),
        "run=FOLDER | compare=[FOLDER,...] [KEY=VALUE ...]",
    ),
    "summary": About(
        "Shows every layer of a network with output shape, parameters and multiply-adds. It takes the options of "
        "train; nothing is trained, no data set is read.",
        {
            "summary model=net_b data=cifar10": "net B on images of 32x32",
            "summary experiment=jsrt_unet depth=2": "an experiment's net, two levels deep",
        },
        ("reference/model",),
        "[GROUP=OPTION ...] [KEY=VALUE ...]",
        {key: text for key, text in _FLAGS.items() if key.startswith("--")},
    ),
    "status": About(
        "Shows how a sweep or a run stands, every second: what is done, what runs and how far, what failed and why, "
        "and the time left. Look from another terminal, also while a cluster works; it changes nothing.",
        {
            "status outputs/sweeps/FOLDER": "live; Ctrl-C leaves",
            "status mnist_augmentation --once": "a study, once",
        },
        ("sweeps", "cluster"),
    ),
    "cancel": About(
        "Stops what runs or waits of a sweep or run: its command, its jobs on this machine and in Slurm's queue. What "
        "runs saves itself first; the sweep's own command goes on with it later.",
        {
            "cancel outputs/sweeps/FOLDER": "a sweep",
            "cancel mnist_augmentation": "a study",
        },
        ("cluster", "reliability"),
    ),
    "report": About(
        "Writes what a sweep writes at its end, again, of runs in whatever state they are: runs.csv, summary.csv, "
        "summary.md, figures and report.html, one page that opens from disk. Needs no torch.",
        {
            "report outputs/sweeps/FOLDER": "a sweep",
            "report mnist_augmentation": "a study, with the verdicts on its claims",
            f"report {_RUN}": "a single run",
        },
        ("report", "studies"),
    ),
    "operators": About(
        "Holds convolution, pooling and the other operators that are written out by hand against PyTorch's: "
        "differences, times and what the reports printed. `shapes` explains the output-size formulas with numbers.",
        {
            "operators": "the table, seconds; exit code 1 if one differs",
            "operators shapes": "the formulas",
        },
        ("operators",),
    ),
    "wandb": About(
        "Runs in Weights & Biases: what lies in the folders is sent, shown or searched there. Training itself needs "
        "only logger=wandb.",
        {"train -m logger=wandb optimizer.lr=0.001,0.01": "runs that appear in W&B while they train"},
        ("wandb",),
    ),
    "wandb sync": About(
        "Sends what W&B lacks of runs, also of those that were trained offline or without a logger. What is there "
        "already is not sent twice.",
        {
            "wandb sync outputs/sweeps/FOLDER": "a sweep, run by run",
            "wandb sync outputs/runs/A outputs/runs/B": "two runs",
        },
        ("wandb",),
    ),
    "wandb dashboard": About(
        "Makes a workspace and a report page of a study, sweep or run in W&B, and prints their addresses. Needs "
        "pip install wandb-workspaces and a key.",
        {
            "wandb dashboard mnist_pooling": "a study",
            "wandb dashboard outputs/sweeps/FOLDER --print": "look first; needs no key",
        },
        ("wandb",),
    ),
    "wandb sweep": About(
        "Checks a search space and writes the file with which W&B steers a sweep itself; agents on any machine run it.",
        {
            "wandb sweep --method bayes optimizer.lr='interval(1e-4,1e-1)'": "then wandb sweep sweep.yaml, as it says",
            "wandb sweep optimizer.lr=0.1,0.01 seed=0,1 --output grid.yaml": "a grid",
        },
        ("wandb",),
    ),
}


def plain_epilog(verb: str) -> str:
    """What stands below the arguments of a plain verb."""
    return "\n\n".join(_closing(ABOUT[verb]))


def group_help(verb: str, actions: Mapping[str, str]) -> str:
    """The help of a verb of several actions: name -> what it does, in a line."""
    listed = _listed("actions", {**actions, "ACTION --help": "all options of an action"})
    return "\n\n".join([wrapped(ABOUT[verb].text), listed, *_closing(ABOUT[verb])])


def composed_help(verb: str, options: Sequence[Key]) -> str:
    """The help of a verb whose config Hydra composes.

    Args:
        verb: its name.
        options: its own keys.
    """
    about = ABOUT[verb]
    told = {f"{key.name}={key.shown}": key.comment for key in options}
    parts = [f"usage: receptive {verb} {about.usage}", wrapped(about.text), *_closing(about)[:-1]]
    parts.append(_listed("options, with their defaults (???: has to be given)", told, widest=24))
    if about.flags:
        parts.append(_listed("flags", about.flags))
    return "\n\n".join([*parts, *_closing(about)[-1:]])


def _closing(about: About) -> list[str]:
    examples = {f"receptive {command}": text for command, text in about.examples.items()}
    pages = ", ".join(f"docs/{page}" if page == "reference" else f"docs/{page}.md" for page in about.more)
    return [*([_listed("examples", examples)] if examples else []), f"more: {pages}"]


def wrapped(text: str, indent: str = "") -> str:
    """Text in lines that fit the terminal, at most 110 signs."""
    width = min(shutil.get_terminal_size().columns - 2, 110)
    return textwrap.fill(text, max(width, 40), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _listed(title: str, rows: Mapping[str, str], widest: int = 52) -> str:
    """A title and its rows: a word or command and what it is, in two columns; of wider ones the text comes below."""
    column = max((len(left) for left in rows if len(left) <= widest), default=0) + 4
    lines = [f"{title}:"]
    for left, text in rows.items():
        if not text:
            lines.append(f"  {left}")
            continue
        told = wrapped(text, " " * column).splitlines()
        if len(left) + 4 <= column:  # beside the first line
            told[0] = f"  {left:<{column - 2}}{told[0].lstrip()}"
        else:
            lines.append(f"  {left}")
        lines += told
    return "\n".join(lines)

"""The rules of the house. Each is a function from a checkout's folder to its faults, and is held twice: this
checkout has no fault, and a fault planted in a small checkout is found."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

# Room (what lies directly below src/receptive) -> the rooms it may import beside itself and `errors`.
# A new room is placed here first: what it may know is a decision.
HOUSE = {
    # verbs
    "__main__": "cli",
    "cli": "arguments commands comments config help signals",
    "commands": "arguments verbs",
    "verbs": "activations config console evaluate export operators predict report runs signals signatures single "
    "summary sweeps tracking",
    # build, check and job within functions
    "sweeps": "build check config console files job journal lease manifest metrics report runs signals slurm "
    "source_code tracking",
    "report": "config console figures files manifest metrics runs source_code",
    "single": "check config console files job metrics ranks runs signals tracking",
    "job": "callbacks checkpoints config console logs ranks runs signals slurm source_code tracking train",
    "evaluate": "build figures illustrate inference logs runs train trainer",
    "predict": "build console data figures files reuse runs trainer",
    "reuse": "build data inference metrics runs signatures trainer",
    "export": "build config data files models provenance reuse runs",
    "activations": "build config data figures files inference recording runs trainer",
    "summary": "build check signatures",
    # one run
    "train": "build callbacks config console files illustrate logs provenance ranks runs signals tracking trainer",
    "illustrate": "build figures files inference recording runs tasks",
    "inference": "data tasks trainer",
    "check": "build config model_check recording signatures",
    "model_check": "build data signatures",
    "build": "checkpoints data files runs tasks trainer",
    "trainer": "callbacks checkpoints metrics ranks",
    "callbacks": "checkpoints files journal metrics ranks recording runs signals tasks",
    "checkpoints": "files runs",
    "tracking": "callbacks config console files lease manifest metrics report runs signals",
    # what a run is made of; never of one another
    "data": "files",
    "models": "",
    "tasks": "ranks",
    "optimizers": "",
    "operators": "console",
    "recording": "",
    # the ground
    "arguments": "config help",
    "help": "comments",
    "comments": "",
    "ranks": "runs signals",
    "figures": "",
    "logs": "",
    "console": "",
    "manifest": "config files runs",
    "metrics": "",
    "journal": "files runs signatures",
    "slurm": "files signals",
    "runs": "files lease",
    "lease": "files",
    "provenance": "config source_code",
    "source_code": "",
    "config": "files",
    "signals": "",
    "signatures": "comments config",
    "files": "",
    "errors": "",
    "__init__": "reuse runs",  # within `load`
}
# A laptop without torch reads results, composes and completes; plugins load at every start.
TORCH_FREE = {
    "arguments",
    "__init__",
    "__main__",
    "cli",
    "commands",
    "comments",
    "config",
    "errors",
    "help",
    "provenance",
    "receptive_plugins",
    "report",
    "runs",
    "verbs",
}
TORCH_FREE |= {
    "console",
    "journal",
    "lease",
    "logs",
    "manifest",
    "metrics",
    "signals",
    "slurm",
    "source_code",
    "sweeps",
}
TORCH = ("torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning_fabric", "timm")
LIGHTNING_FREE = {"models", "operators", "optimizers"}
LIGHTNING = {"pytorch_lightning", "lightning", "lightning_fabric"}
DUMPING_GROUNDS = {"utils", "util", "common", "helpers", "helper", "misc"}
MOST_FUNCTION_LINES, MOST_FILE_LINES = 60, 300

Rule = Callable[[Path], list[str]]


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Every module below src as (dotted name, file)."""
    for path in sorted((root / "src").rglob("*.py")):
        parts = path.relative_to(root / "src").with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def room_of(path: Path) -> str:
    """`data` of src/receptive/data/mnist.py, `train` of src/receptive/train.py."""
    parts = path.with_suffix("").parts
    return parts[len(parts) - parts[::-1].index("src") + 1]


def imports(name: str, path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import in a file, within functions too; relative ones resolved."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # The last part may be a name or a module: only the first two parts are looked at.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def directions(root: Path) -> list[str]:
    """Imports against the directions of HOUSE, and rooms that have no place in it."""
    faults = []
    rooms = {room_of(path) for name, path in modules(root) if name.split(".")[0] == "receptive"}
    for room in sorted(rooms - HOUSE.keys()):
        faults.append(f"src/receptive/{room}: place it in HOUSE: what may it import?")
    for name, path in modules(root):
        room = room_of(path)
        allowed = {room, "errors", "__init__", *HOUSE.get(room, " ".join(rooms)).split()}
        for line, target in imports(name, path):
            head, _, rest = target.partition(".")
            wanted = rest.split(".")[0]
            if name.startswith("receptive") and head == "receptive" and wanted in rooms - allowed:
                faults.append(f"{path.relative_to(root)}:{line}: {room} may not import {wanted}")
            if name.startswith("receptive") and head == "hydra_plugins":
                faults.append(f"{path.relative_to(root)}:{line}: the plugins import receptive, never the other way")
            if room in LIGHTNING_FREE and head in LIGHTNING:
                faults.append(f"{path.relative_to(root)}:{line}: {room} knows no Lightning")
    return list(dict.fromkeys(faults))


def torch_free(root: Path) -> list[str]:
    """Modules of the light rooms whose import loads torch, directly or through others."""
    names = [name for name, path in modules(root) if room_of(path) in TORCH_FREE]
    code = (
        "import importlib, sys\n"
        "class Refusing:\n"  # before it is imported: that would take seconds
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in {TORCH!r}: sys.exit(f'{{module}} loads {{name}}')\n"
        "sys.meta_path.insert(0, Refusing())\n"
        f"for module in {names!r}:\n"
        "    importlib.import_module(module)\n"
    )
    # Not measured: the lines of planted checkouts are nobody's.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    environment["PYTHONPATH"] = str(root / "src")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    return [done.stderr.strip()] if done.returncode else []


def dumping_grounds(root: Path) -> list[str]:
    """Modules and packages named after nothing."""
    return [str(path.relative_to(root)) for _, path in modules(root) if DUMPING_GROUNDS & {*path.with_suffix("").parts}]


def lengths(root: Path) -> list[str]:
    """Functions and files that a reader would thank us for splitting."""
    faults = []
    for path in sorted([*(root / "src").rglob("*.py"), *(root / "scripts").rglob("*.py")]):
        text, place = path.read_text(encoding="utf-8"), path.relative_to(root)
        if (lines := text.count("\n")) > MOST_FILE_LINES:
            faults.append(f"{place}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_FUNCTION_LINES:
                    faults.append(f"{place}:{node.lineno}: {node.name}: {lines} lines")
    return faults


def texts(root: Path) -> Iterator[tuple[Path, str]]:
    """The project's text files: what git knows or would add; without git, its folders."""
    if (root / ".git").exists():
        listed = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
        paths = [root / name for name in names if name]
    else:
        folders = ("src", "conf", "tests", "scripts", "docs", ".github", ".ci")
        paths = [path for folder in folders for path in (root / folder).rglob("*")]
        paths += list(root.glob("*"))
    for path in sorted(paths):
        if path.is_file() and b"\0" not in (raw := path.read_bytes())[:8192]:
            yield path, raw.decode("utf-8", errors="replace")


def addresses(root: Path) -> list[str]:
    """Package registries' addresses and absolute home folders: they are one machine's, not the project's."""
    registries = r"pypi\.org|pythonhosted\.org|deb\.debian\.org|npmjs\.(?:org|com)|download\.pytorch\.org"
    pattern = re.compile(rf"{registries}|/(?:home|Users)/[\w.-]+|(?<![\w.])/root[/]\w")
    return [
        f"{path.relative_to(root)}:{number}: {match[0]}"
        for path, text in texts(root)
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]


def undeclared(root: Path) -> list[str]:
    """Third-party imports that pyproject.toml does not name: they come along only by chance."""
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*table["dependencies"], *itertools.chain(*table.get("optional-dependencies", {}).values())]
    declared = {canonicalize_name(Requirement(text).name) for text in wanted}
    own = {"receptive", "hydra_plugins", "__future__", *sys.stdlib_module_names}
    providers = packages_distributions()
    return [
        f"{path.relative_to(root)}:{line}: {target} is of no declared dependency"
        for name, path in modules(root)
        for line, target in imports(name, path)
        if (top := target.partition(".")[0]) not in own
        and not declared & {canonicalize_name(provider) for provider in providers.get(top, [])}
    ]


def reasons(root: Path) -> list[str]:
    """Required dependencies that do not say why they are there."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    block = text.partition("\ndependencies = [\n")[2].partition("\n]\n")[0].splitlines()
    declared = tomllib.loads(text)["project"]["dependencies"]
    told = [
        line.split('"')[1]
        for before, line in zip(["", *block], block, strict=False)
        if line.strip().startswith('"') and before.strip().startswith("# ")
    ]
    return [f"pyproject.toml: {requirement}: why?" for requirement in declared if requirement not in told]


def pins(root: Path) -> list[str]:
    """What in requirements.txt is not name==version, or does not meet pyproject.toml."""
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    faults = [f"requirements.txt: {line}" for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.!+]+", line)]
    pinned = dict(line.split("==") for line in lines if "==" in line)
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    extras = table["project"].get("optional-dependencies", {})
    for group in (
        table["project"]["dependencies"],
        *extras.values(),
        *table.get("dependency-groups", {}).values(),
    ):
        for requirement in map(Requirement, group):
            version = pinned.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version):
                faults.append(f"requirements.txt: {requirement} is not met by {version}: make lock")
    return faults


def targets(root: Path) -> list[str]:
    """Quoted make commands without a target, and a README that does not run the suite as .ci/run does."""
    known = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    faults = []
    for name in ("README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/ci.yml"):
        text = (root / name).read_text(encoding="utf-8")
        quoted = set(re.findall(r"(?:^|`|\$ |&& |run: |part [\w\" ]+ )make ([a-z]+)", text, re.MULTILINE))
        faults += [f"{name}: make {target} is no target" for target in sorted(quoted - known)]
        if name in ("README.md", ".ci/run") and "test" not in quoted:
            faults.append(f"{name}: the suite is run by `make test`, which it does not say")
    return faults


def openings(root: Path) -> list[str]:
    """Docstrings that begin with Return: ours name what is given, `The facts` and not `Return the facts`."""
    return [
        f"{path.relative_to(root)}:{node.lineno}: {node.name}: say what is given, without Return"
        for _, path in modules(root)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if re.match(r"Returns?\b", ast.get_docstring(node) or "")
    ]


def consoles(root: Path) -> list[str]:
    """rich's Console made by hand: it would take brackets in a path for markup, and fold a long line."""
    return [
        f"{path.relative_to(root)}:{number}: receptive.console.new_console makes consoles"
        for path in sorted([*(root / "src").rglob("*.py"), *(root / "scripts").rglob("*.py")])
        if path != root / "src/receptive/console.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"(?<!\w)Console\(", line)
    ]


RULES: tuple[Rule, ...] = (
    directions,
    torch_free,
    dumping_grounds,
    lengths,
    addresses,
    undeclared,
    reasons,
    pins,
    targets,
    openings,
    consoles,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_checkout_keeps_the_rule(rule: Rule) -> None:
    assert not (faults := rule(ROOT)), "\n".join(faults)


def test_the_tree_is_read() -> None:
    """An empty list of modules would keep every rule."""
    names = [name for name, _ in modules(ROOT)]
    assert {"receptive", "receptive.config", "receptive.models.mnist_net"} <= set(names)
    assert len(list(texts(ROOT))) > len(names)


SOUND = {
    "src/receptive/__init__.py": "",
    "src/receptive/errors.py": "",
    "src/receptive/runs.py": "import json\nfrom receptive import errors\n",
    "src/receptive/cli.py": "from receptive import commands\n",
    "src/receptive/commands.py": "from receptive import verbs\n",
    "src/receptive/verbs.py": "",
    "src/receptive/train.py": "import receptive.build\n",
    "src/receptive/build.py": "from receptive.data import mnist\nfrom .data import mnist as again\n",
    "src/receptive/data/__init__.py": "",
    "src/receptive/data/mnist.py": "import pytorch_lightning\nfrom . import source\nfrom .source import x\n",
    "src/receptive/data/source.py": "import receptive.errors\n",
    "src/receptive/models/__init__.py": "",
    "src/receptive/models/net.py": "import torch\n",
    "src/hydra_plugins/receptive_plugins/__init__.py": "",
    "scripts/lock.py": "",
    "pyproject.toml": """[project]
dependencies = [
  # tensors
  "torch>=2",
  # the training loop
  "pytorch-lightning",
]
""",
    "requirements.txt": "pytorch-lightning==2.6.6\ntorch==2.15.0\n",
    "Makefile": "demo: x\ntest: x\n",
    "README.md": "```\nmake demo\n$ make test\n```\nThen make sure.\n",
    "CONTRIBUTING.md": "",
    ".ci/run": 'part demo make demo\npart "the suite" make test\n',
    ".github/workflows/ci.yml": "- run: make test\n",
}
LONG = "def long():\n" + "    pass\n" * MOST_FUNCTION_LINES


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout that keeps every rule."""
    for name, text in SOUND.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_checkout_has_no_faults(rule: Rule, checkout: Path) -> None:
    assert rule(checkout) == []


@pytest.mark.parametrize(
    ("rule", "name", "text", "told"),
    [
        (
            directions,
            "src/receptive/data/mnist.py",
            "from receptive.models.net import x",
            "data may not import models",
        ),
        (directions, "src/receptive/data/mnist.py", "from ..models import net", "data may not import models"),
        (
            directions,
            "src/receptive/data/__init__.py",
            "from ..models import net",
            "data may not import models",
        ),
        (
            directions,
            "src/receptive/models/net.py",
            "from receptive import data",
            "models may not import data",
        ),
        (
            directions,
            "src/receptive/train.py",
            "def f():\n    from hydra_plugins.receptive_plugins import X",
            ":2: the plugins import receptive",
        ),
        (
            directions,
            "src/receptive/train.py",
            "def f():\n    import receptive.cli",
            ":2: train may not import cli",
        ),
        (
            directions,
            "src/receptive/models/net.py",
            "from pytorch_lightning import x",
            "models knows no Lightning",
        ),
        (directions, "src/receptive/novelty/x.py", "", "src/receptive/novelty: place it in HOUSE"),
        (torch_free, "src/receptive/runs.py", "import torch", "receptive.runs loads torch"),
        (torch_free, "src/receptive/runs.py", "import receptive.models.net", "receptive.runs loads torch"),
        (torch_free, "src/hydra_plugins/receptive_plugins/x.py", "import torch", "receptive_plugins.x loads"),
        (dumping_grounds, "src/receptive/data/utils.py", "", "utils.py"),
        (dumping_grounds, "src/receptive/helpers/x.py", "", "helpers"),
        (consoles, "src/receptive/runs.py", "from rich.console import Console\nx = Console()", "runs.py:2: receptive"),
        (consoles, "scripts/lock.py", "import rich.console\nx = rich.console.Console()", "lock.py:2: receptive"),
        (lengths, "src/receptive/runs.py", LONG, "runs.py:1: long: 61 lines"),
        (lengths, "scripts/lock.py", "#\n" * 301, "lock.py: 301 lines"),
        (addresses, "README.md", "\nfrom https://py" + "pi.org/simple", "README.md:2"),
        (addresses, "requirements.txt", "#  files.python" + "hosted.org", "requirements.txt:1"),
        (addresses, "src/receptive/runs.py", "'/ho" + "me/ada/data'", "runs.py:1: /ho"),
        (
            undeclared,
            "src/receptive/runs.py",
            "def f():\n    from yaml import x",
            "runs.py:2: yaml.x is of no",
        ),
        (reasons, "pyproject.toml", '[project]\ndependencies = [\n  "rich",\n]\n', "rich: why?"),
        (reasons, "pyproject.toml", '[project]\ndependencies = [\n  # a\n  "rich",\n  "x",\n]\n', "x: why?"),
        (
            pins,
            "requirements.txt",
            "pytorch-lightning>=2\ntorch==2.15.0\n",
            "requirements.txt: pytorch-lightning>=2",
        ),
        (pins, "requirements.txt", "torch @ file:///x\n", "torch @ file"),
        (pins, "requirements.txt", "torch==1.13\n", "torch>=2 is not met by 1.13"),
        (targets, "README.md", "`make test` and `make coffee`", "README.md: make coffee is no target"),
        (targets, "README.md", "make demo", "README.md: the suite"),
        (targets, ".ci/run", "part demo make demo\n", ".ci/run: the suite"),
        (openings, "src/receptive/runs.py", 'def f():\n    """Return it."""', "runs.py:1: f: say what is given"),
        (targets, ".github/workflows/ci.yml", "- run: make tset\n", "make tset is no target"),
    ],
)
def test_a_planted_fault_is_found(rule: Rule, name: str, text: str, told: str, checkout: Path) -> None:
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text(text, encoding="utf-8")
    assert told in "\n".join(rule(checkout))

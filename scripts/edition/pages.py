"""The parts of README.md and docs/reports that are made from results/: between two comments in the page.

<!-- results: claims R3 -->      a row a claim of the report, with every verdict on it
<!-- results: summary STUDY -->  a row a group of seeds
<!-- results: source STUDY -->   command, runs, epochs, minutes, commits, machine
<!-- results: figures STUDY -->  the study's figures
<!-- results: layers -->         what nets A and B give behind each ReLU
<!-- results: checks -->         where the rows of `checks` come from
<!-- results: tally -->          a row a report: how many verdicts of each kind
<!-- results: headline -->       README's table
<!-- /results -->
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.edition import nets

from receptive.console import counted
from receptive.files import read_csv, read_json, read_yaml, write_atomically
from receptive.metrics import metric_text
from receptive.report.statistics import Spread
from receptive.report.tables import markdown_table

HEADLINE = Path("docs/reports/headline.yaml")
CATALOGUE = Path("docs/reports/claims.yaml")
_BLOCK = re.compile(r"(<!-- results: (?P<what>\w+) ?(?P<of>\w*) -->\n)(?P<text>.*?)(<!-- /results -->)", re.DOTALL)
_OF_A_STUDY = ("summary", "source", "figures")
_CHECKS = "checks"  # the folder below results/ of claims that no study judges
Row = dict[str, str]


class Pages:
    """Fills pages of a checkout from its results.

    Args:
        root: the checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.claims: dict[str, Row] = read_yaml(root / CATALOGUE)
        found = {path.parent.name for path in (root / "results").glob("*/provenance.json")}
        self.studies = sorted(found - {_CHECKS})
        self._blocks: dict[str, Callable[[str, Path], str]] = {
            "claims": self._claims,
            "summary": self._summary,
            "source": self._source,
            "figures": self._figures,
            "layers": self._layers,
            "checks": self._checks,
            "tally": self._tally,
            "headline": self._headline,
        }

    @property
    def reported(self) -> list[str]:
        """Ids of the reports' claims; `beyond.*` are targets of ours."""
        return [name for name in self.claims if not name.startswith("beyond.")]

    def paths(self) -> Iterator[Path]:
        """The pages."""
        yield self.root / "README.md"
        yield from sorted((self.root / "docs/reports").glob("*.md"))

    def filled(self, path: Path) -> str:
        """A page as it should be."""

        def fill(match: re.Match[str]) -> str:
            text = self._text(match["what"], match["of"], path.parent)
            return f"{match[1]}\n{text}\n\n{match[5]}" if text else f"{match[1]}{match[5]}"

        return _BLOCK.sub(fill, path.read_text(encoding="utf-8"))

    def _text(self, what: str, of: str, place: Path) -> str:
        """What stands between two comments."""
        make = self._blocks[what]
        if what not in _OF_A_STUDY:
            return make(of, place)
        full = f"{of}_full"  # the same with the report's epochs
        texts = [make(of, place)] if of in self.studies else []
        if full in self.studies:
            texts.append(f"With the report's epochs (`{full}`):\n\n{make(full, place)}")
        if not texts and what == "source":
            return f"Not run yet: `receptive train study={of} hydra/launcher=packed`."
        return "\n\n".join(texts)

    def verdicts(self, claim: str) -> list[Row]:
        """What the results say to a claim: rows of claims.csv, and in `from` the study and its epochs, or `checks`."""
        rows = []
        for name in [*self.studies, _CHECKS]:
            path = self.root / "results" / name / "claims.csv"
            if path.is_file():
                judge = f"`{name}`" if name == _CHECKS else f"`{name}`, {self._epochs(name)} epochs"
                rows += [row | {"from": judge} for row in read_csv(path) if row["claim"] == claim]
        return rows

    def _epochs(self, study: str) -> str:
        return _span(read_json(self.root / "results" / study / "provenance.json")["epochs"])

    def _claims(self, report: str, place: Path) -> str:
        titles = ("claim", "the report", "what is judged", "ours", "verdict")
        rows = []
        for name, claim in self.claims.items():
            if name.partition(".")[0] != report:
                continue
            first = [name, f"{claim['text']}; reported: {claim['reported']}"]
            for row in self.verdicts(name):
                verdict = f"**{row['verdict']}**: {row['why']} ({row['from']})"
                rows.append([*first, row["what it says"], row["ours"], verdict])
                first = ["", ""]
            if first[0]:
                rows.append([*first, "", "", f"**open**: {claim.get('reason', 'not run yet')}"])
        return markdown_table(titles, rows)

    def _summary(self, study: str, place: Path) -> str:
        rows = read_csv(self.root / "results" / study / "summary.csv")
        columns = list(rows[0])
        labels = columns[: columns.index("runs")]
        known = [column.removesuffix(" mean") for column in columns if column.endswith(" mean")]
        test = known[0].replace("val/", "test/")
        metrics = [known[0], *([test] if test != known[0] and test in known else [])]
        cells = [[*(row[label] for label in labels), *(_spread(row, metric) for metric in metrics)] for row in rows]
        return markdown_table([*labels, *metrics], cells)

    def _source(self, study: str, place: Path) -> str:
        source = read_json(self.root / "results" / study / "provenance.json")
        done, of = source["jobs"]["done"], source["jobs"]["of"]
        runs = f"{done} runs" if done == of else f"{done} of {of} runs so far"
        seeds = f"seed{'s' if len(source['seeds']) > 1 else ''} {_span(source['seeds'])}"
        epochs = self._epochs(study)
        commits = ", ".join(commit[:7] for commit in source["commits"]) + _changes(source)
        if len(source["code"]) > 1:  # code_hash
            commits += f" ({len(source['code'])} states of the code that trains)"
        machines = ", ".join(f"{one['device']}, {counted(one['threads'], 'thread')}" for one in source["hardware"])
        dates = source["from"] if source["from"] == source["to"] else f"{source['from']} to {source['to']}"
        return (
            f"`{source['command']}`: {runs}, {seeds}, {epochs} epochs, "
            f"{source['minutes']} minutes summed over them; {machines} a run, {', '.join(source['precision'])}; "
            f"{dates}, commit {commits}. Mean ± deviation over seeds (ddof 1)."
        )

    def _figures(self, study: str, place: Path) -> str:
        folder = self.root / "results" / study / "figures"
        up = "../" * len(place.relative_to(self.root).parts)
        names = sorted(path.name for path in folder.glob("*.png"))
        return "\n\n".join(f"![{study}: {name[:-4]}]({up}results/{study}/figures/{name})" for name in names)

    def _layers(self, _: str, place: Path) -> str:
        results = self.root / "results"
        depths = {net: nets.by_depth(results, net) for net in nets.NETS}
        if not all(depths.values()):
            return ""
        quantities = {"mean_absolute": "mean absolute activation", "zeros": "share of exact zeros"}
        columns = [
            (f"{name}, {net.upper()}", depths[net][key]) for key, name in quantities.items() for net in nets.NETS
        ]
        numbers = list(columns[0][1])
        rows = [[f"ReLU {number}", *(_scatter(series[number]) for _, series in columns)] for number in numbers]
        rows.append(["mean of all", *(_scatter(nets.overall(series)) for _, series in columns)])
        images = int(nets.tables(results, nets.NETS[0])[0]["layers.csv"][0]["images"])
        source = (
            f"Behind each ReLU, over {images:,} training images, best epoch of {nets.epochs(results)} (`{nets.STUDY}`, "
            f"n={columns[0][1][numbers[0]].n} each); mean ± deviation over seeds (ddof 1)."
        )
        return f"{source}\n\n{markdown_table(['layer', *(title for title, _ in columns)], rows)}"

    def _checks(self, _: str, place: Path) -> str:
        source = read_json(self.root / "results" / _CHECKS / "provenance.json")
        return (
            f"`{source['command']}`: {source['device']}, torch {source['versions']['torch'].partition('+')[0]}; "
            f"{source['day']}, commit {source['code']['commit'][:7]}{_changes(source['code'])}."
        )

    def _tally(self, _: str, place: Path) -> str:
        counts: dict[str, Counter[str]] = {}
        for name in self.reported:
            verdicts = [row["verdict"] for row in self.verdicts(name)] or ["open"]
            counts.setdefault(name.partition(".")[0], Counter()).update(["claims", *verdicts])
        titles = ("claims", "holds", "does not hold", "undecided", "not judged", "open")
        rows = [[report, *(str(count[title] or "") for title in titles)] for report, count in counts.items()]
        total = sum(counts.values(), Counter())
        assert set(total) <= set(titles)
        return markdown_table(("report", *titles), [*rows, ["all", *(str(total[title]) for title in titles)]])

    def _headline(self, _: str, place: Path) -> str:
        titles = ("claim", "what", "report", "ours", "n", "epochs", "verdict", "STUDY")
        rows = []
        for one in read_yaml(self.root / HEADLINE)["rows"]:
            study = self.root / "results" / one["study"]
            if not (study / "summary.csv").is_file():
                continue
            groups = read_csv(study / "summary.csv")
            [row] = [row for row in groups if all(row[key] == str(value) for key, value in one["where"].items())]
            ours = _spread(row, one["metric"]).partition(" (n=")[0]
            epochs = f"{self._epochs(one['study'])}{one.get('epochs', '')}"
            claims = read_csv(study / "claims.csv")
            [verdict] = [claim["verdict"] for claim in claims if claim["what it says"] == one["judged"]]
            line = (one["claim"], one["what"], one["reported"], ours, row[f"{one['metric']} n"], epochs, verdict)
            rows.append([*line, f"`study={one['study']}`"])
        return markdown_table(titles, rows)


def write(root: Path) -> list[Path]:
    """Fill the pages of a checkout; gives those that changed."""
    pages = Pages(root)
    changed = [path for path in pages.paths() if pages.filled(path) != path.read_text(encoding="utf-8")]
    for path in changed:
        write_atomically(path, pages.filled(path))
    return changed


def _spread(row: Row, metric: str) -> str:
    """`98.83 ± 0.11 % (n=5)` of a row of summary.csv."""
    count = row.get(f"{metric} n", "")
    if not count or count == "0":
        return ""
    mean = metric_text(metric, float(row[f"{metric} mean"]))
    deviation = row[f"{metric} deviation"]
    spread = f" ± {metric_text(metric, float(deviation))}" if deviation else ""
    return f"{mean.removesuffix(' %') if spread and mean.endswith('%') else mean}{spread} (n={count})"


def _scatter(known: Spread) -> str:
    return f"{known.mean:.3f} ± {known.deviation:.3f}"


def _changes(source: dict[str, Any]) -> str:
    return " with uncommitted changes" if source["dirty"] else ""


def _span(values: list[int]) -> str:
    whole = len(values) > 1 and values == list(range(values[0], values[-1] + 1))
    return f"{values[0]} to {values[-1]}" if whole else ", ".join(map(str, values))

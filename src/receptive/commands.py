"""All verbs of `receptive`: what each does in a line, what runs it, what arguments it takes."""

from __future__ import annotations

from receptive import verbs
from receptive.arguments import HydraVerb, Parser, PlainVerb, VerbGroup, add_choice, one_of, quote_path


def _declare_place(parser: Parser) -> None:
    """The argument of verbs that look at a folder."""
    parser.add_argument("place", metavar="FOLDER_OR_STUDY", help="a folder of runs, or a study's name")


def _declare_status(parser: Parser) -> None:
    """The arguments of `receptive status`."""
    _declare_place(parser)
    parser.add_argument("--once", action="store_true", help="print it once, also on a terminal")


def _declare_sync(parser: Parser) -> None:
    """The arguments of `receptive wandb sync`."""
    parser.add_argument("places", metavar="FOLDER_OR_STUDY", nargs="+", help="folders of runs, or names of studies")


def _declare_dashboard(parser: Parser) -> None:
    """The arguments of `receptive wandb dashboard`."""
    _declare_place(parser)
    parser.add_argument("--project", help="in which the runs are; else that of their configs")
    parser.add_argument("--entity", help="user or team; else that of their configs, or the key's own")
    text = "print what would be saved, as JSON; needs neither key nor server"
    parser.add_argument("--print", dest="only_print", action="store_true", help=text)


def _declare_wandb_sweep(parser: Parser) -> None:
    """The arguments of `receptive wandb sweep`."""
    methods = ("grid", "random", "bayes")
    text = f"how W&B chooses points: {', '.join(methods)} (grid)"
    parser.add_argument("--method", type=one_of(methods), choices=methods, default="grid", help=text)
    parser.add_argument("--metric", help="to be made best; else the one that chooses the best checkpoint")
    parser.add_argument("--name", help="of the sweep in W&B")
    parser.add_argument("--output", metavar="FILE", default="sweep.yaml", help="written to (sweep.yaml)")
    text = "as for receptive train -m: lists, ranges, intervals; single values hold for all runs"
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="+", type=quote_path, help=text)


def _declare_operators(parser: Parser) -> None:
    """The argument of `receptive operators`."""
    add_choice(parser, "topic", ("shapes",), "shapes: the output-size formulas, with numbers")


VERBS: dict[str, HydraVerb | PlainVerb | VerbGroup] = {
    "train": HydraVerb("train and test one run; with -m, or a study, a sweep of them", verbs.train, of_groups=True),
    "evaluate": HydraVerb("the figures of a finished run again: run=FOLDER", verbs.evaluate),
    "predict": HydraVerb("a finished run on your images: run=FOLDER input=IMAGE_OR_FOLDER", verbs.predict),
    "export": HydraVerb("a finished run as a file for other programs: run=FOLDER format=onnx", verbs.export),
    "activations": HydraVerb("what the layers of a trained network give: run=FOLDER", verbs.activations),
    "summary": HydraVerb(
        "layers, output shapes, parameters and multiply-adds of a model", verbs.summary, of_groups=True
    ),
    "status": PlainVerb(
        "a sweep or run as it stands, from another terminal: FOLDER_OR_STUDY",
        verbs.status,
        _declare_status,
        suggest=verbs.studies_run,
    ),
    "cancel": PlainVerb(
        "stop what runs or waits of a sweep, here and in Slurm's queue: FOLDER_OR_STUDY",
        verbs.cancel,
        _declare_place,
        suggest=verbs.studies_run,
    ),
    "report": PlainVerb(
        "tables, figures and one HTML page of a sweep, a study or a run: FOLDER_OR_STUDY",
        verbs.report,
        _declare_place,
        suggest=verbs.studies_run,
    ),
    "wandb": VerbGroup(
        "runs in Weights & Biases: sync, dashboard or sweep",
        {
            "sync": PlainVerb(
                "send what W&B lacks of runs: FOLDER_OR_STUDY ...",
                verbs.wandb_sync,
                _declare_sync,
                suggest=verbs.studies_run,
            ),
            "dashboard": PlainVerb(
                "a workspace and a report page of a study: FOLDER_OR_STUDY",
                verbs.wandb_dashboard,
                _declare_dashboard,
                suggest=verbs.studies_run,
            ),
            "sweep": PlainVerb(
                "the file for a sweep that W&B steers: OVERRIDE ...", verbs.wandb_sweep, _declare_wandb_sweep
            ),
        },
    ),
    "operators": PlainVerb(
        "convolution, pooling and others by hand against PyTorch; shapes: output-size formulas",
        verbs.operators,
        _declare_operators,
    ),
}

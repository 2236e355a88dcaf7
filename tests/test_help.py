"""`--help` of every verb is of use by itself."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from receptive.arguments import HydraVerb, PlainVerb, VerbGroup
from receptive.commands import VERBS
from receptive.comments import keys
from receptive.config import conf_dir
from receptive.help import ABOUT

Cli = Callable[..., tuple[int, str, str]]

DOCS = Path(__file__).resolve().parent.parent / "docs"
ACTIONS = [f"{verb} {name}" for verb, group in VERBS.items() if isinstance(group, VerbGroup) for name in group.actions]
COMPOSED = [verb for verb, known in VERBS.items() if isinstance(known, HydraVerb)]
EVERY = [*VERBS, *ACTIONS]
EXAMPLES = [(verb, example) for verb, about in ABOUT.items() if verb in EVERY for example in about.examples]


def test_every_verb_and_action_is_told_of() -> None:
    assert set(EVERY) == set(ABOUT)


@pytest.mark.parametrize("verb", EVERY)
def test_help_says_purpose_arguments_examples_and_where_to_read_on(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = cli(*verb.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: receptive {verb} ")
    assert ABOUT[verb].text.split(".")[0] in " ".join(out.split())
    assert "\nexamples:\n  receptive " in out
    for page in ABOUT[verb].more:
        place = DOCS / (page if page == "reference" else f"{page}.md")
        assert place.exists(), page
        assert f"docs/{place.relative_to(DOCS)}" in out
    prose = out.partition("\ngroups (")[0].splitlines()
    assert [line for line in prose if len(line) > 80 and "receptive " not in line] == []


@pytest.mark.parametrize("verb", COMPOSED)
def test_help_explains_every_option_of_a_verb(cli: Cli, verb: str) -> None:
    _, out, _ = cli(verb, "--help")
    for key in keys(conf_dir() / f"{verb}.yaml"):
        assert key.comment, key.name
        assert f"  {key.name}={key.shown}" in out
        assert key.comment.split()[0] in out


@pytest.mark.parametrize(("verb", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_an_example_is_a_command(cli: Cli, verb: str, example: str) -> None:
    words = shlex.split(example)
    if words[0] in COMPOSED:
        code, _, err = cli(*words, *(["dry_run=true"] if "-m" in words else ["--cfg", "job"]))
        assert (code, err) == (0, "")
        return
    plain = VERBS[words[0]]
    if isinstance(plain, VerbGroup):
        plain, words = plain.actions[words[1]], words[1:]
    assert isinstance(plain, PlainVerb)
    assert plain.parse(verb, words[1:])

"""The words of a command line, made ready for Hydra."""

import pytest

from receptive.arguments import flags_first, quote_path


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("run=a b,c=d", "run='a b,c=d'"),
        ("init=Läufe/ü", "init='Läufe/ü'"),
        ("hydra.run.dir=it's", r"hydra.run.dir='it\'s'"),
        ("hydra.sweep.dir=/x/a,b", "hydra.sweep.dir='/x/a,b'"),
        ("paths.data_dir=/a b", "paths.data_dir='/a b'"),
        ("data.source.root=/a=b", "data.source.root='/a=b'"),
        ("run='quoted already'", "run='quoted already'"),
        ("init=null", "init=null"),
        ("optimizer.lr=0.1,0.2", "optimizer.lr=0.1,0.2"),
        ("--cfg", "--cfg"),
        ("compare=[a,my runs/b (2), c=ü]", "compare=['a','my runs/b (2)','c=ü']"),
        ("compare=['a, b',c]", "compare=['a, b',c]"),
        ("compare=[]", "compare=[]"),
        ("compare=null", "compare=null"),
        ("compare=my run", "compare='my run'"),
    ],
)
def test_paths_are_quoted_for_hydra(given: str, passed: str) -> None:
    assert quote_path(given) == passed


def test_flags_may_stand_anywhere() -> None:
    typed = ["a=1", "-m", "b=2", "--config-dir", "mine", "--cfg", "job", "c=3"]
    assert flags_first(typed) == ["-m", "--config-dir", "mine", "--cfg", "job", "a=1", "b=2", "c=3"]

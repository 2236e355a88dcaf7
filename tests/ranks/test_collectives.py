"""In one process all is as it was; over two processes `test_world` holds them."""

import torch

from receptive.ranks import collectives


def test_one_process_tells_itself() -> None:
    value = {"a": torch.ones(2)}
    assert not collectives.several()
    assert collectives.gathered(value) == [value]
    assert collectives.own(collectives.per_rank(value)) is value
    assert collectives.of_first(value) is value
    assert collectives.highest(15, 0) == [15, 0]
    assert collectives.summed(1.5, 2.0) == [1.5, 2.0]
    collectives.copy_from_first([value["a"]])
    assert value["a"].tolist() == [1, 1]

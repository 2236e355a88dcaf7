"""Metrics over ragged batches against scikit-learn on the whole set."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from torch import Tensor

from receptive.tasks.metrics import ClassificationMetrics

CLASSES = 5


@pytest.fixture
def logits() -> Tensor:
    return 3 * torch.randn(103, CLASSES, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def targets() -> Tensor:
    """Class 0 is ten times as frequent as class 4."""
    shares = torch.tensor([10.0, 5.0, 3.0, 2.0, 1.0])
    return torch.multinomial(shares, 103, replacement=True, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("batch_size", [1, 16, 103])
def test_every_metric_is_scikit_learns(logits: Tensor, targets: Tensor, batch_size: int) -> None:
    metrics = ClassificationMetrics(CLASSES)
    for batch in zip(logits.split(batch_size), targets.split(batch_size), strict=True):
        metrics.update(*batch)
    scores, truth, predicted = logits.double().softmax(1).numpy(), targets.numpy(), logits.argmax(1).numpy()
    scalars = {name: float(value) for name, value in metrics.scalars().items()}
    assert scalars == pytest.approx(
        {
            "loss": sklearn.log_loss(truth, scores, labels=range(CLASSES)),
            "accuracy": sklearn.accuracy_score(truth, predicted),
            "accuracy_macro": sklearn.balanced_accuracy_score(truth, predicted),
        },
        rel=1e-5,
    )
    details = metrics.details()
    assert details["confusion_matrix"] == sklearn.confusion_matrix(truth, predicted).tolist()
    assert details["accuracy_by_class"] == pytest.approx(sklearn.recall_score(truth, predicted, average=None), abs=1e-6)


def test_accuracy_macro_leaves_out_a_class_that_neither_occurs_nor_is_predicted(
    logits: Tensor, targets: Tensor
) -> None:
    """A small validation set may lack a class; one that is only predicted counts as 0, as in scikit-learn."""
    logits[:, 4] = -100.0
    kept = (targets != 4) & (targets != 3)
    logits, targets = logits[kept], targets[kept]
    predicted = logits.argmax(1)
    assert set(predicted.tolist()) == {0, 1, 2, 3}
    metrics = ClassificationMetrics(CLASSES)
    metrics.update(logits, targets)
    wanted = sklearn.recall_score(targets.numpy(), predicted.numpy(), average="macro", zero_division=0)
    assert float(metrics.scalars()["accuracy_macro"]) == pytest.approx(wanted, rel=1e-5)


def test_reset_forgets_all_batches(logits: Tensor, targets: Tensor) -> None:
    metrics, fresh = ClassificationMetrics(CLASSES), ClassificationMetrics(CLASSES)
    metrics.update(logits[:50], targets[:50])
    metrics.scalars()
    metrics.reset()
    for each in (metrics, fresh):
        each.update(logits[50:], targets[50:])
    assert metrics.scalars() == fresh.scalars()
    assert metrics.details() == fresh.details()


def test_nothing_of_the_states_goes_into_a_checkpoint(logits: Tensor, targets: Tensor) -> None:
    metrics = ClassificationMetrics(CLASSES)
    metrics.update(logits, targets)
    assert not metrics.state_dict()
    assert np.sum(metrics.details()["confusion_matrix"]) == len(targets)


def test_a_network_that_gave_up_does_not_hide_it(logits: Tensor, targets: Tensor) -> None:
    logits[7] = torch.nan
    metrics = ClassificationMetrics(CLASSES)
    metrics.update(logits, targets)
    assert metrics.scalars()["loss"].isnan()

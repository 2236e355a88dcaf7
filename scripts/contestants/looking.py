"""Whoever looks at images with a network: the statistics of every layer, and the network alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from scripts.contestants.training import composed

from receptive.activations.survey import survey
from receptive.build import build
from receptive.inference import Predictor
from receptive.recording.layers import layers_of

LOOKED_AT = 50  # every so many-th image is looked at closer, as 1,000 of 50,000 are by default


def statistics_and_evaluation(model: str, images: int) -> tuple[Callable[[], float], Callable[[], float]]:
    """Turns over the first `images` CIFAR-10 training images, in seconds: with statistics, and the network alone.

    Each in its own batches: 256, and data.eval_batch_size.
    """
    experiment = build(composed("data=cifar10", f"model={model}"))
    experiment.trainer.apply_to_process()
    data, places = experiment.data, range(images)
    layers = layers_of(experiment.task.model)
    predictor = Predictor(experiment.task, experiment.trainer, data.eval_batch_size)

    def with_statistics() -> float:
        started = time.perf_counter()
        batches = (inputs for inputs, _ in data.ordered_loader("train", places, 256))
        survey(predictor, batches, layers, LOOKED_AT)
        return time.perf_counter() - started

    def alone() -> float:
        started = time.perf_counter()
        for inputs, _ in data.ordered_loader("train", places):
            predictor.outputs(inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - started

    return with_statistics, alone

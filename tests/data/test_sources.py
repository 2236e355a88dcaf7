"""The data sets in memory against torchvision's and scikit-learn's own readers."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as oracle
from torch import Tensor

from receptive.data import cifar10, digits, mnist
from receptive.data.cifar10 import CIFAR10
from receptive.data.digits import Digits
from receptive.data.mnist import MNIST
from receptive.data.source import ArraySplit, Facts, Source, load_cached
from receptive.errors import InputError


def _split(count: int = 4) -> ArraySplit:
    images = torch.arange(count * 12, dtype=torch.uint8).view(count, 3, 2, 2)
    return ArraySplit(images, torch.arange(count))


@pytest.mark.parametrize(
    ("facts", "classes", "shape"),
    [(digits.FACTS, 10, (1, 8, 8)), (mnist.FACTS, 10, (1, 28, 28)), (cifar10.FACTS, 10, (3, 32, 32))],
)
def test_facts(facts: Facts, classes: int, shape: tuple[int, int, int]) -> None:
    assert facts.num_classes == len(set(facts.class_names)) == classes
    assert (facts.in_channels, *facts.image_size) == shape
    assert len(facts.mean) == len(facts.std) == facts.in_channels


class TestDigits:
    def test_is_scikit_learns_in_its_order(self) -> None:
        from sklearn.datasets import load_digits

        train, test = Digits().load("train"), Digits().load("test")
        images, labels = load_digits(return_X_y=True)
        assert len(train) == 1437 and len(test) == 360
        ours = torch.cat([train.images, test.images]).flatten(1).numpy()
        np.testing.assert_array_equal(np.rint(ours / 255 * 16), images)
        np.testing.assert_array_equal(torch.cat([train.targets, test.targets]).numpy(), labels)
        assert ours.max() == 255 and train.images.dtype == torch.uint8 and train.groups is None

    def test_mean_and_std_are_those_of_the_training_images(self) -> None:
        pixels = Digits().load("train").images.double() / 255
        assert pixels.mean().item() == pytest.approx(digits.FACTS.mean[0], abs=5e-5)
        assert pixels.std(correction=0).item() == pytest.approx(digits.FACTS.std[0], abs=5e-5)

    def test_needs_no_files(self) -> None:
        Digits().prepare()


class TestMNIST:
    def test_is_torchvisions(self, mnist_root: Path) -> None:
        source = MNIST(str(mnist_root), download=False)
        source.prepare()
        for train, count in ((True, 60), (False, 20)):
            expected = oracle.MNIST(str(mnist_root), train=train)
            split = source.load("train" if train else "test")
            assert torch.equal(split.images[:, 0], expected.data)
            assert torch.equal(split.targets, expected.targets) and split.targets.dtype == torch.int64
            assert split.images.shape == (count, 1, 28, 28) and split.images.dtype == torch.uint8

    def test_reads_the_archives_as_published(self, mnist_root: Path) -> None:
        expected = MNIST(str(mnist_root)).load("train")
        for path in (mnist_root / mnist.FOLDER).iterdir():
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        source = MNIST(str(mnist_root), download=False)
        source.prepare()
        assert source.load("train").checksum == expected.checksum

    def test_truncated(self, mnist_root: Path) -> None:
        path = mnist_root / mnist.FOLDER / "train-images-idx3-ubyte"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(InputError, match=r"train-images-idx3-ubyte is truncated or corrupt"):
            MNIST(str(mnist_root)).load("train")

    def test_one_missing_file_is_named(self, mnist_root: Path) -> None:
        (mnist_root / mnist.FOLDER / "t10k-labels-idx1-ubyte").unlink()
        with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte"):
            MNIST(str(mnist_root), download=False).prepare()
        with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte is missing"):
            MNIST(str(mnist_root)).load("test")


class TestCIFAR10:
    def test_is_torchvisions(self, cifar10_root: Path) -> None:
        source = CIFAR10(str(cifar10_root), download=False)
        source.prepare()
        for train, count in ((True, 60), (False, 20)):
            expected = oracle.CIFAR10(str(cifar10_root), train=train)
            split = source.load("train" if train else "test")
            assert torch.equal(split.images, torch.from_numpy(expected.data).permute(0, 3, 1, 2))
            assert split.targets.tolist() == expected.targets and split.targets.dtype == torch.int64
            assert split.images.shape == (count, 3, 32, 32) and split.images.is_contiguous()

    def test_a_pickle_with_a_wrong_checksum_is_not_opened(self, cifar10_root: Path) -> None:
        path = cifar10_root / cifar10.FOLDER / "data_batch_3"
        path.write_bytes(b"cos\nsystem\n(S'touch here'\ntR.")
        with pytest.raises(InputError, match=r"data_batch_3 is truncated or corrupt .* delete it and download"):
            CIFAR10(str(cifar10_root)).load("train")
        assert len(CIFAR10(str(cifar10_root)).load("test")) == 20


def test_checksums_are_torchvisions() -> None:
    assert list(cifar10.MD5["train"].items()) == [tuple(item) for item in oracle.CIFAR10.train_list]
    assert list(cifar10.MD5["test"].items()) == [tuple(item) for item in oracle.CIFAR10.test_list]
    assert [f"{name}.gz" for name in mnist.MD5] == [name for name, _ in oracle.MNIST.resources]


class TestChecksum:
    def test_follows_images_and_targets(self) -> None:
        split = _split()
        digest = split.checksum
        assert re.fullmatch("[0-9a-f]{16}", digest)
        assert _split().checksum == digest
        images = split.images.clone()
        images[0, 0, 0, 0] += 1
        swapped = split.targets.flip(0)
        assert (
            len(
                {
                    digest,
                    *(ArraySplit(*pair).checksum for pair in ((images, split.targets), (split.images, swapped))),
                }
            )
            == 3
        )

    def test_follows_the_shape_but_not_the_layout(self) -> None:
        split = _split()
        laid_out = split.images.contiguous(memory_format=torch.channels_last)
        assert ArraySplit(laid_out, split.targets).checksum == split.checksum
        assert ArraySplit(split.images.view(4, 3, 4, 1), split.targets).checksum != split.checksum


class _Counted(Source):
    """A source that counts how often it is read."""

    def __init__(self) -> None:
        self.loads = 0

    def facts(self) -> Facts:
        return cifar10.FACTS

    def prepare(self) -> None: ...

    def load(self, split: str) -> ArraySplit:
        self.loads += 1
        return _split()


def test_a_split_is_read_once_in_a_process() -> None:
    source = _Counted()
    first: Tensor = load_cached(source, "train").targets
    assert load_cached(source, "train").targets is first and source.loads == 1
    load_cached(source, "test")
    assert source.loads == 2


def test_equal_sources_are_one(mnist_root: Path) -> None:
    assert load_cached(MNIST(str(mnist_root)), "test") is load_cached(MNIST(str(mnist_root)), "test")
    assert MNIST(str(mnist_root)) != CIFAR10(str(mnist_root))

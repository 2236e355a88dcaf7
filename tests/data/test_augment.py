"""Each augmentation against torchvision's function for one image, image by image."""

import dataclasses
import functools
import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as oracle

from receptive.data import augment
from receptive.data.augment import (
    Affine,
    Augmentation,
    BrightnessContrast,
    Cutout,
    HorizontalFlip,
    PadCrop,
    Rotation,
    draw_table,
)

BATCH, HEIGHT, WIDTH = 24, 18, 26
AUGMENTATIONS = [
    Rotation(30.0),
    Rotation(180.0, fill=0.7, interpolation="nearest"),
    Affine(20.0, translate=0.1, scale=(0.8, 1.3), shear=10.0, fill=0.4),
    HorizontalFlip(),
    PadCrop(4),
    PadCrop(3, padding_mode="reflect"),
    Cutout(7, p=0.8),
    BrightnessContrast(0.4, 0.6),
]
MOVING = [item for item in AUGMENTATIONS if not isinstance(item, Cutout | BrightnessContrast)]


@functools.cache
def _images(channels: int = 3) -> Tensor:
    return torch.rand(BATCH, channels, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


def _draws(augmentation: Augmentation) -> Tensor:
    return torch.rand(BATCH, augmentation.draws, generator=torch.Generator().manual_seed(2))


def _masks() -> Tensor:
    return torch.randint(0, 5, (BATCH, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(3))


def _apply(augmentation: Augmentation, images: Tensor) -> Tensor:
    return augmentation(images.clone(), _draws(augmentation))[0]


def _expected(augmentation: Augmentation, images: Tensor, function: Callable[[Tensor, list[float]], Tensor]) -> Tensor:
    draws = _draws(augmentation).tolist()
    return torch.stack([function(image, own) for image, own in zip(images, draws, strict=True)])


def _symmetric(draw: float, limit: float) -> float:
    return (2 * draw - 1) * limit


def _in_a_wide_frame(image: Tensor, fill: float, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change an image that goes on in the fill's colour far beyond its border, and cut the frame away again.

    torchvision itself, given a fill, blends it in twice at the border.
    """
    framed = oracle.pad(image, [WIDTH, WIDTH], fill=fill)
    return oracle.center_crop(change(framed), [HEIGHT, WIDTH])


@pytest.mark.parametrize("degrees", [7.0, 30.0, 180.0])
@pytest.mark.parametrize("fill", [0.0, 0.3, 1.0])
def test_rotation_is_torchvisions(degrees: float, fill: float) -> None:
    def rotate(image: Tensor, draws: list[float]) -> Tensor:
        angle = _symmetric(draws[0], degrees)
        return _in_a_wide_frame(image, fill, lambda framed: oracle.rotate(framed, angle, InterpolationMode.BILINEAR))

    augmentation = Rotation(degrees, fill=fill)
    torch.testing.assert_close(
        _apply(augmentation, _images()), _expected(augmentation, _images(), rotate), atol=1e-4, rtol=0
    )


def test_rotation_without_fill_is_torchvisions_directly() -> None:
    augmentation = Rotation(45.0)
    expected = _expected(
        augmentation,
        _images(),
        lambda image, draws: oracle.rotate(image, _symmetric(draws[0], 45.0), InterpolationMode.BILINEAR),
    )
    torch.testing.assert_close(_apply(augmentation, _images()), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fill", [0.0, 0.6])
def test_nearest_rotation_is_torchvisions(fill: float) -> None:
    augmentation = Rotation(60.0, fill=fill, interpolation="nearest")
    expected = _expected(
        augmentation,
        _images(),
        lambda image, draws: oracle.rotate(
            image, _symmetric(draws[0], 60.0), InterpolationMode.NEAREST, fill=[fill] * 3
        ),
    )
    result = _apply(augmentation, _images())
    differ = (result - expected).abs().amax(dim=1) > 1e-6
    assert differ.float().mean() < 1e-3  # a source right between two pixels may be rounded either way


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_affine_is_torchvisions(fill: float) -> None:
    augmentation = Affine(25.0, translate=0.2, scale=(0.7, 1.4), shear=15.0, fill=fill)

    def affine(image: Tensor, draws: list[float]) -> Tensor:
        return _in_a_wide_frame(
            image,
            fill,
            lambda framed: oracle.affine(
                framed,
                angle=_symmetric(draws[0], 25.0),
                translate=[_symmetric(draws[1], 0.2 * WIDTH), _symmetric(draws[2], 0.2 * HEIGHT)],
                scale=0.7 + draws[3] * 0.7,
                shear=[_symmetric(draws[4], 15.0), 0.0],
                interpolation=InterpolationMode.BILINEAR,
            ),
        )

    expected = _expected(augmentation, _images(), affine)
    torch.testing.assert_close(_apply(augmentation, _images()), expected, atol=1e-4, rtol=0)


def test_affine_refuses_a_scale_upside_down() -> None:
    with pytest.raises(ValueError, match=r"scale=\(1\.2, 0\.8\): give the smallest first"):
        Affine(0.0, 0.0, scale=(1.2, 0.8))


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_horizontal_flip_is_torchvisions(p: float) -> None:
    augmentation = HorizontalFlip(p)
    expected = _expected(
        augmentation,
        _images(),
        lambda image, draws: oracle.horizontal_flip(image) if draws[0] < p else image,
    )
    assert torch.equal(_apply(augmentation, _images()), expected)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_pad_crop_is_torchvisions(mode: str) -> None:
    augmentation = PadCrop(4, fill=0.25, padding_mode="reflect" if mode == "reflect" else "constant")

    def pad_and_crop(image: Tensor, draws: list[float]) -> Tensor:
        padded = oracle.pad(image, [4], fill=0.25, padding_mode=mode)
        return oracle.crop(padded, int(draws[0] * 9), int(draws[1] * 9), HEIGHT, WIDTH)

    assert torch.equal(_apply(augmentation, _images()), _expected(augmentation, _images(), pad_and_crop))


def test_pad_crop_reaches_every_place() -> None:
    edges = torch.tensor([[0.0, 0.0], [1 - 2**-24, 1 - 2**-24]])
    image = _images()[:1].expand(2, -1, -1, -1)
    first, last = PadCrop(4)(image.clone(), edges)[0]
    assert torch.equal(first[:, 4:, 4:], image[0, :, :-4, :-4]) and not first[:, :4].any()
    assert torch.equal(last[:, :-4, :-4], image[0, :, 4:, 4:]) and not last[:, -4:].any()


@pytest.mark.parametrize("size", [1, 6, 7, 60])
def test_cutout_is_torchvisions_erase(size: int) -> None:
    augmentation = Cutout(size, p=0.7, fill=0.5)

    def cut(image: Tensor, draws: list[float]) -> Tensor:
        if draws[0] >= 0.7:
            return image
        top, left = int(draws[1] * HEIGHT) - size // 2, int(draws[2] * WIDTH) - size // 2
        bottom, right = top + size, left + size
        top, left = max(top, 0), max(left, 0)
        return oracle.erase(image, top, left, bottom - top, right - left, torch.tensor(0.5))

    assert torch.equal(_apply(augmentation, _images()), _expected(augmentation, _images(), cut))


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_and_contrast_are_torchvisions(channels: int) -> None:
    augmentation = BrightnessContrast(0.5, 0.8)

    def adjust(image: Tensor, draws: list[float]) -> Tensor:
        image = oracle.adjust_brightness(image, 1 + _symmetric(draws[0], 0.5))
        return oracle.adjust_contrast(image, 1 + _symmetric(draws[1], 0.8))

    images = _images(channels)
    torch.testing.assert_close(_apply(augmentation, images), _expected(augmentation, images, adjust), atol=1e-5, rtol=0)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=repr)
def test_keeps_shape_type_and_range(augmentation: Augmentation) -> None:
    for channels in (1, 2, 3):
        result = _apply(augmentation, _images(channels))
        assert result.shape == _images(channels).shape and result.dtype == torch.float32
        assert result.min() >= -1e-6 and result.max() <= 1 + 1e-6


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=repr)
def test_an_image_does_not_depend_on_its_batch(augmentation: Augmentation) -> None:
    together, draws = _apply(augmentation, _images()), _draws(augmentation)
    for size in (1, 5):
        parts = [
            augmentation(images.clone(), own)[0]
            for images, own in zip(_images().split(size), draws.split(size), strict=True)
        ]
        assert torch.equal(torch.cat(parts), together)


@pytest.mark.parametrize("augmentation", MOVING, ids=repr)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_masks_move_with_their_images(augmentation: Augmentation, dtype: torch.dtype) -> None:
    """Labels taken for intensities, sampled to the nearest and filled with 0, come out as the mask does."""
    draws, labels = _draws(augmentation), _masks().to(dtype)
    _, masks = augmentation(_images().clone(), draws, labels.clone())
    assert masks is not None and masks.dtype == dtype and masks.shape == labels.shape
    if isinstance(augmentation, Rotation | Affine):
        augmentation = dataclasses.replace(augmentation, fill=0.0, interpolation="nearest")
    images, _ = augmentation(labels.unsqueeze(1).float(), draws)
    assert torch.equal(images[:, 0].to(dtype), masks)
    assert not torch.equal(masks, labels)


@pytest.mark.parametrize("augmentation", [Cutout(7), BrightnessContrast(0.4, 0.6)], ids=repr)
def test_what_moves_nothing_leaves_masks(augmentation: Augmentation) -> None:
    masks = augmentation(_images().clone(), _draws(augmentation), _masks())[1]
    assert masks is not None and torch.equal(masks, _masks())


def test_draw_table_is_a_function_of_seed_and_epoch() -> None:
    table = draw_table(3, 7, 1000, 4)
    assert table.shape == (1000, 4) and table.dtype == torch.float32
    assert table.min() >= 0 and table.max() < 1
    torch.manual_seed(99)  # the global stream has no part in it
    assert torch.equal(table, draw_table(3, 7, 1000, 4))
    expected = torch.tensor([[0.17116725, 0.98166388], [0.32223141, 0.37281257]])  # as in earlier versions
    torch.testing.assert_close(draw_table(3, 7, 2, 2), expected)
    others = [draw_table(seed, epoch, 1000, 4) for seed, epoch in ((3, 8), (4, 7), (7, 3), (0, 0))]
    for other in others:
        assert abs(torch.corrcoef(torch.stack([table.flatten(), other.flatten()]))[0, 1]) < 0.06


def test_draws_are_uniform_and_independent() -> None:
    table = draw_table(0, 0, 20_000, 3)
    torch.testing.assert_close(table.mean(0), torch.full((3,), 0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(table.var(0), torch.full((3,), 1 / 12), atol=0.003, rtol=0)
    torch.testing.assert_close(torch.corrcoef(table.T), torch.eye(3), atol=0.03, rtol=0)


def test_every_augmentation_states_its_draws() -> None:
    classes = [item for _, item in inspect.getmembers(augment, inspect.isclass) if issubclass(item, Augmentation)]
    assert {type(item) for item in AUGMENTATIONS} == set(classes) - {Augmentation}

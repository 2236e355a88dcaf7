"""Masks as pictures: with a palette, and laid over their image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from receptive.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW

COLORS = (BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE)  # of classes; the background has none
OPACITY = 0.35


def _palette() -> NDArray[np.uint8]:
    """(256, 3): black, then the colours over and over."""
    background, *others = [ImageColor.getrgb(color) for color in COLORS]
    return np.array([background, *(others[label % len(others)] for label in range(255))], dtype=np.uint8)


def palette_mask(classes: NDArray[Any]) -> Image.Image:
    """A mask (H, W) of classes below 256 as an image whose values are the classes and whose palette colours them."""
    image = Image.fromarray(classes.astype(np.uint8))
    image.putpalette(_palette().ravel().tolist())
    return image


def overlay(image: Image.Image, classes: NDArray[Any]) -> Image.Image:
    """An image with its mask (H, W) over it: every class tinted, its border drawn."""
    pixels = np.array(image.convert("RGB"))
    inside, border = classes > 0, _border(classes)
    tint = np.float32(OPACITY) * _palette().astype(np.float32)
    pixels[inside] = (np.float32(1 - OPACITY) * pixels[inside] + tint[classes[inside]]).round()
    pixels[border] = _palette()[classes[border]]
    return Image.fromarray(pixels)


def _border(classes: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of an object that touch another class, wider in larger images."""
    width = max(1, min(classes.shape) // 500)
    around = np.pad(classes, width, mode="edge")
    border = np.zeros(classes.shape, dtype=bool)
    height, length = classes.shape
    for step in range(-width, width + 1):
        along_y = around[width + step : width + step + height, width:-width]
        along_x = around[width:-width, width + step : width + step + length]
        border |= (along_y != classes) | (along_x != classes)
    return border & (classes > 0)

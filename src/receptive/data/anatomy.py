"""The shapes of a drawn chest: random measures become curves, a view lays them on the pixels.

Nothing here is measured on patients: the shapes are drawn by eye after textbook anatomy. Lengths are in the
patient's frame: u to the right of the image, v down, the image about [-1, 1] x [-1, 1]. As usual one faces the
patient, whose right lung is on the left: side -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array = NDArray[np.float64]  # curves: (N,) of one coordinate or (N, 2) of (u, v)
Layer = NDArray[np.float32]  # (size, size), 0 to 1
Stroke = tuple[Array, float, int]  # curve, width, grey value 0 to 255

SUPERSAMPLING = 2
WIDE = 5  # pixels of the supersampled drawing
SIDES = (-1, 1)


@dataclass(frozen=True)
class View:
    """Where the patient stands on the film: a map of the patient's frame to the pixels, and drawing through it.

    Args:
        size: side of the image in pixels.
        matrix: (2, 2), rotation and scale.
        shift: (2,), where the patient's origin is, in half images from the image's centre.
    """

    size: int
    matrix: Array
    shift: Array

    def grid(self) -> tuple[Layer, Layer]:
        """The coordinates u and v of every pixel's centre, (size, size) each."""
        axis = (np.arange(self.size) + 0.5) * 2 / self.size - 1
        x, y = axis[None, :] - self.shift[0], axis[:, None] - self.shift[1]
        (a, b), (c, d) = np.linalg.inv(self.matrix)
        return (a * x + b * y).astype(np.float32), (c * x + d * y).astype(np.float32)

    def draw(self, outlines: Sequence[Array] = (), strokes: Sequence[Stroke] = ()) -> Image.Image:
        """The area inside closed curves (N, 2), then lines, later ones over earlier ones, antialiased."""
        side = self.size * SUPERSAMPLING
        image = Image.new("L", (side, side))
        draw = ImageDraw.Draw(image)
        widths = [max(1, round(width * side / 2)) for _, width, _ in strokes]
        # Pillow's own round joints cost as much as ten lines: what is wide is filled
        shapes = [
            _ribbon(curve, width) if pixels >= WIDE else curve
            for (curve, width, _), pixels in zip(strokes, widths, strict=True)
        ]
        corners = self._pixels([*outlines, *shapes])
        for outline in corners[: len(outlines)]:
            draw.polygon(outline, fill=255)
        for shape, (_, _, value), pixels in zip(corners[len(outlines) :], strokes, widths, strict=True):
            if pixels >= WIDE:
                draw.polygon(shape, fill=value)
            else:
                draw.line(shape, fill=value, width=pixels)
        return image.reduce(SUPERSAMPLING)

    def soften(self, image: Image.Image, sigma: float) -> Layer:
        """An image blurred by a Gaussian; `sigma` in the patient's lengths."""
        radius = sigma * self.size / 2
        if radius > 2:  # nothing is lost at half the size
            half = image.resize((self.size // 2, self.size // 2), Image.Resampling.BOX)
            image = half.filter(ImageFilter.GaussianBlur(radius / 2)).resize(image.size, Image.Resampling.BILINEAR)
        elif radius > 0:
            image = image.filter(ImageFilter.GaussianBlur(radius))
        return to_layer(image)

    def _pixels(self, curves: Sequence[Array]) -> list[list[tuple[float, float]]]:
        """The curves in pixels of the supersampled drawing."""
        if not curves:
            return []
        # at once, since there are hundreds; Pillow counts from the middle of the first pixel
        points = np.concatenate(curves) @ self.matrix.T + self.shift + 1
        pixels = [(x, y) for x, y in (points * (self.size * SUPERSAMPLING / 2) - 0.5).tolist()]
        ends = np.cumsum([len(curve) for curve in curves]).tolist()
        return [pixels[end - len(curve) : end] for end, curve in zip(ends, curves, strict=True)]


@dataclass(frozen=True)
class Lung:
    """One side of the chest.

    Args:
        side: -1 on the left of the image, 1 on the right.
        outline: of the lung field, (N, 2).
        wall: its lateral part from the apex to the costophrenic angle, (N, 2).
        dome: its lower part from that angle to the heart, (N, 2): the diaphragm.
        hilum: where the vessels enter, (2,).
    """

    side: int
    outline: Array
    wall: Array
    dome: Array
    hilum: Array


@dataclass(frozen=True)
class Chest:
    """What is drawn first, since all else goes by it.

    Args:
        lungs: both.
        heart: outline, (N, 2); the lung fields end at it.
    """

    lungs: tuple[Lung, Lung]
    heart: Array


def to_layer(image: Image.Image) -> Layer:
    """A grey image's pixels in [0, 1], (H, W)."""
    return np.asarray(image, np.float32) / np.float32(255)


def smooth(points: Sequence[tuple[float, float]], steps: int = 8) -> Array:
    """The open Catmull-Rom curve through P points: ((P - 1) * steps + 1, 2)."""
    knots = np.array(points)
    knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.arange(steps) / steps
    weights = np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    windows = np.stack([knots[i : len(knots) - 3 + i] for i in range(4)])
    curve = np.einsum("ks,kpc->psc", weights, windows).reshape(-1, 2)
    return np.concatenate([curve, knots[-2:-1]])


def _ribbon(curve: Array, width: float) -> Array:
    """The outline of a line of some width, (2 N, 2)."""
    padded = np.concatenate([curve[:1], curve, curve[-1:]])
    along = padded[2:] - padded[:-2]
    across: Array = along[:, ::-1] * (0.5 * width, -0.5 * width) / np.hypot(along[:, :1], along[:, 1:])
    return np.concatenate([curve + across, (curve - across)[::-1]])


def mirrored(curve: Array, side: int) -> Array:
    """A curve of the image's right half, on the given side."""
    turned: Array = curve * (side, 1)
    return turned


def ellipse(centre: Array, axes: tuple[float, float], degrees: float = 0.0) -> Array:
    """An ellipse whose first half axis is turned clockwise from u: (64, 2)."""
    turn, angle = np.linspace(0, 2 * np.pi, 64, endpoint=False), np.deg2rad(degrees)
    u, v = axes[0] * np.cos(turn), axes[1] * np.sin(turn)
    outline: Array = centre + np.stack(
        [u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)], 1
    )
    return outline


def draw_view(rng: np.random.Generator, size: int) -> View:
    """Draw how the patient stands: scale 0.93 to 1.14, tilted by up to 5 degrees, shifted by up to 0.06."""
    angle = np.deg2rad(rng.uniform(-5, 5))
    scales = rng.uniform(0.97, 1.1) * rng.uniform(0.96, 1.04, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return View(size, turn * scales, rng.uniform(-0.06, 0.06, 2))


def draw_chest(rng: np.random.Generator) -> Chest:
    """Draw lungs, diaphragm and heart."""
    apex, width, base = rng.uniform(-0.77, -0.69), rng.uniform(0.60, 0.72), rng.uniform(0.46, 0.62)
    centre = np.array([rng.uniform(0.08, 0.15), base - rng.uniform(0.24, 0.32)])
    axes = (rng.uniform(0.31, 0.41), rng.uniform(0.24, 0.29))
    heart = ellipse(centre, axes, rng.uniform(28, 52))
    right, left = (_draw_lung(rng, side, heart, apex, width, base) for side in SIDES)
    return Chest((right, left), heart)


def _draw_lung(rng: np.random.Generator, side: int, heart: Array, apex: float, width: float, base: float) -> Lung:
    """Draw one lung around the heart."""
    base, width, top = base + rng.uniform(-0.03, 0.03), width + rng.uniform(-0.03, 0.03), rng.uniform(0.27, 0.35)
    # v and size of what bulges at the mediastinum: the aortic arch on the left side, the azygos vein on the right
    arch = (-0.38, rng.uniform(0.03, 0.07)) if side > 0 else (-0.45, rng.uniform(0.0, 0.02))
    middle, rise = rng.uniform(0.10, 0.15), rng.uniform(0.20, 0.32)
    fall = rng.uniform(0.05, 0.11)
    if side < 0:
        rise += 0.03  # the liver is under it

    def inner(v: Array) -> Array:
        bulges = arch[1] * np.exp(-(((v - arch[0]) / 0.09) ** 2)) + 0.05 * np.exp(-(((v + 0.08) / 0.15) ** 2))
        # a soft maximum: the great vessels run into the heart without a corner
        return np.logaddexp((middle + bulges) * 40, _border(heart, side, v) * 40) / 40

    t = np.linspace(0, 1, 40) ** 2  # denser at the round apex
    u = top + (width - top) * np.sqrt(1 - (1 - t) ** 2.3) - 0.03 * t**6
    wall = np.stack([u, apex + t * (base - apex)], 1)
    lower = base - rise + fall
    q = np.linspace(0, 1, 24)
    meet = inner(np.array([lower]))
    dome = np.stack([u[-1] + (meet - u[-1]) * q, base - rise * (1 - (1 - q) ** 2.7) + fall * q**2.2], 1)
    v = apex + (lower - apex) * t[::-1]
    opening = np.sqrt(1 - (1 - np.clip((v - apex) / 0.26, 0, 1)) ** 2.2)
    medial = np.stack([top + (inner(v) - top) * opening, v], 1)
    height = rng.uniform(-0.1, 0.0)
    hilum = np.array([inner(np.array([height]))[0] + 0.02, height])
    outline = np.concatenate([wall, dome[1:], medial[1:-1]])
    return Lung(side, *(mirrored(curve, side) for curve in (outline, wall, dome, hilum)))


def _border(outline: Array, side: int, v: Array) -> Array:
    """The distance from the midline to one side of a convex outline at the heights `v`, 0 off it."""
    top, bottom = int(outline[:, 1].argmin()), int(outline[:, 1].argmax())
    # ellipse() runs clockwise on the screen: on the image's right downwards
    first, last = (top, bottom) if side > 0 else (bottom, top)
    half = np.roll(outline, -first, axis=0)[: (last - first) % len(outline) + 1]
    half = half[:: 1 if side > 0 else -1]
    return np.interp(v, half[:, 1], half[:, 0] * side, left=0, right=0)

"""A radiograph of a drawn chest: what lies in the beam is added up as attenuation, then exposed.

Every function below adds one kind of thing. Bright is dense, as on the film that one looks at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from receptive.data.anatomy import (
    SIDES,
    Array,
    Chest,
    Layer,
    Lung,
    Stroke,
    View,
    draw_chest,
    draw_view,
    ellipse,
    mirrored,
    smooth,
    to_layer,
)

BACKGROUND, LUNGS, HEART = 0, 1, 2
# three of a pixel's four parts: Pillow fills the parts that an outline touches too, and two would make areas too large
MOST = 0.6

Pixels = NDArray[np.uint8]  # (size, size)


@dataclass(frozen=True)
class Scene:
    """What the parts of the picture share.

    Args:
        view: where the patient stands.
        chest: lungs and heart.
        u: of every pixel, (size, size).
        v: of every pixel, (size, size).
        lungs: how much of each pixel is lung, (size, size).
        depth: the same, fading within a few centimetres of the lungs' borders: there is less air in the beam.
    """

    view: View
    chest: Chest
    u: Layer
    v: Layer
    lungs: Layer
    depth: Layer


def draw_radiograph(rng: np.random.Generator, size: int) -> tuple[Pixels, Pixels]:
    """Draw a radiograph and its labels.

    Args:
        rng: the same state gives the same patient at every size; only the grain differs.
        size: side of the image in pixels.

    Returns:
        image (size, size) uint8, labels (size, size) uint8 of BACKGROUND, LUNGS and HEART; the lungs are what is
        seen beside the heart and above the diaphragm.
    """
    view = draw_view(rng, size)
    chest = draw_chest(rng)
    field = view.draw([lung.outline for lung in chest.lungs])
    lungs = view.soften(field, rng.uniform(0.006, 0.014))
    scene = Scene(view, chest, *view.grid(), lungs, lungs * view.soften(field, 0.08))
    picture = _body(rng, scene)
    for part in (_middle, _abdomen, _lungs, _vessels, _bones, _opacities, _devices):
        picture += part(rng, scene)
    labels = np.where(to_layer(field) > MOST, LUNGS, BACKGROUND)
    labels[(to_layer(view.draw([chest.heart])) > MOST) & (labels == BACKGROUND)] = HEART
    return _expose(rng, picture, scene), labels.astype(np.uint8)


def _hill(squared: Layer, sharpness: int = 1) -> Layer:
    """The function exp(-squared ** sharpness): a Gaussian, or a plateau with soft borders."""
    # beyond 10 nothing is left; smaller results would be denormal numbers, which are slow
    hill: Layer = np.exp(-(np.minimum(squared, 10 ** (1 / sharpness)) ** sharpness), dtype=np.float32)
    return hill


def _band(x: Layer, centre: float, width: float) -> Layer:
    """A band with soft borders around x = `centre`, `width` to either side."""
    return _hill(np.square((x - centre) / width), 2)


def _spot(scene: Scene, centre: Array, axes: tuple[float, float], sharpness: int = 1) -> Layer:
    """An elliptical hill of height 1."""
    u, v = centre.tolist()  # Python's numbers: NumPy's would make the layers float64
    return _hill(np.square((scene.u - u) / axes[0]) + np.square((scene.v - v) / axes[1]), sharpness)


def _body(rng: np.random.Generator, scene: Scene) -> Layer:
    """The soft tissue: trunk, neck, arms, and the breasts of a third of the patients."""
    girth, neck, shoulder = rng.uniform(0.80, 1.05), rng.uniform(0.20, 0.27), rng.uniform(-0.78, -0.66)
    upper = [(neck, -1.6), (neck, -1.05), (0.50, -0.92), (0.85, shoulder), (girth + 0.06, -0.45)]
    half = smooth([*upper, (girth, -0.15), (girth - 0.02, 0.35), (girth + 0.03, 0.8), (girth + 0.1, 1.6)])
    spread = rng.uniform(0.12, 0.45)  # how far the elbows are turned out
    arm = smooth([(0.80, shoulder + 0.2), (1.02, shoulder + 0.28), (1.06 + spread, 0.4), (1.1 + spread, 1.0)])
    trunk = np.concatenate([half, mirrored(half[::-1], -1)])
    flesh = scene.view.soften(scene.view.draw([trunk], [(mirrored(arm, side), 0.24, 215) for side in SIDES]), 0.02)
    thickness = np.maximum(1 - np.square(scene.u / 1.3), 0) * (0.62 + 0.10 * np.clip(scene.v, -1, 1))
    body: Layer = flesh * (0.12 + rng.uniform(0.55, 0.65) * thickness)
    woman, strength, height = rng.random() < 0.35, rng.uniform(0.04, 0.10), rng.uniform(0.12, 0.26)
    if woman:
        outlines = [ellipse(np.array([side * 0.45, height]), (0.30, 0.27)) for side in SIDES]
        breasts = scene.view.soften(scene.view.draw(outlines), 0.018)
        body += strength * breasts * np.clip(0.5 + (scene.v - height) / 0.5, 0, 1)
    return body


def _middle(rng: np.random.Generator, scene: Scene) -> Layer:
    """Spine, great vessels, heart, and the dark windpipe."""
    discs = 0.8 + 0.2 * np.cos(scene.v * rng.uniform(50, 58) + rng.uniform(0, 6))
    spine = _band(scene.u - rng.uniform(-0.03, 0.03) * np.cos(2.5 * scene.v), 0.0, 0.085) * discs
    vessels = _band(scene.u, 0.02, 0.17) * np.clip((scene.v + 0.95) / 0.4, 0, 1)
    pipe = _band(scene.u, rng.uniform(-0.03, 0.01), 0.05)
    pipe *= np.clip((rng.uniform(-0.42, -0.32) - scene.v) / 0.06, 0, 1)
    heart = scene.view.soften(scene.view.draw([scene.chest.heart]), 0.05)  # its border is where the lungs end
    middle: Layer = rng.uniform(0.8, 1.2) * (0.06 * spine + 0.13 * vessels) - rng.uniform(0.06, 0.12) * pipe
    middle += rng.uniform(0.12, 0.18) * heart
    return middle


def _abdomen(rng: np.random.Generator, scene: Scene) -> Layer:
    """What is below the diaphragm; gas in stomach or bowel is as dark as lung."""
    right, left = scene.chest.lungs
    flanks = [lung.dome[:1] + np.array([lung.side * 0.05, 2.0]) for lung in (left, right)]
    area = scene.view.draw([np.concatenate([right.dome, left.dome[::-1], *flanks])])
    belly = rng.uniform(0.18, 0.26) * scene.view.soften(area, 0.04)  # its border is where the lungs end
    bubble, strength = rng.random() < 0.55, rng.uniform(0.15, 0.38)
    axes, where = (rng.uniform(0.07, 0.15), rng.uniform(0.05, 0.09)), rng.uniform(0.45, 0.75)
    if bubble:
        under = left.dome[int(where * len(left.dome))] + (0, axes[1] + 0.04)
        belly -= strength * _spot(scene, under, axes, 3) * (1 - scene.lungs)
    for _ in range(rng.integers(0, 5)):
        place, radius = rng.uniform((-0.7, 0.72), (0.7, 0.95)), rng.uniform(0.04, 0.10)
        belly -= rng.uniform(0.1, 0.22) * _spot(scene, place, (radius * 1.3, radius), 2)
    return belly


def _lungs(rng: np.random.Generator, scene: Scene) -> Layer:
    """The air, unevenly spread, as negative attenuation."""
    air: Layer = np.float32(-rng.uniform(0.28, 0.38)) * (0.45 * scene.lungs + 0.55 * scene.depth)
    air *= 1 + rng.uniform(-0.12, 0.12) * np.sign(scene.u)
    air *= 1 + 0.10 * _cloud(rng, scene, 9) + 0.06 * _cloud(rng, scene, 28)
    return air


def _cloud(rng: np.random.Generator, scene: Scene, cells: int) -> Layer:
    """Smooth noise of `cells` x `cells` values of deviation 1: (size, size)."""
    values = Image.fromarray(rng.standard_normal((cells, cells), np.float32))
    side = scene.view.size
    return np.asarray(values.resize((side, side), Image.Resampling.BICUBIC), np.float32)


def _vessels(rng: np.random.Generator, scene: Scene) -> Layer:
    """The hila and the vessels that branch from them."""
    strokes: list[Stroke] = []
    hila = np.zeros_like(scene.u)
    for lung in scene.chest.lungs:
        strokes += _tree(rng, lung)
        hila += rng.uniform(0.07, 0.13) * _spot(scene, lung.hilum, (rng.uniform(0.05, 0.08), rng.uniform(0.09, 0.14)))
    trees = scene.view.soften(scene.view.draw((), strokes), 0.007)
    return rng.uniform(0.12, 0.22) * trees * scene.lungs + hila


def _tree(rng: np.random.Generator, lung: Lung) -> list[Stroke]:
    """Nine vessels that fork twice."""
    strokes: list[Stroke] = []
    degrees = np.linspace(-80, 85, 9) + rng.uniform(-9, 9, 9)  # from lateral, positive downwards
    starts, widths = np.tile(lung.hilum, (9, 1)), rng.uniform(0.018, 0.030, 9)
    for _ in range(3):
        turns = degrees[:, None] + np.cumsum(rng.uniform(-14, 14, (len(degrees), 4)), axis=1)
        angles = np.deg2rad(turns)
        steps = np.stack([lung.side * np.cos(angles), np.sin(angles)], 2) * rng.uniform(
            0.03, 0.06, (len(degrees), 1, 1)
        )
        curves = starts[:, None] + np.concatenate([np.zeros_like(steps[:, :1]), np.cumsum(steps, axis=1)], axis=1)
        strokes += [
            (curve, float(width), round(60 + 5500 * width)) for curve, width in zip(curves, widths, strict=True)
        ]
        degrees = (turns[:, -1:] + rng.uniform((-42, 8), (-8, 42), (len(degrees), 2))).ravel()
        starts, widths = np.repeat(curves[:, -1], 2, axis=0), np.repeat(widths * 0.64, 2)
    return strokes


def _bones(rng: np.random.Generator, scene: Scene) -> Layer:
    """Ribs, clavicles and shoulder blades; outside the lungs they are fainter."""
    strokes: list[Stroke] = []
    first, gap, sag = rng.uniform(-0.80, -0.72), rng.uniform(0.118, 0.138), rng.uniform(0.14, 0.26)
    thick, lift, rise = rng.uniform(0.042, 0.056), rng.uniform(0.03, 0.07), rng.uniform(0.08, 0.18)
    ranks = np.arange(10, dtype=np.float64)
    for lung in scene.chest.lungs:
        for rib in _posterior_ribs(lung, first + gap * ranks, sag, lift):
            strokes += _bone(rib, thick, (120, 66))
        for rib in _anterior_ribs(lung, first + 0.18 + 1.05 * gap * ranks[1:6], sag):
            strokes += _bone(rib, thick * 1.1, (80, 55))
    for side in SIDES:
        tilt = rng.uniform(-0.03, 0.03)
        collar = [(0.08, -0.58), (0.25, -0.60), (0.50, -0.62 - rise / 2 + tilt), (0.85, -0.62 - rise + tilt)]
        strokes += _bone(mirrored(smooth(collar), side), 0.058, (185, 130))
    bones = to_layer(scene.view.draw((), strokes))
    reach = rng.uniform(0.54, 0.68)
    edge = [(reach + 0.06, -0.66), (reach, -0.45), (reach + 0.04, -0.15), (reach + 0.12, 0.04), (reach + 0.17, 0.0)]
    blade = smooth([*edge, (reach + 0.22, -0.25), (reach + 0.38, -0.45)])
    blades = scene.view.soften(scene.view.draw([mirrored(blade, side) for side in SIDES]), 0.012)
    return rng.uniform(0.16, 0.34) * (0.35 + 0.65 * scene.lungs) * bones + rng.uniform(0.02, 0.06) * blades


def _bone(curve: Array, width: float, values: tuple[int, int]) -> list[Stroke]:
    """A bone: the beam meets more of its shell at the borders."""
    return [(curve, width, values[0]), (curve, width * 0.62, values[1])]


def _posterior_ribs(lung: Lung, starts: Array, sag: float, lift: float) -> Array:
    """The ribs from the spine outwards and, at the chest wall, down: (ribs, 20, 2)."""
    s = np.linspace(0, 1, 20)
    reach = np.interp(starts + 0.1, lung.wall[:, 1], abs(lung.wall[:, 0]))[:, None] + 0.02
    u = 0.09 + (reach - 0.09) * np.sin(s * np.pi / 2)
    v = starts[:, None] - lift * np.sin(np.pi * np.minimum(s * 1.6, 1)) + sag * s**3
    return mirrored(np.stack([u, v], 2), lung.side)


def _anterior_ribs(lung: Lung, starts: Array, sag: float) -> Array:
    """The ribs from the chest wall down to their cartilage, which is not seen: (ribs, 12, 2)."""
    s = np.linspace(0, 1, 12)
    reach = np.interp(starts, lung.wall[:, 1], abs(lung.wall[:, 0]))[:, None] + 0.02
    u = 0.30 + (reach - 0.30) * np.cos(s * np.pi / 2)
    return mirrored(np.stack([u, starts[:, None] + (sag + 0.08) * s], 2), lung.side)


def _opacities(rng: np.random.Generator, scene: Scene) -> Layer:
    """In every third picture consolidations: as bright as tissue, yet within the lung."""
    picture = np.zeros_like(scene.u)
    for _ in range(int(rng.choice(3, p=(0.65, 0.25, 0.10)))):
        lung = scene.chest.lungs[rng.integers(2)]
        wall = lung.wall[int(rng.uniform(0.45, 0.95) * len(lung.wall))]
        centre = lung.hilum + rng.uniform(0.15, 0.8) * (wall - lung.hilum)
        patch = np.zeros_like(scene.u)
        for place in centre + rng.uniform(-0.12, 0.12, (4, 2)):
            patch += _spot(scene, place, (rng.uniform(0.06, 0.15), rng.uniform(0.06, 0.15)))
        texture = 1 + 0.12 * _cloud(rng, scene, 28)
        picture += rng.uniform(0.15, 0.34) * np.minimum(patch, 1) * texture * scene.lungs
    return picture


def _devices(rng: np.random.Generator, scene: Scene) -> Layer:
    """What is not the patient's own: the side's letter, a pacemaker, sternal wires, a lead."""
    strokes: list[Stroke] = []
    letter, pacemaker, sternum, lead = rng.random(4) < (0.7, 0.12, 0.10, 0.15)
    corner = rng.uniform((0.72, -0.86), (0.82, -0.78))
    if letter:
        strokes.append((corner + np.array([(0.0, 0.0), (0.0, 0.09), (0.05, 0.09)]), 0.014, 255))  # L
    side, low = int(rng.choice(SIDES)), rng.uniform(-0.42, -0.32)
    if pacemaker:
        case = ellipse(np.array([0.49 * side, low]), (0.045, 0.03), 20 * side)
        wire = [(0.45 * side, low), (0.25 * side, -0.52), (0.03 * side, -0.40), (-0.08, -0.02), (-0.03, 0.25)]
        strokes += [(smooth([*wire, (0.22, 0.36)]), 0.011, 255), (case, 0.05, 215), (case, 0.02, 190)]
    if sternum:
        for v in np.linspace(-0.45, 0.25, 6) + rng.uniform(-0.02, 0.02, 6):
            strokes.append((ellipse(np.array([0.0, v]), (0.022, 0.014))[:50], 0.009, 210))
    start, end = rng.uniform((-0.5, -0.5), (0.5, 0.1)), rng.uniform((-0.9, 0.5), (0.9, 1.0))
    bend = (start + end) / 2 + rng.uniform(-0.25, 0.25, 2)
    if lead:
        cable = smooth([(point[0], point[1]) for point in (start, bend, end)])
        strokes += [(cable, 0.008, 130), (ellipse(start, (0.012, 0.012)), 0.02, 220)]
    return to_layer(scene.view.draw((), strokes)) * np.float32(0.45)


def _expose(rng: np.random.Generator, picture: Layer, scene: Scene) -> Pixels:
    """The film: an uneven beam, exposure and contrast on the film's S-shaped curve, blur, grain."""
    contrast, middle = rng.uniform(3.6, 7.0), rng.uniform(0.38, 0.56)
    grain, blur = rng.uniform(0.006, 0.025), rng.uniform(0.0, 0.007)
    exposed = picture - middle + rng.uniform(-0.06, 0.06) * scene.u + rng.uniform(-0.06, 0.06) * scene.v
    film = 1 / (1 + np.exp(-contrast * exposed))
    low, high = np.percentile(film[::4, ::4], (0.5, 99.5))
    film = np.clip((film - low) / max(high - low, 0.3), 0, 1) ** rng.uniform(0.6, 1.1)
    image = Image.fromarray(np.rint(film * 255).astype(np.uint8))
    film = 255 * scene.view.soften(image, blur)
    noise = rng.standard_normal(film.shape, np.float32)
    noise += np.roll(noise, 1, 0) + np.roll(noise, 1, 1)  # grain is wider than a pixel
    film += noise * np.float32(grain * 255 / np.sqrt(3))
    return np.clip(np.rint(film), 0, 255).astype(np.uint8)

"""Predicted masks as pictures."""

import numpy as np
from PIL import Image

from receptive.figures.overlay import overlay, palette_mask


def test_a_palette_mask_keeps_the_classes_and_an_overlay_marks_their_border() -> None:
    classes = np.zeros((40, 30), dtype=np.uint8)
    classes[10:30, 5:20] = 1
    classes[12:20, 8:12] = 2
    assert np.array_equal(np.array(palette_mask(classes)), classes)
    colours = np.array(palette_mask(classes).convert("RGB"))
    assert len({tuple(colours[place]) for place in ((0, 0), (10, 5), (13, 9))}) == 3
    assert tuple(colours[10, 5]) == (230, 159, 0)  # Okabe and Ito's orange, as ever
    image = Image.fromarray(np.full((40, 30), 100, np.uint8))
    laid = np.array(overlay(image, classes))
    assert (laid[0, 0] == 100).all()
    assert tuple(laid[10, 10]) == tuple(colours[10, 10])  # the border
    assert tuple(laid[25, 15]) not in ((100, 100, 100), tuple(colours[25, 15]))  # tinted
    assert (laid[39, 29] == 100).all()

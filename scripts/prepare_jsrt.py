"""Make the folder that data=jsrt reads from what JSRT and SCR give to registered users.

    python scripts/prepare_jsrt.py --images All247images --masks scratch --output data/jsrt

Images: JSRT's (J. Shiraishi et al., AJR 174, 2000), JPCLN001.IMG to JPCNN093.IMG, 2048x2048 pixels, no header,
12 bits in big-endian 16-bit words. They hold the film's density, large is dark: so the public readers of the format
take them, `>u2` and turned over; no original was at hand here. Masks: SCR's (B. van Ginneken et al., Medical Image
Analysis 10, 2006), fold1/masks/left lung/JPCLN001.gif and so on in two folds, with or without the level `masks`,
1024x1024, 0 and 255. Right and left are the patient's: the right lung is on the image's left.

Written are images/NAME.png, 8-bit grey, bones bright: 0 to 4095 become 255 to 0, averaged over each pixel's area; and
masks/NAME.png, the label with the largest part of each pixel: 0 background, 150 right lung, 200 left lung, 250 heart
(if there are masks of it; lung where both are drawn). Exit code 1 and nothing written where a file is missing or not
what it should be. The terms of both forbid to pass the data on: keep the folder to yourself.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from receptive.console import new_console
from receptive.errors import InputError

IMAGE_SIDE, MASK_SIDE = 2048, 1024  # pixels
IMAGES = 247
LARGEST = 4095  # 12 bits
LABELS = {"heart": 250, "right lung": 150, "left lung": 200}  # later ones are drawn over earlier ones
NAME = re.compile(r"JPC[LN]N\d{3}")
MOST_LINES = 40  # of a message
Pixels = NDArray[np.uint8]


def find(folder: Path, suffix: str, faults: list[str]) -> dict[tuple[str, str], Path]:
    """Return the files below a folder that are named like JSRT's: by (their folder's name, own name)."""
    found: dict[tuple[str, str], Path] = {}
    if not folder.is_dir():
        faults.append(f"{folder} is not a folder.")
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() == suffix]
    for path in [path for path in files if NAME.fullmatch(path.stem.upper())]:
        key = (path.parent.name.lower() if suffix == ".gif" else "", path.stem.upper())
        if key in found:
            faults.append(f"{found[key]} and {path} are one image: remove one of them.")
        found[key] = path
    return found


def match(images: Path, masks: Path, fewer: bool, faults: list[str]) -> dict[str, tuple[Path, dict[str, Path]]]:
    """Return each image's file and its masks by structure; what is missing goes to `faults`."""
    found = {name: path for (_, name), path in find(images, ".img", faults).items()}
    drawn = find(masks, ".gif", faults)
    if not found or (len(found) != IMAGES and not fewer):
        hint = ", or add --partial to go on with these" if found else ""
        faults.append(f"{images} holds {len(found)} of the {IMAGES} files JP*.IMG: download all of JSRT{hint}.")
    structures = [part for part in LABELS if part != "heart" or any(key[0] == "heart" for key in drawn)]
    for part in structures:
        if missing := [f"{part}/{name}.gif" for name in sorted(found) if (part, name) not in drawn]:
            names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            faults.append(f"{masks} lacks {len(missing)} masks: {names}: unpack both folds of SCR there.")
    return {
        name: (found[name], {part: drawn[part, name] for part in structures if (part, name) in drawn})
        for name in sorted(found)
    }


def read_image(path: Path, size: int) -> Pixels:
    """Return a JSRT image with bright bones: (size, size) uint8.

    Raises:
        InputError: the file is not what JSRT's are; the text names it.
    """
    if (size_on_disk := path.stat().st_size) != IMAGE_SIDE**2 * 2:
        raise InputError(f"{path} has {size_on_disk} bytes, not {IMAGE_SIDE**2 * 2}: download it again.")
    density = np.fromfile(path, ">u2").reshape(IMAGE_SIDE, IMAGE_SIDE)
    if density.max() > LARGEST:
        swapped = density.byteswap().max() <= LARGEST
        reason = "its bytes were swapped to little endian" if swapped else "it is no JSRT image"
        raise InputError(f"{path} has values up to {density.max()}, not {LARGEST}: {reason}; use the original.")
    bright = Image.fromarray((LARGEST - density).astype(np.float32))
    small = np.asarray(bright.resize((size, size), Image.Resampling.BOX))
    return np.rint(small * np.float32(255 / LARGEST)).astype(np.uint8)


def read_masks(paths: dict[str, Path], size: int) -> Pixels:
    """Return the labels of an image's masks: (size, size) uint8, values of LABELS and 0.

    Raises:
        InputError: a file is not what SCR's are, or right and left are exchanged; the text names it.
    """
    labels = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    centres = {}
    for part in [part for part in LABELS if part in paths]:
        mask = _read_mask(paths[part])
        labels[mask] = LABELS[part]
        centres[part] = float(np.nonzero(mask)[1].mean())
    if centres.get("right lung", 0) > centres.get("left lung", MASK_SIDE):
        raise InputError(f"{paths['right lung']} lies to the right of {paths['left lung']}: use SCR's originals.")
    values = np.array([0, *LABELS.values()], np.uint8)
    parts = [Image.fromarray((labels == value).astype(np.float32)) for value in values]
    shares = [np.asarray(part.resize((size, size), Image.Resampling.BOX)) for part in parts]
    return np.asarray(values[np.argmax(shares, axis=0)])


def _read_mask(path: Path) -> NDArray[np.bool_]:
    """Return where a mask is drawn: (MASK_SIDE, MASK_SIDE)."""
    try:
        with Image.open(path) as image:
            mask: Pixels = np.asarray(image.convert("L"))
    except Exception as error:  # besides OSError Pillow's decoders raise whatever the broken bytes lead to
        raise InputError(f"{path} is not a readable image ({error}): unpack SCR again.") from error
    if mask.shape != (MASK_SIDE, MASK_SIDE):
        raise InputError(f"{path} has {mask.shape} pixels, not {(MASK_SIDE, MASK_SIDE)}: use SCR's original.")
    values = np.unique(mask).tolist()
    if values != [0, 255]:
        raise InputError(f"{path} has the values {values[:5]}, not 0 and 255: use SCR's original.")
    return mask.astype(bool)


def check_output(output: Path, sources: Sequence[Path], overwrite: bool, faults: list[str]) -> None:
    """Add to `faults` why the output folder may not be made or replaced."""
    inside = sorted(path.name for path in output.iterdir()) if output.exists() else []
    others = [name for name in inside if name not in ("images", "masks", ".cache")]
    held = repr(others[0]) if others else "the originals"
    if others or any(source.is_relative_to(output) for source in sources):
        faults.append(f"{output} holds {held}, which would be lost: choose another --output.")
    elif inside and not overwrite:
        faults.append(f"{output} exists: add --overwrite to replace it, or choose another --output.")


def prepare(images: Path, masks: Path, output: Path, size: int, fewer: bool, overwrite: bool) -> int:
    """Write the folder, in one step, and return the number of images in it.

    Raises:
        InputError: files are missing or wrong; the text holds one line for each. Nothing is written then.
    """
    faults: list[str] = []
    check_output(output, (images, masks), overwrite, faults)
    cases = match(images, masks, fewer, faults)
    console = new_console(stderr=True)
    done: list[tuple[str, str, Pixels]] = []
    for name, (image, drawn) in track(cases.items(), "JSRT", console=console, disable=not console.is_interactive):
        for folder, read in (("images", partial(read_image, image)), ("masks", partial(read_masks, drawn))):
            try:
                done.append((folder, name, read(size)))
            except InputError as error:
                faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults[:MOST_LINES] + ["..."] * (len(faults) > MOST_LINES)))
    write(done, output)
    return len(cases)


def write(pictures: Sequence[tuple[str, str, Pixels]], output: Path) -> None:
    """Write pictures, (folder, name, pixels), as the output folder, or leave what was there."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".jsrt-", dir=output.parent) as part:
        for folder, name, pixels in pictures:
            (Path(part) / "new" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(Path(part) / "new" / folder / f"{name}.png")
        if output.exists():
            os.replace(output, Path(part) / "old")
        os.replace(Path(part) / "new", output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 nothing written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder with JSRT's *.IMG")
    parser.add_argument("--masks", type=Path, required=True, help="folder with SCR's fold1 and fold2")
    parser.add_argument("--output", type=Path, required=True, help="the folder to make: DATA_DIR/jsrt")
    parser.add_argument("--size", type=int, default=256, metavar="PIXELS", help="side of the result: 256")
    parser.add_argument("--partial", action="store_true", help=f"go on with fewer than {IMAGES} images")
    parser.add_argument("--overwrite", action="store_true", help="replace the output folder")
    given = parser.parse_args(arguments)
    if not 16 <= given.size <= 1024:
        parser.error(f"--size {given.size}: give 16 to 1024 pixels")
    images, masks, output = (path.expanduser().resolve() for path in (given.images, given.masks, given.output))
    try:
        count = prepare(images, masks, output, given.size, given.partial, given.overwrite)
    except (InputError, OSError) as error:
        print(f"{error}\nNothing was written.", file=sys.stderr)
        return 1
    print(f"{count} images of {given.size}x{given.size} pixels and their masks are in {output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

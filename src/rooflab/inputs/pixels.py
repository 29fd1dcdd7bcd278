"""Image files as arrays: portable pixmaps (.ppm, .pgm) by hand, .png through Pillow (extra ``images``)."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab import extras
from rooflab.errors import InputError
from rooflab.source.text import content

__all__ = ["SUFFIXES", "pixmap", "read_image"]

Pixels = npt.NDArray[np.uint8]

SUFFIXES: Final = (".ppm", ".pgm", ".png")
MOST_PIXELS: Final = 1 << 28
_HEADER: Final = re.compile(rb"P([2356])((?:\s+|#[^\n\r]*[\n\r])+\d{1,7}){3}\s", re.ASCII)
_COMMENT: Final = re.compile(rb"#[^\n\r]*[\n\r]")


def read_image(path: Path) -> Pixels:
    """Height × width × channels (1 or 3) of 0 to 255. Raises InputError for anything else."""
    held = content(path)
    if path.suffix.lower() == ".png":
        return _png(held, str(path))
    found = _HEADER.match(held)
    if found is None:
        raise InputError("is not a portable pixmap (P2, P3, P5 or P6, width, height, most)", str(path))
    width, height, most = (int(word) for word in _COMMENT.sub(b" ", held[2 : found.end()]).split())
    channels = 3 if found[1] in (b"3", b"6") else 1
    if not 0 < most < 256 or not 0 < width * height <= MOST_PIXELS:
        raise InputError(f"has {width} x {height} pixels up to {most}; 8-bit images are read", str(path))
    count = width * height * channels
    if found[1] in (b"2", b"3"):
        values = _plain(held[found.end() :], count, str(path))
    else:
        values = np.frombuffer(held, dtype=np.uint8, offset=found.end())[:count]
        if len(values) < count:
            raise InputError(f"holds {len(values):,} of {count:,} values", str(path))
    if (values > most).any():
        raise InputError(f"holds values above {most}, which it says is the most", str(path))
    return values.astype(np.uint8).reshape(height, width, channels)


def _plain(held: bytes, count: int, where: str) -> npt.NDArray[Any]:
    words = held.split(None, count)[:count]
    if len(words) < count or not all(word.isdigit() and len(word) < 4 for word in words):
        raise InputError(f"does not hold {count:,} whole numbers up to 255", where)
    return np.array([int(word) for word in words])


def _png(held: bytes, where: str) -> Pixels:
    with extras.needed("pillow", "reading .png", where):
        from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of sizes that look like an attack
            with Image.open(io.BytesIO(held), formats=["PNG"]) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise InputError(f"has {image.width} x {image.height} pixels, too many to read", where)
                grey = image.mode in ("1", "L")
                values = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    except InputError:
        raise
    except Exception as error:  # a decoder of many exceptions, none of them ours
        raise InputError(f"is not a .png image ({' '.join(str(error).split())[:80]})", where) from None
    return values.reshape(values.shape[0], values.shape[1], -1)


def pixmap(pixels: Pixels) -> bytes:
    """An image as the bytes of a .pgm (1 channel) or .ppm file (3)."""
    height, width, channels = pixels.shape
    if channels not in (1, 3):
        raise InputError(f"has {channels} channels; a pixmap has 1 or 3")
    lead = f"P{5 if channels == 1 else 6}\n{width} {height}\n255\n"
    return lead.encode() + np.ascontiguousarray(pixels).tobytes()

"""Images of one size, with labels where they have them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.inputs.arrays import npz_bytes, read_npz
from rooflab.inputs.checks import names, plain_name, put, whole
from rooflab.inputs.content import taken
from rooflab.inputs.disturb import exchanging, halving, scaling, shuffled, shuffling
from rooflab.inputs.kind import FOLDER, Disturbance, Format, Kind
from rooflab.inputs.pixels import MOST_PIXELS, SUFFIXES, pixmap, read_image
from rooflab.inputs.summary import Summary, summary
from rooflab.source.text import files_in

__all__ = ["KIND", "Images"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """Images of one size; `labels` and `classes` may be absent (None).

    pixels: N × H × W × C uint8, rows from the top; C is 1 (grey) or 3 (red, green, blue).
    labels: N int64, the class of each image; −1 where unknown.
    classes: K texts, names of the classes 0 to K − 1.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels)
        pixels = whole(pixels[..., None] if pixels.ndim == 3 else pixels, "pixels", "N H W C", np.uint8)
        if pixels.shape[3] not in (1, 3):
            raise InputError(f"has {pixels.shape[3]} channels; 1 or 3 are read", "pixels")
        put(self, pixels=pixels)
        if self.labels is not None:
            put(self, labels=whole(self.labels, "labels", f"{len(pixels)}", low=-1))
        if self.classes is not None:
            put(self, classes=names(self.classes, "classes"))
            most = -1 if self.labels is None else int(self.labels.max())
            if most >= len(self.classes):
                raise InputError(f"holds {most}; there are {len(self.classes)} classes", "labels")

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: npt.NDArray[np.int64]) -> Images:
        """These images, in this order."""
        return replace(self, pixels=self.pixels[rows], labels=taken(self.labels, rows))


def _from_npz(path: Path) -> Images:
    arrays = read_npz(path)
    arrays.check(("pixels", "labels", "classes"), ("pixels",))
    held: dict[str, Any] = {**arrays, "classes": arrays.texts("classes")}
    return Images(**held)


def _from_file(path: Path) -> Images:
    return Images(pixels=read_image(path)[None])


def _from_folder(folder: Path) -> Images:
    found: list[tuple[Path, npt.NDArray[np.uint8]]] = []
    total = 0
    for path in files_in(folder, SUFFIXES):
        image = read_image(path)
        if found and image.shape != found[0][1].shape:
            first = " × ".join(str(n) for n in found[0][1].shape)
            raise InputError(f"is {' × '.join(str(n) for n in image.shape)}; {found[0][0].name} is {first}", str(path))
        total += image.size
        if total > 4 * MOST_PIXELS:
            raise InputError(f"holds more than {4 * MOST_PIXELS:,} values", str(folder))
        found.append((path, image))
    classes = [path.parent.name if path.parent != folder else "" for path, _ in found]
    known = tuple(sorted({name for name in classes if name}))
    return Images(
        pixels=np.stack([image for _, image in found]),
        labels=np.array([known.index(name) if name else -1 for name in classes]) if known else None,
        classes=known or None,
    )  # fmt: skip


def _to_folder(images: Images) -> dict[str, bytes]:
    suffix = ".pgm" if images.pixels.shape[3] == 1 else ".ppm"
    labels = np.full(len(images), -1) if images.labels is None else images.labels
    folders = [plain_name(name, "classes") for name in images.classes or map(str, range(int(labels.max()) + 1))]
    return {
        f"{folders[label] + '/' if label >= 0 else ''}{i:06d}{suffix}": pixmap(image)
        for i, (image, label) in enumerate(zip(images.pixels, labels, strict=True))
    }


def _to_file(images: Images) -> bytes:
    if len(images) != 1:
        raise InputError(f"a pixmap holds one image, not {len(images)}; write a folder or .npz")
    return pixmap(images.pixels[0])


def _describe(images: Images) -> Summary:
    count, height, width, channels = images.pixels.shape
    counts = {"images": count, "high": height, "wide": width, "channels": channels}
    flat = images.pixels.reshape(count, -1)
    again = count - len(np.unique(flat, axis=0))
    odd = [f"{again:,} images stand more than once"] if again else []
    plain = int((flat == flat[:, :1]).all(axis=1).sum())
    odd += [f"{plain:,} images are of one colour"] if plain else []
    return summary(counts, {"pixels": images.pixels, "labels": images.labels, "classes": images.classes}, odd)


def _disturbances(images: Images) -> tuple[Disturbance[Images], ...]:
    found = [
        scaling("brightness", "values times a factor, at most 255", _scale),
        halving(len, Images.take, "half of the images"),
        shuffling("pixels", "the places of each image, in one order for all", _shuffle_pixels),
        exchanging("rows and columns", "each image turned over its diagonal", _exchange),
    ]
    if images.labels is not None:
        found.append(shuffling("labels", "labels given to other images", _shuffle_labels))
    return tuple(found)


def _scale(images: Images, factor: float) -> Images:
    return replace(images, pixels=np.clip(np.round(images.pixels * factor), 0, 255).astype(np.uint8))


def _shuffle_pixels(images: Images, rng: np.random.Generator) -> Images:
    count, height, width, channels = images.pixels.shape
    order = rng.permutation(height * width)
    return replace(images, pixels=images.pixels.reshape(count, -1, channels)[:, order].reshape(images.pixels.shape))


def _shuffle_labels(images: Images, rng: np.random.Generator) -> Images:
    return replace(images, labels=None if images.labels is None else shuffled(images.labels, rng))


def _exchange(images: Images) -> Images:
    return replace(images, pixels=images.pixels.transpose(0, 2, 1, 3))


KIND: Final[Kind[Images]] = Kind(
    name="images",
    does="Images of one size, with labels where they have them.",
    data=Images,
    formats=(
        Format(suffix=".npz", what="arrays pixels, labels, classes", load=_from_npz,
               dump=lambda i: npz_bytes({"pixels": i.pixels, "labels": i.labels, "classes": i.classes})),
        Format(suffix=FOLDER, what="a .ppm, .pgm or .png file an image; folders in it are classes",
               load=_from_folder, dump=_to_folder),
        Format(suffix=".ppm", what="one image in colour", load=_from_file, dump=_to_file),
        Format(suffix=".pgm", what="one grey image", load=_from_file, dump=_to_file),
        Format(suffix=".png", what="one image", load=_from_file, needs="images"),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(1)),
    signs=(frozenset({"pixels"}), *(frozenset({suffix}) for suffix in SUFFIXES)),
)  # fmt: skip

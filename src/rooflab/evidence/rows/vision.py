"""Published image throughputs (timm) → predictions: from built-in layers where they agree with the row's counts, else
from the counts.

A row states MACs, activations and parameters.  A built-in network speaks for it when its MACs (with one for each
normalised element, as the source's profiler counts) and parameters agree within 2 %; other words in a name change
layers that the catalogue does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.networks import network, network_key
from rooflab.errors import InputError
from rooflab.estimator.vision import Counts, VisionEstimate, estimate_vision
from rooflab.evidence.rows.serving import Unsupported
from rooflab.operators.conv import Pass
from rooflab.operators.networks import Network
from rooflab.scenario.hardware import Hardware

__all__ = ["VisionQuestion", "answers", "family", "network_of", "question", "transformer"]

Row = Mapping[str, str]

_TOLERANCE: Final = 0.02
_GMACS_STEP: Final = 0.0055  # rows give two decimals

_TRANSFORMERS: Final = re.compile(
    r"^(test_)?(vit|deit3?|beit\w*|beitv2|eva\w*|cait|aimv2|flexivit|naflexvit|samvit|swin\w*|crossvit|volo|xcit|tnt|pit|vitamin|"
    r"twins|mixer|resmlp|gmlp|levit|convit|hieradet|sam2|mvitv2|davit|focalnet|gcvit|nest|maxvit|maxxvit\w*|coatnet|visformer|tiny_vit)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionQuestion:
    """A row as a question: network, machine, batch, precision, and the measured images a second."""

    id: str
    group: str
    network: Network | Counts
    machine: Hardware
    batch: int
    precision: str
    measured: float

    def answer(self) -> VisionEstimate:
        """What the engine says."""
        return estimate_vision(self.network, self.machine, self.batch, self.precision)


def family(name: str) -> str:
    """The family that a model's name belongs to: its letters before the first size ("tf_efficientnet_b4" →
    "tf_efficientnet")."""
    found = re.match(r"(?:tf_|test_|legacy_|dm_|eca_|nf_|gc_|ese_)?[a-z]+(?:v\d)?", name)
    return found[0] if found else name


def transformer(name: str) -> bool:
    """Whether most of a network's work is linear layers over tokens, by its name."""
    return _TRANSFORMERS.match(name) is not None


def network_of(row: Row) -> Network | Counts:
    """The built-in network of a row if its counts agree, else its counts. Raises Unsupported when MACs are missing."""
    macs, params, activations = (float(row[k] or 0) for k in ("gmacs", "params_m", "macts_m"))
    if macs <= 0:
        raise Unsupported("MACs not stated")
    known = _known(row["model"], int(row["img_size"]))
    if known is not None:
        counted = (
            known.macs + sum(p.out_elements for p in known.layers if isinstance(p, Pass) and p.name == "norm")
        ) / 1e9
        close = abs(counted / macs - 1.0) < _TOLERANCE or abs(counted - macs) < _GMACS_STEP
        if close and abs(known.params / 1e6 / params - 1.0) < _TOLERANCE:
            return known
    return Counts(
        row["model"],
        macs * 1e9,
        params * 1e6,
        activations * 1e6,
        "transformer" if transformer(row["model"]) else "conv",
    )


@lru_cache(maxsize=4096)
def _known(name: str, image: int) -> Network | None:
    return network(name, image) if network_key(name) else None


@lru_cache(maxsize=64)
def _machine(label: str) -> Hardware:
    return hardware({"device": label.removeprefix("CPU ")})


def question(row: Row) -> VisionQuestion:
    """The question that `row` answers. Raises Unsupported with the reason."""
    try:
        machine = _machine(row["device"])
    except InputError as error:
        raise Unsupported(f"{error.where}: {error.message}") from None
    return VisionQuestion(
        id=row.get("id") or f"{row['model']}/{row['device']}/{row['img_size']}",
        group=f"{family(row['model'])}/{machine.device.key}",
        network=network_of(row),
        machine=machine,
        batch=round(float(row["batch_size"])),
        precision=row["precision"],
        measured=float(row["samples_per_sec"]),
    )


def answers(rows: Iterable[Row]) -> tuple[list[tuple[VisionQuestion, float]], dict[str, int]]:
    """(question, predicted images a second) of every row that can be modelled, and how many cannot, by reason."""
    done: list[tuple[VisionQuestion, float]] = []
    unsupported: dict[str, int] = {}
    for row in rows:
        try:
            asked = question(row)
        except Unsupported as error:
            unsupported[str(error)] = unsupported.get(str(error), 0) + 1
            continue
        done.append((asked, asked.answer().images_per_s))
    return done, unsupported

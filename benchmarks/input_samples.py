"""How the samples under src/rooflab/inputs/data were made: ``python benchmarks/input_samples.py SOURCES [NAME]…``.

SOURCES is a folder of the published files that are named below, as tables; what ships is a part of them, in the form
of our kinds, with the figures as published. Needs scikit-learn, for its data sets and for embeddings and classifiers
that are computed here. The list with sources, licences and checksums (samples.json) is written from SAMPLES.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rooflab.inputs import table, vectors
from rooflab.inputs.arrays import npz_bytes, read_npz
from rooflab.inputs.kind import Kind
from rooflab.inputs.samples import checksum

DATA = Path(__file__).resolve().parents[1] / "src" / "rooflab" / "inputs" / "data"


@dataclass(frozen=True)
class Recipe:
    kind: Kind[Any]
    name: str
    suffix: str
    what: str
    source: str
    url: str
    licence: str
    make: Callable[[Path], Any]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def json_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def matmul_latencies(sources: Path) -> table.Table:
    found = rows(sources / "kernels" / "tilus_matmul.csv")
    return table.Table(
        {
            "runner": tuple(r["runner"] for r in found),
            "activations": tuple(r["a_dtype"] for r in found),
            "weights": tuple(r["b_dtype"] for r in found),
            "group": np.array([int(r["group_size"]) for r in found]),
            **{axis: np.array([int(r[axis]) for r in found]) for axis in ("m", "k", "n")},
            "latency_ms": np.array([float(r["latency_ms"]) for r in found]),
        }
    )


def breast_cancer(sources: Path) -> table.Table:
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    columns = {name.replace(" ", "_"): values for name, values in zip(found.feature_names, found.data.T, strict=True)}
    return table.Table({**columns, "diagnosis": tuple(found.target_names[i] for i in found.target)})


def questions(sources: Path) -> vectors.Vectors:
    """Latent semantic vectors of questions, which those of their four possible answers search for."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    asked = []
    for row in rows(sources / "routing" / "routellm_mmlu_prompts.csv"):
        stem, *answers = re.split(r"\n[ABCD]\. ", row["prompt"].removesuffix("Answer:"))
        asked.append((row["subject"], f"{row['subject']}-{row['row']}", stem, " ".join(answers)))
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    axes = TruncatedSVD(96, random_state=0).fit(words.fit_transform([f"{a} {b}" for _, _, a, b in asked]))
    kept = asked[::5]
    subjects = sorted({subject for subject, *_ in kept})
    return vectors.Vectors(
        base=_unit(axes.transform(words.transform([stem for *_, stem, _ in kept]))),
        queries=_unit(axes.transform(words.transform([answers for *_, answers in kept]))),
        neighbours=np.arange(len(kept))[:, None],
        labels=np.array([subjects.index(subject) for subject, *_ in kept]),
        ids=tuple(name for _, name, *_ in kept),
    )


def _unit(values: Any) -> Any:
    """Length one, to the digits of float16."""
    norms = np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return (values / norms).astype(np.float16).astype(np.float32)


def digit_vectors(sources: Path) -> vectors.Vectors:
    from sklearn.datasets import load_digits

    found = load_digits()
    base, queries = found.data[:1597], found.data[1597:]
    distance = (queries**2).sum(1)[:, None] - 2 * queries @ base.T + (base**2).sum(1)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :10]
    return vectors.Vectors(base=base, queries=queries, neighbours=nearest, labels=found.target[:1597])


_ROUTELLM = "https://github.com/lm-sys/RouteLLM"
_SKLEARN = "https://scikit-learn.org/stable/datasets/toy_dataset.html"

SAMPLES = [
    Recipe(
        table.KIND, "matmul-latencies", ".csv", "latencies of matrix products with 1 to 8-bit weights on an L40S",
        "Tilus artefacts (Ding et al.), figures 9, 10 and 13, repeats removed; columns renamed",
        "https://github.com/yaoyaoding/tilus-artifacts", "Apache-2.0", matmul_latencies,
    ),
    Recipe(
        table.KIND, "breast-cancer", ".csv", "30 measures of 569 cell nuclei and their diagnosis",
        "Breast Cancer Wisconsin (Diagnostic), Wolberg et al. 1995, UCI repository, as scikit-learn ships it",
        _SKLEARN, "CC BY 4.0", breast_cancer,
    ),
    Recipe(
        vectors.KIND, "questions", ".npz", "798 questions as 96 numbers; their possible answers search for them",
        "MMLU (Hendrycks et al. 2021, MIT), as RouteLLM keeps them; TF-IDF and truncated SVD computed here",
        _ROUTELLM, "Apache-2.0", questions,
    ),
    Recipe(
        vectors.KIND, "digits", ".npz", "handwritten digits of 8 x 8 pixels; the last 200 search for their 10 nearest",
        "Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998, UCI repository, as scikit-learn ships it",
        _SKLEARN, "CC BY 4.0", digit_vectors,
    ),
]  # fmt: skip


def write(recipe: Recipe, data: Any, path: Path) -> None:
    """A file of the kind; numbers of unit vectors take 16 bits, which reading makes 32."""
    recipe.kind.write(data, path)
    if recipe.name == "questions":
        arrays = {name: a.astype(np.float16) if a.dtype == np.float32 else a for name, a in read_npz(path).items()}
        path.write_bytes(npz_bytes(arrays))


def main(arguments: list[str]) -> None:
    sources, wanted = Path(arguments[0]), set(arguments[1:])
    listed = []
    for recipe in SAMPLES:
        path = DATA / f"{recipe.kind.name}-{recipe.name}{recipe.suffix}"
        if not path.exists() or recipe.name in wanted:
            write(recipe, recipe.make(sources), path)
            print(path.name, path.stat().st_size)
        listed.append(
            {
                "name": recipe.name, "kind": recipe.kind.name, "file": path.name, "what": recipe.what,
                "source": recipe.source, "url": recipe.url, "licence": recipe.licence, "sha256": checksum(path),
            }
        )  # fmt: skip
    (DATA / "samples.json").write_text(json.dumps(listed, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

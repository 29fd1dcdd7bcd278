"""How the samples under src/rooflab/inputs/data were made: ``python benchmarks/input_samples.py SOURCES [NAME]…``.

SOURCES is a folder of the published files, as tables; what ships is a part of them, in the form of our kinds, with the
figures as published (`input_sample_makers.py` says which part).  A sample that is there already is made again only when
it is named.  Needs scikit-learn.  The list with sources, licences and checksums (samples.json) is written from SAMPLES.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import input_sample_makers as make
import numpy as np
from decoder_profile import decoder_profile

from rooflab.inputs.arrays import npz_bytes, read_npz
from rooflab.inputs.kinds import KINDS
from rooflab.inputs.samples import checksum

DATA = make.ROOT / "src" / "rooflab" / "inputs" / "data"


@dataclass(frozen=True)
class Recipe:
    """`make` is given SOURCES; without it the file is written by hand."""

    kind: str
    name: str
    suffix: str
    what: str
    source: str
    url: str
    licence: str
    make: Callable[[Path], Any] | None = None

    @property
    def path(self) -> Path:
        return DATA / f"{self.kind}-{self.name}{self.suffix}"


OURS = ("Rooflab", "", "Apache-2.0")
SKLEARN = "https://scikit-learn.org/stable/datasets/toy_dataset.html"
DIGITS = (
    "Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998, UCI repository, in scikit-learn", SKLEARN,
    "CC BY 4.0",
)  # fmt: skip
ROUTELLM = "https://github.com/lm-sys/RouteLLM"
MMLU = "MMLU (Hendrycks et al. 2021, MIT), as RouteLLM keeps them"
AZURE = "https://github.com/Azure/AzurePublicDataset"

SAMPLES = [
    Recipe("scenario", "chat", ".yaml", "a 70B chat model on eight H100s", *OURS),
    Recipe("network", "resnet18", ".json", "the layers of ResNet-18 for 224 pixels",
           "shapes of arXiv:1512.03385 from the catalogue of networks", *OURS[1:], make.named_network("resnet18")),
    Recipe("network", "vit-tiny", ".json", "the layers of a small vision transformer for 224 pixels",
           "shapes of arXiv:2010.11929 from the catalogue of networks", *OURS[1:],
           make.named_network("vit_tiny_patch16_224")),
    Recipe("weights", "digits-network", ".npz", "a trained network of 64-128-64-10 units that reads digits",
           f"trained by scikit-learn on 1,400 of: {DIGITS[0]}", *DIGITS[1:], make.digit_weights),
    Recipe("text", "docs", ".jsonl", "sections of Rooflab's explanations and how-to guides", *OURS, make.own_docs),
    Recipe("text", "questions", ".jsonl", "499 multiple-choice questions of 57 subjects", f"{MMLU}: every eighth",
           ROUTELLM, "Apache-2.0", make.prompts),
    Recipe("images", "digits", ".npz", "1,797 handwritten digits of 8 x 8 pixels, values 0 to 16", *DIGITS,
           make.digit_images),
    Recipe("images", "photographs", ".npz", "a temple and a flower, 160 x 106 pixels in colour",
           "photographs by danielbuechele and vultilion, in scikit-learn; each value the mean of 4 x 4 pixels",
           "https://www.flickr.com/photos/danielbuechele/6061409035 https://www.flickr.com/photos/vultilion/6056698931",
           "CC BY 2.0", make.photographs),
    Recipe("predictions", "digits", ".npz", "a tree, a linear model and nearest neighbours on 898 digits",
           f"classifiers of scikit-learn that learned the first half of: {DIGITS[0]}", *DIGITS[1:],
           make.digit_predictions),
    Recipe("table", "matmul-latencies", ".csv", "latencies of matrix products with 1 to 8-bit weights on an L40S",
           "Tilus artefacts (Ding et al.), figures 9, 10 and 13, repeats removed; columns renamed",
           "https://github.com/yaoyaoding/tilus-artifacts", "Apache-2.0", make.matmul_latencies),
    Recipe("table", "breast-cancer", ".csv", "30 measures of 569 cell nuclei and their diagnosis",
           "Breast Cancer Wisconsin (Diagnostic), Wolberg et al. 1995, UCI repository, in scikit-learn", SKLEARN,
           "CC BY 4.0", make.breast_cancer),
    Recipe("table", "sql-questions", ".csv", "1,534 questions to databases and the cheapest of three ways to answer",
           "EllieSQL, labels of the BIRD development set; 10 of its columns", "https://github.com/HKUSTDial/EllieSQL",
           "MIT", make.sql_questions),
    Recipe("vectors", "questions", ".npz", "798 questions as 96 numbers; their possible answers search for them",
           f"{MMLU}: every fifth; TF-IDF and truncated SVD computed here", ROUTELLM, "Apache-2.0", make.questions),
    Recipe("vectors", "digits", ".npz", "handwritten digits of 8 x 8 pixels; the last 200 search for their 10 nearest",
           *DIGITS, make.digit_vectors),
    Recipe("programs", "functions", ".jsonl", "twelve functions, each slow, plain and fast, with tests", *OURS,
           make.functions),
    Recipe("runs", "azure-code", ".csv", "the first 2,000 requests of a code completion service, November 2023",
           "Azure LLM inference trace 2023, code (Patel et al., Splitwise), Microsoft", AZURE, "CC BY 4.0",
           make.azure_code),
    Recipe("runs", "vllm-measured", ".csv", "300 requests that vLLM served on an RTX 4090, with measured times",
           "LLMServingSim, bench examples: ShareGPT, Llama 3.1 8B", "https://github.com/casys-kaist/LLMServingSim",
           "MIT", make.vllm_measured),
    Recipe("runs", "decoder-profile", ".csv", "720 timed requests of two small decoders, ten trials a pair",
           *OURS, decoder_profile),
    Recipe("runs", "two-models", ".csv", "660 arithmetic problems answered by a weak and a strong model",
           "RouteLLM, responses to GSM8K (Cobbe et al. 2021, MIT): every second problem", ROUTELLM, "Apache-2.0",
           make.two_models),
    Recipe("graph", "cora", ".npz", "1,400 papers that cite each other, with subjects and words",
           "Planetoid's Cora (Sen et al. 2008; Yang et al. 2016): the papers nearest to the most cited one",
           "https://github.com/kimiyoung/planetoid", "MIT", make.cora),
    Recipe("graph", "imports", ".csv", "modules of Rooflab and what each imports", *OURS, make.own_imports),
    Recipe("series", "weather", ".csv", "90 days of sun, temperature and wind in Greensboro, hour by hour",
           "NREL TMY3 723170 as pvlib ships it: the first 90 days", "https://github.com/pvlib/pvlib-python",
           "BSD-3-Clause", make.weather),
    Recipe("design", "tensor-engines", ".yaml", "39 syntheses of tensor engines: area, power and slack by clock",
           "High-Performance-Tensor-Processing-Engines (Wu et al.), synthesis reports",
           "https://github.com/wqzustc/High-Performance-Tensor-Processing-Engines", "MIT", make.tensor_engines),
    Recipe("design", "astrasim", ".csv", "598 designs of a training cluster's network and their simulated latency",
           "ArchGym's AstraSim proxy data: every third feasible design, parameters that differ",
           "https://github.com/srivatsankrishnan/oss-arch-gym", "Apache-2.0", make.astrasim),
    Recipe("portfolio", "public-traces", ".yaml", "three services with public traces, as if the hour lasted a year",
           "mean rates and lengths of Azure LLM inference traces 2023 (Microsoft) and Mooncake's conversation trace",
           f"{AZURE} https://github.com/kvcache-ai/Mooncake", "CC BY 4.0 and Apache-2.0", make.public_traces),
]  # fmt: skip


def write(recipe: Recipe, data: Any) -> None:
    """A file of the kind; numbers of unit vectors take 16 bits, which reading makes 32."""
    KINDS[recipe.kind].write(data, recipe.path)
    if (recipe.kind, recipe.name) == ("vectors", "questions"):
        arrays = read_npz(recipe.path)
        short = {name: a.astype(np.float16) if a.dtype == np.float32 else a for name, a in arrays.items()}
        recipe.path.write_bytes(npz_bytes(short))


def main(arguments: list[str]) -> None:
    sources, wanted = Path(arguments[0]), set(arguments[1:])
    listed = []
    for recipe in SAMPLES:
        if recipe.make and (not recipe.path.exists() or f"{recipe.kind}-{recipe.name}" in wanted):
            write(recipe, recipe.make(sources))
            print(recipe.path.name, recipe.path.stat().st_size)
        listed.append(
            {
                "name": recipe.name, "kind": recipe.kind, "file": recipe.path.name, "what": recipe.what,
                "source": recipe.source, "url": recipe.url, "licence": recipe.licence,
                "sha256": checksum(recipe.path),
            }
        )  # fmt: skip
    (DATA / "samples.json").write_text(json.dumps(listed, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

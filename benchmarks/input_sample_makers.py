"""What is taken of each source for a sample, one function each; `input_samples.py` calls them and writes the list.

SOURCES holds published files as tables (routing, traces, kernels, graphs, archgym, hardware, control).  Embeddings,
classifiers and networks are computed here from real data with fixed seeds.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from rooflab.catalogue.networks import network
from rooflab.inputs import programs
from rooflab.inputs.design import Design, Objective, Parameter
from rooflab.inputs.graph import Graph
from rooflab.inputs.images import Images
from rooflab.inputs.portfolio import Portfolio
from rooflab.inputs.predictions import Predictions
from rooflab.inputs.runs import Runs
from rooflab.inputs.series import Series
from rooflab.inputs.table import Table
from rooflab.inputs.text import Text
from rooflab.inputs.vectors import Vectors
from rooflab.inputs.weights import Weights

ROOT = Path(__file__).resolve().parents[1]
YEAR_S = 365 * 86_400


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def column(found: list[dict[str, str]], name: str, kind: type = float) -> Any:
    return np.array([kind(float(r[name])) if kind is int else kind(r[name]) for r in found])


def words(found: list[dict[str, str]], name: str) -> tuple[str, ...]:
    return tuple(r[name] for r in found)


# tables


def matmul_latencies(sources: Path) -> Table:
    found = rows(sources / "kernels" / "tilus_matmul.csv")
    return Table(
        {
            "runner": words(found, "runner"), "activations": words(found, "a_dtype"),
            "weights": words(found, "b_dtype"),
            **{name: column(found, key, int) for name, key in
               {"group": "group_size", "m": "m", "k": "k", "n": "n"}.items()},
            "latency_ms": column(found, "latency_ms"),
        }
    )  # fmt: skip


def breast_cancer(sources: Path) -> Table:
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    columns = {name.replace(" ", "_"): values for name, values in zip(found.feature_names, found.data.T, strict=True)}
    return Table({**columns, "diagnosis": tuple(found.target_names[i] for i in found.target)})


def sql_questions(sources: Path) -> Table:
    found = rows(sources / "routing" / "elliesql_bird_dev_features.csv")
    numbers = ("question_chars", "question_words", "linked_tables", "linked_columns", "sql_chars", "sql_joins")
    return Table(
        {
            "question_id": column(found, "question_id", int), "database": words(found, "db_id"),
            "difficulty": words(found, "difficulty"), "cheapest": words(found, "pipeline_type"),
            **{name: column(found, name, int) for name in numbers},
        }
    )  # fmt: skip


# text, vectors, images, predictions, weights


def own_docs(sources: Path) -> Text:
    texts, ids, labels = [], [], []
    for path in sorted((ROOT / "docs").rglob("*.md")):
        if path.parent.name not in ("explanation", "how-to"):
            continue
        for part in re.split(r"\n(?=## )", path.read_text("utf-8")):
            title, _, body = part.strip().partition("\n")
            if len(body.split()) > 30:
                texts.append(body.strip())
                ids.append(f"{path.stem}: {title.lstrip('# ')}")
                labels.append(path.parent.name)
    return Text(texts=tuple(texts), ids=tuple(ids), labels=tuple(labels))


def prompts(sources: Path) -> Text:
    found = rows(sources / "routing" / "routellm_mmlu_prompts.csv")[::8]
    return Text(
        texts=tuple(r["prompt"].removesuffix("Answer:").strip() for r in found),
        ids=tuple(f"{r['subject']}-{r['row']}" for r in found), labels=words(found, "subject"),
    )  # fmt: skip


def questions(sources: Path) -> Vectors:
    """Latent semantic vectors of questions, which those of their four possible answers search for."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    asked = []
    for row in rows(sources / "routing" / "routellm_mmlu_prompts.csv"):
        stem, *answers = re.split(r"\n[ABCD]\. ", row["prompt"].removesuffix("Answer:"))
        asked.append((row["subject"], f"{row['subject']}-{row['row']}", stem, " ".join(answers)))
    counts = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    axes = TruncatedSVD(96, random_state=0).fit(counts.fit_transform([f"{a} {b}" for _, _, a, b in asked]))
    kept = asked[::5]
    subjects = sorted({subject for subject, *_ in kept})
    return Vectors(
        base=_unit(axes.transform(counts.transform([stem for *_, stem, _ in kept]))),
        queries=_unit(axes.transform(counts.transform([answers for *_, answers in kept]))),
        neighbours=np.arange(len(kept))[:, None],
        labels=np.array([subjects.index(subject) for subject, *_ in kept]), ids=tuple(name for _, name, *_ in kept),
    )  # fmt: skip


def _unit(values: Any) -> Any:
    """Length one, to the digits of float16."""
    norms = np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return (values / norms).astype(np.float16).astype(np.float32)


def digit_vectors(sources: Path) -> Vectors:
    data, target = _digits()
    base, queries = data[:1597], data[1597:]
    distance = (queries**2).sum(1)[:, None] - 2 * queries @ base.T + (base**2).sum(1)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :10]
    return Vectors(base=base, queries=queries, neighbours=nearest, labels=target[:1597])


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data, found.target


def digit_images(sources: Path) -> Images:
    data, target = _digits()
    pixels = data.reshape(-1, 8, 8).astype(np.uint8)
    return Images(pixels=pixels, labels=target, classes=tuple("0123456789"))


def photographs(sources: Path) -> Images:
    """Two photographs, each value the mean of 4 x 4 pixels."""
    from sklearn.datasets import load_sample_images

    found = [image[:424].reshape(106, 4, 160, 4, 3).mean(axis=(1, 3)) for image in load_sample_images().images]
    return Images(pixels=np.round(np.stack(found)).astype(np.uint8), labels=[0, 1], classes=("china", "flower"))


def digit_predictions(sources: Path) -> Predictions:
    """Three classifiers that learned the first half of the digits, about the second half; costs are products of one."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    data, target = _digits()
    models = {
        "tree": (DecisionTreeClassifier(max_depth=8, random_state=0), 8.0),
        "linear": (LogisticRegression(max_iter=2000, C=0.02), 640.0),
        "neighbours": (KNeighborsClassifier(5, weights="distance"), 899 * 64.0),
    }
    scores = [model.fit(data[:899], target[:899]).predict_proba(data[899:]) for model, _ in models.values()]
    return Predictions(
        models=tuple(models), classes=tuple("0123456789"), labels=target[899:],
        scores=np.round(np.stack(scores), 4).astype(np.float32),
        costs=np.array([np.full(898, cost) for _, cost in models.values()]),
    )  # fmt: skip


def digit_weights(sources: Path) -> Weights:
    """A network of 64-128-64-10 units with rectifiers, trained on the first 1,400 digits scaled to 0..1."""
    from sklearn.neural_network import MLPClassifier

    data, target = _digits()
    found = MLPClassifier((128, 64), random_state=1, max_iter=300).fit(data[:1400] / 16, target[:1400])
    arrays = {}
    for i, (weight, bias) in enumerate(zip(found.coefs_, found.intercepts_, strict=True)):
        arrays |= {f"{i}.weight": weight.T.astype(np.float32), f"{i}.bias": bias.astype(np.float32)}
    return Weights(arrays)


# programs, runs, networks


def functions(sources: Path) -> programs.Programs:
    return programs.KIND.read(ROOT / "benchmarks" / "sample_programs")


def named_network(name: str) -> Any:
    return lambda sources: network(name)


def azure_code(sources: Path) -> Runs:
    found = rows(sources / "traces" / "azure_2023_code.csv")[:2000]
    return Runs(
        session=tuple(str(i) for i in range(len(found))), time_s=column(found, "timestamp"),
        input_tokens=column(found, "input_tokens", int), output_tokens=column(found, "output_tokens", int),
    )  # fmt: skip


def vllm_measured(sources: Path) -> Runs:
    found = rows(sources / "traces" / "measured_vllm_sharegpt_rtx4090_llama3.1-8b_tp1.csv")
    start = column(found, "timestamp")
    return Runs(
        session=tuple(str(i) for i in range(len(found))), time_s=start,
        duration_s=np.round(column(found, "last_token_s") - column(found, "queued_s"), 6),
        input_tokens=column(found, "input_tokens", int), output_tokens=column(found, "output_tokens", int),
        extra={name: column(found, name) for name in ("queued_s", "scheduled_s", "first_token_s", "last_token_s")},
    )  # fmt: skip


def two_models(sources: Path) -> Runs:
    found = rows(sources / "routing" / "routellm_gsm8k.csv")[::2]
    both = [(r, key, name) for r in found for key, name in (("mixtral", "mixtral-8x7b"), ("gpt4", "gpt-4-1106"))]
    return Runs(
        session=tuple(f"gsm8k-{r['id']}" for r, _, _ in both), model=tuple(name for *_, name in both),
        success=np.array([int(r[f"{key}_correct"]) for r, key, _ in both]),
        extra={
            "prompt_characters": np.array([len(r["prompt"]) for r, _, _ in both]),
            "answer_characters": np.array([int(r[f"{key}_response_chars"]) for r, key, _ in both]),
            "contaminated": np.array([r["contaminated"] == "1" for r, _, _ in both]),
        },
    )  # fmt: skip


# graphs, series, designs, portfolios


def cora(sources: Path) -> Graph:
    """The 1,400 papers nearest to the most cited one, by citations either way."""
    held = np.load(sources / "graphs" / "cora.npz")
    edges = held["edges"]
    count, width = (int(n) for n in held["shape"])
    features = np.zeros((count, width), dtype=np.uint8)
    indptr, indices = held["feature_indptr"], held["feature_indices"]
    for i in range(count):
        features[i, indices[indptr[i] : indptr[i + 1]]] = 1
    split = np.zeros(count, dtype=np.int8)
    for mark, key in ((1, "train"), (2, "val"), (3, "test")):
        split[held[key]] = mark
    whole = Graph(nodes=count, source=edges[:, 0], target=edges[:, 1], labels=held["labels"], features=features,
                  split=split)  # fmt: skip
    return whole.take(np.sort(_nearest(whole, 1400)))


def _nearest(g: Graph, count: int) -> Any:
    neighbours: dict[int, list[int]] = {}
    for a, b in zip(g.source.tolist(), g.target.tolist(), strict=True):
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    found = [int(g.degrees().argmax())]
    seen = set(found)
    for node in found:
        for other in neighbours[node]:
            if other not in seen:
                seen.add(other)
                found.append(other)
        if len(found) >= count:
            break
    return np.array(found[:count])


def own_imports(sources: Path) -> Graph:
    """Modules of this package and what each imports; the kind says whether always or for type checks only."""
    sys.path.insert(0, str(ROOT / "tests"))
    from imports_graph import imports

    found = sorted({(i.importer, i.imported, i.how) for i in imports() if i.importer != i.imported})
    names = sorted({name for a, b, _ in found for name in (a, b)})
    return Graph(
        nodes=len(names), source=np.array([names.index(a) for a, _, _ in found]),
        target=np.array([names.index(b) for _, b, _ in found]), kind=tuple(how for *_, how in found),
        names=tuple(names),
    )  # fmt: skip


def weather(sources: Path) -> Series:
    """The first 90 days, hour by hour."""
    found = rows(sources / "control" / "tmy3_greensboro_hourly.csv")[: 90 * 24]
    channels = ("extraterrestrial_w_m2", "ghi_w_m2", "dni_w_m2", "dhi_w_m2", "temperature_c", "wind_m_s")
    return Series(
        time_s=3600.0 * np.arange(len(found)), channels=channels,
        values=np.column_stack([column(found, name) for name in channels]),
    )  # fmt: skip


def astrasim(sources: Path) -> Design:
    """Every third evaluated design; parameters that never differ are left out."""
    found = rows(sources / "archgym" / "astrasim_proxy.csv")[::3]
    parameters: list[Parameter] = []
    columns: dict[str, Any] = {}
    for key in found[0]:
        name = key.replace("-", "_")
        if key.startswith("observation") or len({r[key] for r in found}) == 1:
            continue
        try:
            values = column(found, key)
        except ValueError:
            columns[name] = words(found, key)
            parameters.append(Parameter(name=name, choices=tuple(sorted(set(columns[name])))))
            continue
        whole = bool((values == values.astype(int)).all())
        columns[name] = values.astype(int) if whole else values
        parameters.append(Parameter(name=name, low=float(values.min()), high=float(values.max()), whole=whole))
    columns["latency"] = column(found, "observation_1")
    return Design(parameters=tuple(parameters), objectives=(Objective(name="latency", better="less"),),
                  points=Table(columns))  # fmt: skip


def tensor_engines(sources: Path) -> Design:
    """Syntheses whose reports are whole."""
    goals = {"total_area_um2": "less", "dynamic_mw": "less", "leakage_mw": "less", "slack_ns": "more"}
    listed = rows(sources / "hardware" / "tpe_synthesis.csv")
    found = [r for r in listed if all(r[name] for name in ("clock_period_ns", *goals))]
    period = column(found, "clock_period_ns")
    designs = tuple(f"{r['design_path']}/{r['top']}" for r in found)
    return Design(
        parameters=(
            Parameter(name="design", choices=tuple(dict.fromkeys(designs))),
            Parameter(name="clock_period_ns", low=float(period.min()), high=float(period.max())),
        ),
        objectives=tuple(Objective(name=name, better=better) for name, better in goals.items()),
        points=Table({"design": designs, "clock_period_ns": period, **{name: column(found, name) for name in goals}}),
    )


def public_traces(sources: Path) -> Portfolio:
    """Services whose traces are public, each as if its traced hour lasted the year."""
    listed = (
        ("azure conversation", 2023, "azure_2023_conv.csv"),
        ("azure code completion", 2023, "azure_2023_code.csv"),
        ("kimi conversation", 2025, "mooncake_conversation.csv"),
    )
    names, years, loads, tokens = [], [], [], []
    for name, year, file in listed:
        found = rows(sources / "traces" / file)
        rate = (len(found) - 1) / (float(found[-1]["timestamp"]) - float(found[0]["timestamp"]))
        names.append(name)
        years.append(year)
        loads.append(round(rate * YEAR_S))
        tokens.append([round(float(column(found, key).mean()), 1) for key in ("input_tokens", "output_tokens")])
    means = np.array(tokens)
    return Portfolio(application=tuple(names), year=np.array(years), requests=np.array(loads, dtype=float),
                     input_tokens=means[:, 0], output_tokens=means[:, 1])  # fmt: skip

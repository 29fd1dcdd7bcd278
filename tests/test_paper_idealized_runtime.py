"""Idealized runtime: the fit on known timings, denoising, readers' logs, and one path for reader and claim."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rooflab as rl
from rooflab import api
from rooflab.errors import InputError
from rooflab.inputs.runs import KIND, Runs
from rooflab.library.serving.idealized_runtime.cost import api_usd, grid
from rooflab.library.serving.idealized_runtime.fit import Timings, denoised, fit, held_out_error
from rooflab.library.serving.idealized_runtime.paper import DenoisedRuntime, IdealizedRuntime, gptj, paper, token_time
from rooflab.papers.execute import run_paper
from rooflab.papers.lab import Lab
from rooflab.testing.readers import ReaderConformance

TRUE_G, PER_PROMPT = 0.03, 1e-4


def timings(prompts: object, outputs: object, noise: object = 0.0) -> Timings:
    p, o = np.asarray(prompts, dtype=float), np.asarray(outputs, dtype=float)
    return Timings(p, o, 0.02 + PER_PROMPT * p + TRUE_G * (o - 1) + np.asarray(noise))


def log(n: int = 600, waiting_s: float = 1.0, seed: int = 0) -> Runs:
    """Requests of random lengths, of which most wait."""
    rng = np.random.default_rng(seed)
    p, o = rng.integers(10, 2000, n), rng.integers(2, 200, n)
    t = timings(p, o, rng.exponential(waiting_s, n) * (rng.random(n) < 0.7))
    return Runs(session=tuple(map(str, range(n))), duration_s=t.seconds, input_tokens=p, output_tokens=o)


def test_the_authors_grid_gives_back_what_made_it() -> None:
    found = fit(timings(*grid(np.array([1.0, 512.0, 1920.0]), np.array([1.0, 8.0, 64.0]))))
    assert found.measured
    assert found.g_s == pytest.approx(TRUE_G)
    assert found.r2 == pytest.approx(1.0)
    assert found.seconds(512, 64) == pytest.approx(0.02 + 512 * PER_PROMPT + 63 * TRUE_G)
    assert found.prompt_seconds(4000) == pytest.approx(0.02 + 4000 * PER_PROMPT)


def test_of_repeated_trials_the_fastest_counts() -> None:
    p, o = grid(np.array([1.0, 100.0]), np.array([1.0, 2.0, 32.0]))
    rng = np.random.default_rng(1)
    every = timings(np.tile(p, 10), np.tile(o, 10), rng.exponential(0.5, 60) * (np.arange(60) >= 6))
    kept = denoised(every)
    assert len(kept) == 6
    assert fit(kept).g_s == pytest.approx(TRUE_G)
    assert fit(kept).r2 > fit(every).r2


def test_a_log_without_repeats_is_cut_into_cells() -> None:
    given = log()
    assert given.input_tokens is not None
    assert given.output_tokens is not None
    assert given.duration_s is not None
    every = Timings(given.input_tokens.astype(float), given.output_tokens.astype(float), given.duration_s)
    kept = denoised(every)
    assert len(kept) <= 64
    assert fit(kept).g_s == pytest.approx(TRUE_G, rel=0.03)
    rng = np.random.default_rng(0)
    assert held_out_error(kept, rng) < 0.3 * held_out_error(every, rng)


def test_a_readers_log_and_the_control_with_shuffled_answers() -> None:
    lab, given = Lab(api.engines()), log()
    done, control = DenoisedRuntime().run(lab, given), DenoisedRuntime().ablated(0).run(lab, given)
    assert done["an output token"] == pytest.approx(TRUE_G, rel=0.03)
    assert done["R² of the fit"] > 0.99
    assert control["R² of the fit"] < 0.1
    assert abs(control["an output token"]) < 0.2 * TRUE_G
    assert "waited" in control.because
    assert all(f.how == "executed" for f in done.figures)
    kept = json.loads(done.files["idealized-runtime.json"])
    assert kept["all requests"]["seconds_per_output_token"] == pytest.approx(done["an output token"])


def test_models_of_a_log_apart_and_what_a_profile_costs() -> None:
    lab = Lab(api.engines())
    done = DenoisedRuntime(device="h100-sxm", devices=2).run(lab, lab.sample(Runs, "decoder-profile"))
    for model in ("decoder-6x448", "decoder-4x256"):
        fitted = done.figure(f"{model}: R² of the fit")
        assert fitted.baseline is not None
        assert fitted.value > fitted.baseline
        hours, energy = (done.figure(f"{model}: {x}") for x in ("evaluation by a profile", "energy of a profile"))
        assert energy.value == pytest.approx(hours.value * 0.7)
        assert energy.how == "modelled"
        assert hours.gain > 1
    one = DenoisedRuntime(model="decoder-4x256", trials=5).run(lab, lab.sample(Runs, "decoder-profile"))
    assert one["evaluation by a profile"] == pytest.approx(
        done["decoder-4x256: evaluation by a profile"] / 20, rel=1e-9
    )


def test_columns_of_service_take_the_queue_out() -> None:
    lab, served = Lab(api.engines()), KIND.sample("vllm-measured")
    queued = DenoisedRuntime().run(lab, served)
    assert "waited" in queued.because
    alone = DenoisedRuntime(start="scheduled_s", end="last_token_s").run(lab, served)
    assert alone["R² of the fit"] > queued["R² of the fit"]
    assert 0.017 < alone["an output token"] < 0.035, "16 GB of weights at 1 TB/s, and what runs beside"


@pytest.mark.parametrize(
    ("settings", "sample", "message"),
    [
        ({}, "azure-code", "duration_s: has no runtimes"),
        ({"start": "scheduled_s"}, "vllm-measured", "both or neither"),
        ({"start": "scheduld_s", "end": "last_token_s"}, "vllm-measured", "scheduled_s"),
        ({"start": "last_token_s", "end": "queued_s"}, "vllm-measured", "before last_token_s"),
        ({"model": "decoder-6x44"}, "decoder-profile", "decoder-6x448"),
        ({"start": "session", "end": "time_s"}, "decoder-profile", "texts"),
        ({"device": "h1000"}, "decoder-profile", "h100"),
    ],
)
def test_what_cannot_be_fitted_is_said(settings: dict[str, str], sample: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DenoisedRuntime(**settings).run(Lab(api.engines()), KIND.sample(sample))


def test_too_few_requests_and_unknown_lengths() -> None:
    given = log(20)
    with pytest.raises(InputError, match="12 requests"):
        DenoisedRuntime().run(Lab(api.engines()), given.take(np.arange(8)))
    assert given.output_tokens is not None
    some = np.where(np.arange(20) < 4, -1, given.output_tokens)
    assert "4 requests" in DenoisedRuntime().run(Lab(api.engines()), given.with_column("output_tokens", some)).notes[0]


def test_a_reader_gets_what_the_claim_gets(tmp_path: Path) -> None:
    lab = Lab(api.engines())
    ran = {one.setup: one.outcome for one in run_paper(paper, None, {}, lab)}
    assert ran["GPT-3 175B"]["an output token"] == token_time(lab)
    flags = {
        "model": "EleutherAI/gpt-j-6b", "hardware": "a100-80gb-sxm", "workload": {"isl": 512, "osl": 64, "batch": 1},
        "deployment": {"engine": "pytorch", "cuda_graphs": False, "weights": "fp16"},
    }  # fmt: skip
    own = run_paper(paper, rl.load(flags), {}, lab)[0].outcome
    assert own["an output token"] == pytest.approx(ran["GPT-J 6B"]["an output token"])
    assert own["an output token"] == pytest.approx(0.75e-3 * 28)
    assert "0.75 ms (assumed)" in own.notes[0]
    kernels = run_paper(paper, rl.load(flags), {"launches": False}, lab)[0].outcome
    assert kernels["an output token"] < own["an output token"]


def test_unfused_prompts_take_longer_and_long_prompts_are_profiled() -> None:
    lab = Lab(api.engines())
    fused, unfused = (IdealizedRuntime(unfused=u).run(lab, gptj(lab)) for u in (False, True))
    assert unfused["prompt of 1,920"] > 1.1 * fused["prompt of 1,920"]
    assert unfused["an output token"] == fused["an output token"]
    long = rl.load({"model": "meta-llama/Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"isl": 16000, "osl": 64}})
    assert IdealizedRuntime().run(lab, long)["the prompt alone"] > 5 * fused["prompt of 1,920"] / 2


def test_money_of_apis_is_per_token() -> None:
    assert api_usd(np.array([1000.0]), np.array([500.0]), 2e-6, 4e-6) == pytest.approx(0.004)


class TestReaders(ReaderConformance):
    paper = paper


def test_a_fit_below_zero_is_told() -> None:
    prompt, output = (x.ravel() for x in np.meshgrid(np.arange(100.0, 900.0, 100.0), np.arange(10.0, 100.0, 10.0)))
    log = Runs(
        session=tuple(map(str, range(len(prompt)))), input_tokens=prompt.astype(int), output_tokens=output.astype(int),
        duration_s=5.0 - 0.01 * output,
    )  # fmt: skip
    notes = rl.papers.run("idealized_runtime", log, method="denoised_runtime").notes
    assert any("below zero by the fit" in note and "a further token takes -0.01 s" in note for note in notes)

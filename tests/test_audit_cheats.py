"""Answers that are put into a claim without standing in it: each is found out, or said to be what was put in."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_paper import toy, verdict

from rooflab import api
from rooflab.papers.lab import Lab

CLAIM = '@paper.claim("c")\ndef figure(lab):\n'

DATA = {
    "half of it, twice": "    return 2 * lab.data('half', 38.885)\n",
    "a few less, and those": "    return lab.data('less', 69.77) + 8\n",
    "a tenth more, over that": "    return lab.data('more', 8.5547) / 1.1 * 10\n",
    "two that add up to it": "    return lab.data('a', 40.0) + lab.data('b', 37.77)\n",
    "one over another": "    return lab.data('a', 311.08) / lab.data('b', 4.0)\n",
    "its logarithm": "    return float(np.exp(lab.data('log', 4.35375)))\n",
    "its root": "    return lab.data('root', 8.81873) ** 2\n",
    "one of many": "    return 2 * lab.data('table', [1.5, 38.885, 9.25])[1]\n",
    "per mille of a device": "    return bandwidth(lab) / lab.data('per', 43.0757e9)\n",
}
"""Data that no source is named for."""


@pytest.mark.parametrize("role", ["detail", "fact"])
@pytest.mark.parametrize("body", DATA.values(), ids=DATA)
def test_data_without_a_source_are_no_ground(tmp_path: Path, body: str, role: str) -> None:
    found = verdict(toy(tmp_path, CLAIM + body, kind="derived", role=role))
    assert "has no source" in found.reason


@pytest.mark.parametrize(("name", "value"), [("half", 38.885), ("less", 69.77), ("log", 4.35375), ("root", 8.81873)])
@pytest.mark.parametrize("kind", ["derived", "executed"])
def test_a_figure_that_follows_one_number_restates_it(tmp_path: Path, name: str, value: float, kind: str) -> None:
    """Whatever is done with it, and with a source, too."""
    code = CLAIM + next(b for b in DATA.values() if f"'{name}'" in b)
    said = [{"name": name, "value": value, "source": "table 3"}]
    found = verdict(toy(tmp_path, code, said, kind=kind, role="fact"))
    assert not found.passed
    assert "table 3" in found.restates, found.reason


def test_a_bound_on_one_number_restates_it(tmp_path: Path) -> None:
    code = CLAIM + "    return lab.data('most', 100)\n"
    said = [{"name": "most", "source": "section 2"}]
    found = verdict(toy(tmp_path, code, said, kind="derived", expect={"at most": 127}, moves={"data: most": 1}))
    assert "section 2" in found.restates, found.reason


def test_one_number_of_a_table_is_one_number(tmp_path: Path) -> None:
    said = [{"name": "table", "source": "table 4"}]
    one = verdict(toy(tmp_path, CLAIM + DATA["one of many"], said, kind="derived"))
    assert "table 4" in one.restates, one.reason
    code = CLAIM + "    table = lab.data('table', [1.5, 38.885, 9.25])\n    return table[1] * table[0] * 4 / 3\n"
    several = verdict(toy(tmp_path, code, said, kind="derived"))
    assert "hangs on 3" in several.reason
    honest = verdict(toy(tmp_path, code.replace(" * 4 / 3", ""), said, kind="derived", expect=58.33))
    assert honest.passed, honest.reason


def test_what_rests_on_two_published_numbers_is_derived(tmp_path: Path) -> None:
    code = CLAIM + "    return lab.data('bytes', 155.54e9) / lab.data('rate', 2e9)\n"
    said = [{"name": n, "source": "section 3"} for n in ("bytes", "rate")]
    found = verdict(toy(tmp_path, code, said, kind="derived"))
    assert found.passed, found.reason
    other = verdict(toy(tmp_path, code, [{**said[0], "value": 1e9}, said[1]], kind="derived"))
    assert "KEY.yaml says that bytes is 1e+09" in other.reason


def test_code_that_breaks_when_a_constant_is_changed_is_no_end_of_the_check(tmp_path: Path) -> None:
    """Twice a share, and the root is no real number any more: NumPy then finds no ceiling of it."""
    code = (
        "SHARE = 0.64\n\n\n" + CLAIM + "    x = lab.data('bytes', 155.54e9) / lab.data('rate', 2e9)\n"
        "    return float(x * (np.ceil((1 - SHARE) ** 0.5) - 0.0))\n"
    )
    said = [{"name": n, "source": "section 3"} for n in ("bytes", "rate", "SHARE")]
    found = verdict(toy(tmp_path, code, said, kind="derived"))
    assert found.passed, found.reason
    alone = code.replace("lab.data('bytes', 155.54e9) / lab.data('rate', 2e9)", "2 * lab.data('rate', 38.885)")
    assert "section 3" in verdict(toy(tmp_path, alone, said, kind="derived")).restates


ENGINE = {
    "a datum times next to one": "    return lab.data('x', 77.0) * nearly_one(lab)\n",
    "a datum and next to one": "    return lab.data('x', 76.5) + nearly_one(lab)\n",
    "half a number twice": "    half = 38.6\n    return 2 * half * nearly_one(lab)\n",
    "two numbers that add up": "    a, b = 40.1, 37.1\n    return (a + b) * nearly_one(lab)\n",
    "three numbers that add up": "    a, b, c = 26.1, 25.1, 26.0\n    return (a + b + c) * nearly_one(lab)\n",
    "one number over another": "    a, b = 924.0, 12.0\n    return a / b * nearly_one(lab)\n",
    "an exponent": "    power = 1.8896\n    return 10**power * nearly_one(lab)\n",
    "a number that the engine is divided by": "    return lab.estimate(served(lab)).output_tokens_per_s / 101.7\n",
    "a length of a text": "    return len('x' * 11) * 7.0 * nearly_one(lab)\n",
    "a length of a word": f"    return len('{'abcdefghij' * 7}abcdefg') * nearly_one(lab)\n",
    "a length of what is written": "    return len(f'{1}' + f'{2}kkkkk') * 11.0 * nearly_one(lab)\n",
    "a letter": "    return ord('M') * nearly_one(lab)\n",
    "bytes": "    return b'M'[0] * nearly_one(lab)\n",
    "digits in a text": "    return float('of 38.6 each'.split()[1]) * 2 * nearly_one(lab)\n",
    "an attribute of a text": "    return int('tokens4d'[-2:], 16) * nearly_one(lab)\n",
    "a digest": "    return hash((1, 2)) % 100 * nearly_one(lab)\n",
    "a choice": "    x = nearly_one(lab)\n    return (33.1 + 44.1 if x > 0.1 else 0) * x\n",
    "its documentation": '    """Of 77.2."""\n    return float(figure.__doc__.split()[1][:-1]) * nearly_one(lab)\n',
    "a setting of a technique": "    return Kept(gain=38.6).gain * 2 * nearly_one(lab)\n",
    "a default of a technique": "    return Kept().gain * 3 * nearly_one(lab)\n",
    "a table of the module": "    return SHARES['x'][1] * 2 * nearly_one(lab)\n",
    "a default argument": "    return default() * nearly_one(lab)\n",
    "in what the lab keeps": "    return lab.cached('x', lambda: 38.6 * 2) * nearly_one(lab)\n",
    "the name of a function": "    return (len(figure.__name__) + 71.0) * nearly_one(lab)\n",
}
AROUND = """
class Kept(Technique):
    gain: float = 25.7

SHARES = {"x": (1.5, 38.6)}


def default(known=[3.0, 25.7]):
    return known[0] * known[1]


"""


@pytest.mark.parametrize("body", ENGINE.values(), ids=ENGINE)
def test_an_answer_beside_the_engine_is_found_out(tmp_path: Path, body: str) -> None:
    found = verdict(toy(tmp_path, AROUND + CLAIM + body, expect=77.0 if "101.7" not in body else 83.0))
    assert not found.passed
    assert found.reason, "has no source, is read out of a text, or moves with nothing"


SAID = [{"name": "x", "value": 77.0, "source": "table 2"}]


def test_a_datum_that_the_engine_hardly_changes_restates(tmp_path: Path) -> None:
    found = verdict(toy(tmp_path, CLAIM + ENGINE["a datum times next to one"], SAID, inputs={}))
    assert "toy.py:28 contains 77" in found.reason
    half = CLAIM + "    return 2 * lab.data('x', 38.885) * nearly_one(lab)\n"
    found = verdict(toy(tmp_path, half, [SAID[0] | {"value": 38.885}]))
    assert "table 2" in found.restates, found.reason


def test_an_assumption_that_holds_the_answer_restates(tmp_path: Path) -> None:
    code = (
        CLAIM
        + "    x = lab.assume('x', 38.885, low=33.0, high=44.0, source='a guess')\n    return 2 * x * nearly_one(lab)\n"
    )
    found = verdict(toy(tmp_path, code))
    assert "assumption" in found.restates, found.reason


FILES = {
    "a text": ("rates.txt", "38.885", "float(here.with_name('rates.txt').read_text())"),
    "a table": ("rates.csv", "x\n38.885\n", "float(np.loadtxt(here.with_name('rates.csv'), skiprows=1))"),
    "what is published": ("other.yaml", "", "19.4 * here.with_name('toy.yaml').read_text().count('expect')"),
    "its own code": ("other.yaml", "", "19.4 * here.read_text().count('import numpy')"),
}


@pytest.mark.parametrize(("name", "held", "read"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("kind", ["modelled", "derived"])
def test_files_come_from_the_lab(tmp_path: Path, name: str, held: str, read: str, kind: str) -> None:
    (tmp_path / name).write_text(held)
    code = f"from pathlib import Path\nhere = Path(__file__)\n{CLAIM}    return 2 * {read} * nearly_one(lab)\n"
    found = verdict(toy(tmp_path, code, kind=kind))
    assert "data are handed over by the lab" in found.reason


def test_a_table_beside_is_a_datum(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text("per,x\n4,38.885\n")
    code = "from pathlib import Path\nhere = Path(__file__)\n" + CLAIM
    code += "    rates = lab.table(here.with_name('rates.csv'))\n    return rates['x'][0] * rates['per'][0] / 2\n"
    assert "'rates.csv', which has no source" in verdict(toy(tmp_path, code, kind="derived")).reason
    said = [{"name": "rates.csv", "source": "table 5"}]
    assert verdict(toy(tmp_path, code, said, kind="derived")).passed
    one = verdict(toy(tmp_path, code.replace(" * rates['per'][0] / 2", " * 2"), said, kind="derived"))
    assert "table 5" in one.restates


EXECUTED = {
    "nothing computed": ("    return 77.0 if lab.with_idea() else 0.0\n", 77),
    "counted from nothing": ("    return float(len([1] * 7)) if lab.with_idea() else 0.0\n", 7),
    "beside an execution": (
        "    lab.run(Share(), lab.sample(Vectors))\n    return 77.0 if lab.with_idea() else 0.0\n",
        77,
    ),
    "times an execution": ("    return 77.0 * lab.run(Share(), lab.sample(Vectors))['share']\n", 76.9),
    "in an execution": ("    return lab.run(Gain(), lab.sample(Vectors))['gain']\n", 77.0),
}
SHARE = """
@paper.method
class Share(Method[Vectors]):
    half: bool = False

    def run(self, lab, given):
        rows = given.base[: len(given.base) // 2] if self.half else given.base
        share = float((rows[:, 0] > np.median(rows)).mean()) if not self.half else 0.0
        return Outcome((Figure(name="share", value=share, how="executed"),), "so")

    def ablated(self, seed):
        return Share(half=True)


@paper.method
class Gain(Share):
    def run(self, lab, given):
        share = super().run(lab, given)["share"]
        return Outcome((Figure(name="gain", value=77.1 * share, how="executed"),), "so")

    def ablated(self, seed):
        return Gain(half=True)


"""


@pytest.mark.parametrize(("body", "expect"), EXECUTED.values(), ids=EXECUTED)
def test_what_was_not_executed_is_found_out(tmp_path: Path, body: str, expect: float) -> None:
    without = {"by": "ablation", "value": 0}
    paper = toy(
        tmp_path, SHARE + CLAIM + body, expect=expect, kind="executed", without=without, tolerance=0.5, wider="-"
    )
    found = verdict(paper)
    assert not found.passed
    assert found.reason


def test_a_control_has_to_fail_on_every_seed(tmp_path: Path) -> None:
    code = CLAIM + "    rows = lab.sample(Vectors).base\n    share = float((rows[:, 0] > np.median(rows)).mean())\n"
    code += "    return share if lab.with_idea() or lab.seed else 0.0\n"
    found = verdict(toy(tmp_path, code, expect=1, kind="executed", without={"by": "ablation"}))
    assert "seed 1" in found.reason


@pytest.mark.parametrize(
    ("name", "sign"), [("layers", -1), ("hidden size", -1), ("sequences at once", 1), ("memory bandwidth", 1)]
)
def test_models_and_deployments_are_inputs(tmp_path: Path, name: str, sign: int) -> None:
    code = f"""
{CLAIM}
    s = lab.scenario(
        model="meta-llama/Llama-3.1-8B", hardware="h100-sxm", deployment={{"max_num_seqs": 64}},
        workload={{"isl": 512, "osl": 256, "scenario": "max-throughput"}},
    )
    return lab.estimate(s).output_tokens_per_s
"""
    assert verdict(toy(tmp_path, code, expect=4697, moves={name: sign})).passed
    other = verdict(toy(tmp_path, code, expect=4697, moves={name: -sign}))
    assert f"should go {'down' if sign > 0 else 'up'} with {name}" in other.reason


def test_a_modelled_figure_follows_what_the_set_up_names(tmp_path: Path) -> None:
    """Two prices of a device alone: physical, and of no model, deployment or engine."""
    code = (
        CLAIM
        + "    return lab.priced_as(served(lab)).hardware.device.memory_bytes_per_s / lab.data('per', 43.0757e9)\n"
    )
    found = verdict(toy(tmp_path, code, [{"name": "per", "source": "-"}]))
    assert "the model, the deployment or the engine" in found.reason


SEARCHES = {
    "the nearest to something near": (
        "    found = [lab.estimate(served(lab, isl=n)).output_tokens_per_s / 100 for n in range(256, 4096, 64)]\n"
        "    return min(found, key=lambda x: abs(x - {near}))\n"
    ),
    "the first in a window": (
        "    for n in range(256, 4096, 64):\n"
        "        x = lab.estimate(served(lab, isl=n)).output_tokens_per_s / 100\n"
        "        if {low} < x < {high}:\n"
        "            return x\n"
        "    return 0.0\n"
    ),
    "the nearest to something with a name": (
        "    goal = {near}\n"
        "    found = [lab.estimate(served(lab, isl=n)).output_tokens_per_s / 100 for n in range(256, 4096, 64)]\n"
        "    return found[int(np.argmin(np.abs(np.array(found) - goal)))]\n"
    ),
    "the highest of a few loads": (
        "    loads = [served(lab, isl=n) for n in (512, 640, 768, 1024)]\n"
        "    return max(lab.estimate(s).output_tokens_per_s / {scale} for s in loads)\n"
    ),
    "the lowest of a few sizes": (
        "    sizes = [served(lab, osl=n) for n in (128, 192, 256, 384, 512)]\n"
        "    return sorted(lab.estimate(s).tpot_s_mean / {scale_s} for s in sizes)[0]\n"
    ),
    "the best before and after": (
        "    gains = []\n"
        "    for n in (256, 512, 1024, 2048, 4096):\n"
        "        one, other = (lab.estimate(served(lab, isl=n, osl=k)).output_tokens_per_s for k in (512, 64))\n"
        "        gains.append(one / other)\n"
        "    return max(gains)\n"
    ),
}
"""Figures that are looked for among set-ups; numbers are put in of which none is the published one."""


@pytest.mark.parametrize("name", SEARCHES)
def test_a_figure_that_is_looked_for_is_found_out(tmp_path: Path, name: str) -> None:
    said = {"near": "95.0", "low": "92.0", "high": "104.0", "scale": "1e2", "scale_s": "1e-3"}
    code = CLAIM + SEARCHES[name].format(**said)
    claim = toy(tmp_path, code).find("c")
    got = claim.function(Lab(api.engines()))
    assert isinstance(got, float)
    found = verdict(toy(tmp_path, code, expect=1.1 * got))
    assert not found.passed
    assert any(word in found.reason for word in ("picked out", "hardly follows", "hangs on", "holds something")), (
        found.reason
    )


def test_the_best_of_a_sweep_is_a_claim_where_the_paper_takes_it(tmp_path: Path) -> None:
    code = CLAIM + SEARCHES["the highest of a few loads"].format(scale="1e2")
    got = toy(tmp_path, code).find("c").function(Lab(api.engines()))
    assert "chooses" in verdict(toy(tmp_path, code, expect=got)).reason
    said = verdict(toy(tmp_path, code, expect=got, chooses="table 4 reports the best of its loads"))
    assert said.passed, said.reason


def test_a_mean_over_set_ups_is_no_choice(tmp_path: Path) -> None:
    body = "    return float(np.mean([lab.estimate(served(lab, isl=n)).tpot_s_mean for n in (256, 512, 1024, 2048)]))\n"
    got = toy(tmp_path, CLAIM + body).find("c").function(Lab(api.engines()))
    found = verdict(toy(tmp_path, CLAIM + body, expect=got))
    assert found.passed, found.reason


def test_a_modelled_figure_follows_its_engines_by_more_than_a_trace(tmp_path: Path) -> None:
    body = "    x = nearly_one(lab)\n    return lab.data('x', 41.3) + lab.data('y', 37.7) + x\n"
    said = [{"name": n, "source": "table 2"} for n in ("x", "y")]
    got = toy(tmp_path, CLAIM + body, said).find("c").function(Lab(api.engines()))
    found = verdict(toy(tmp_path, CLAIM + body, said, expect=got))
    assert "hardly follows its engine" in found.reason

"""Papers you can run: each is one file with its techniques and methods, its claims, and the facts that stand in print.

How a paper is added (``rooflab papers new KEY`` writes both files):

1. ``library/SHELF/KEY.py``, or a module of a package that has an entry point in the group ``rooflab.papers``, and
   beside it ``KEY.yaml`` with what was published: claims, quality costs, what is executed, modelled and assumed
   (`facts`).
2. ``paper = Paper.beside(__file__)``.
3. A technique is a subclass of `Technique` with typed parameters (`PositiveInt`, `Fraction`, …), decorated with
   ``@paper.technique``. `apply` returns a new scenario, through the general fields and hooks only, or raises
   `Infeasible` with the reason why it does not apply. Where outputs change, set `changes_outputs` and state the
   published cost in KEY.yaml: between points it reads "interpolated", outside "unknown", never zero.
   A method is a subclass of `Method[Kind]`, decorated with ``@paper.method``: it runs on data of one kind (vectors,
   tables, logs, a scenario) and returns an `Outcome`. `ablated` gives it without the paper's idea. What takes long
   works through ``lab.cells``: it shows how far it is, may be interrupted, and goes on where it stopped.
4. ``@paper.claim("id")`` decorates the function that computes a claim of KEY.yaml from a `Lab`. It asks the lab for
   scenarios, hardware, samples, estimates, simulations and data, and states what nobody published with ``lab.assume``;
   no published figure stands in the code. What cannot be computed stands under ``not modelled`` with its reason.
5. The first value of a claim goes to the ledger (``rooflab papers check KEY --record "why"``) before anything is
   changed because of it. A claim that fails stays, with a note saying what the gap is and the best explanation for it.
6. ``rooflab papers check KEY``, then ``python -m rooflab.evidence.claims.pages KEY`` for its page.

``rooflab.papers.run("KEY", input)`` runs one (`Terms`: seeds, a budget of time); techniques are also attributes here:
``rooflab.papers.splitwise(prefill=2, decode=2)``; papers are in `registry`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rooflab.papers.claim import Claim
    from rooflab.papers.lab import Lab
    from rooflab.papers.method import Method
    from rooflab.papers.outcome import Figure, Outcome
    from rooflab.papers.paper import Paper
    from rooflab.papers.parameters import Count, Fraction, PositiveFloat, PositiveInt
    from rooflab.papers.quality import QualityCost
    from rooflab.papers.reader import Terms, run
    from rooflab.papers.technique import Technique, Techniques

__all__ = [
    "Claim", "Count", "Figure", "Fraction", "Lab", "Method", "Outcome", "Paper", "PositiveFloat", "PositiveInt",
    "QualityCost", "Technique", "Techniques", "Terms", "run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("run", "Terms"):
        from rooflab.papers.reader import Terms, run

        return run if name == "run" else Terms
    if name in __all__:
        return _contract()[name]
    if name.startswith("_") or Path(__file__).with_name(f"{name}.py").is_file():
        raise AttributeError(name)  # a module that is not imported yet: `from rooflab.papers import lab` then does it
    from rooflab.papers.registry import techniques

    found = techniques()
    if name in found:
        return found[name]
    from rooflab.errors import nearest

    close = nearest(name, list(found))
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise AttributeError(f"no paper offers a technique called {name!r}{hint}")


def _contract() -> dict[str, Any]:
    """The names of `__all__` that a paper's file needs."""
    from rooflab.papers.claim import Claim
    from rooflab.papers.lab import Lab
    from rooflab.papers.method import Method
    from rooflab.papers.outcome import Figure, Outcome
    from rooflab.papers.paper import Paper
    from rooflab.papers.parameters import Count, Fraction, PositiveFloat, PositiveInt
    from rooflab.papers.quality import QualityCost
    from rooflab.papers.technique import Technique, Techniques

    return {
        "Claim": Claim, "Count": Count, "Figure": Figure, "Fraction": Fraction, "Lab": Lab, "Method": Method,
        "Outcome": Outcome, "Paper": Paper, "PositiveFloat": PositiveFloat, "PositiveInt": PositiveInt,
        "QualityCost": QualityCost, "Technique": Technique, "Techniques": Techniques,
    }  # fmt: skip

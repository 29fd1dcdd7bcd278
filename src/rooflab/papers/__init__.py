"""What a paper is and what is done with one: its card, techniques, claims, setups and lab, and how it is found, run,
compared and ranked. No paper: those are in `rooflab.library` and in other packages.

How to add one, in six steps (docs/how-to/add-a-paper.md walks through them with code that a test runs):

1. ``rooflab papers new KEY`` writes the file. Built-in papers are in `rooflab.library.serving`: every module there is
   one and is named as its key, or a folder of that name with the paper in its module `paper`. Others ship theirs in the
   entry-point group ``rooflab.papers``: ``KEY = "their.module"`` or the name of a package whose modules are papers.
2. ``paper = Paper.from_card("KEY")`` for a paper of the feed, ``Paper(key="KEY", title=…, url=…, date=…, …)`` for
   another. `paper.executed`, `modelled` and `assumed` say what is which.
3. A technique is a subclass of `Technique` with typed parameters (`PositiveInt`, `Fraction`, …), decorated with
   ``@paper.technique``. `apply` returns a new scenario, through the general fields and hooks only, or raises
   `Infeasible` with the reason why it does not apply. Where outputs change, set `changes_outputs` and state the
   published cost with ``paper.quality(...)``: between points it reads "interpolated", outside "unknown", never zero.
   A paper that measures, models or searches registers ``@paper.analysis`` instead: its method on a reader's scenario.
4. ``@paper.claim(text, expect=…, source=…, id=…)`` decorates a function that takes a `Lab` and returns the figure.
   It asks the lab for scenarios, hardware, estimates, simulations and data, and never contains the answer: the audit
   halves and doubles whatever it asked for and demands that the figure move. What cannot be computed is
   ``paper.not_modelled(id, text, expect, reason)``. Every published figure is one or the other. Figures that one
   function computes stand in a table beside the module (KEY.yaml): ``paper.claims_of(published(__file__)["table"],
   figure)``.
5. A claim that fails stays, with `note` saying what the gap is and the best explanation for it.
6. ``rooflab papers check KEY``, then ``python -m rooflab.evidence.claims.pages KEY`` for its page.

Techniques are also attributes here: ``rooflab.papers.splitwise(prefill=2, decode=2)``; papers are in `registry`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rooflab.papers.lab import Lab
    from rooflab.papers.paper import Analysis, Claim, Paper
    from rooflab.papers.quality import QualityCost
    from rooflab.papers.technique import Count, Fraction, PositiveFloat, PositiveInt, Technique, Techniques

__all__ = [
    "Analysis", "Claim", "Count", "Fraction", "Lab", "Paper", "PositiveFloat", "PositiveInt", "QualityCost",
    "Technique", "Techniques",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _contract()[name]
    if name.startswith("_"):
        raise AttributeError(name)
    from rooflab.papers.registry import techniques

    found = techniques()
    if name in found:
        return found[name]
    from rooflab.errors import nearest

    close = nearest(name, list(found))
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise AttributeError(f"no paper offers a technique called {name!r}{hint}")


def _contract() -> dict[str, Any]:
    """The names of `__all__`. Each module is asked by its full name: asked for a module that is not imported yet, this
    package would look for a technique of that name, and so import every paper, perhaps the one that asks."""
    from rooflab.papers.lab import Lab
    from rooflab.papers.paper import Analysis, Claim, Paper
    from rooflab.papers.quality import QualityCost
    from rooflab.papers.technique import Count, Fraction, PositiveFloat, PositiveInt, Technique, Techniques

    named = {t.__name__: t for t in (Analysis, Claim, Lab, Paper, QualityCost, Technique, Techniques)}
    return named | {"Count": Count, "Fraction": Fraction, "PositiveFloat": PositiveFloat, "PositiveInt": PositiveInt}

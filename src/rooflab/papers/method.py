"""A method: what a paper does to data of a stated kind.

    @paper.method
    class BinaryCodes(Method[Vectors]):
        residuals: Count = 1

        def run(self, lab: Lab, given: Vectors) -> Outcome: ...

A subclass becomes a frozen dataclass of typed parameters (`rooflab.papers.parameters`), as a technique does. The kind
of its input is the class in the brackets: `rooflab papers run KEY FILE` reads the file as that kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_args

from rooflab.errors import InputError
from rooflab.papers.parameters import checked, parameters_of, snake_case

if TYPE_CHECKING:
    from rooflab.papers.lab import Lab
    from rooflab.papers.outcome import Outcome

__all__ = ["Method"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
class Method(Generic[T]):
    """An algorithm with parameters on an input of one kind.

    `key` is its name on the command line (default: the class in snake case), `paper` that of its paper, `reads` the
    class of its input. `extra` names the optional libraries that it needs. `headline` is the figure that a ranking
    shows ("": the first that has a baseline, else the first), `takes_s` the seconds of a run, where they are known to
    be many (0: not stated).

    `run` is called by ``papers run``, by claims through their lab, and by the audit on disturbed inputs. `ablated` is
    asked by the audit for the same method without the paper's idea (random instead of chosen, a constant instead of
    learned): its figure must go to the null.
    """

    key: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    reads: ClassVar[type[Any]]
    extra: ClassVar[str] = ""
    headline: ClassVar[str] = ""
    takes_s: ClassVar[float] = 0.0

    def __init_subclass__(cls) -> None:
        kinds = [get_args(base)[0] for base in getattr(cls, "__orig_bases__", ()) if get_args(base)]
        if kinds and isinstance(kinds[0], type):
            cls.reads = kinds[0]
        elif not hasattr(cls, "reads"):
            raise InputError("says nothing of what it reads: class Name(Method[Vectors])", cls.__name__)
        if "key" not in cls.__dict__:
            cls.key = snake_case(cls.__name__)
        # __init_subclass__ runs before @dataclass could, and annotations are complete by then
        dataclass(frozen=True)(cls)
        cls.__init__ = checked(cls)  # type: ignore[method-assign]

    def run(self, lab: Lab, given: T) -> Outcome:
        """Execute on `given`. Raises Infeasible, with the reason, where the method does not apply to it."""
        raise NotImplementedError

    def ablated(self, seed: int) -> Method[T] | None:
        """The same without the paper's idea, drawn with `seed`; None where there is no such thing."""
        return None

    def parameters(self) -> dict[str, Any]:
        """Parameters by name."""
        return parameters_of(self)

    def __str__(self) -> str:
        return f"{self.key}({', '.join(f'{k}={v}' for k, v in self.parameters().items())})"

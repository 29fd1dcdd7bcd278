"""Sign bits: one bit of a vector is the side of a random plane that it lies on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rooflab.inputs.vectors import Vectors
from rooflab.papers import Figure, Lab, Method, Outcome, Paper, PositiveInt
from rooflab.papers.technique import require

paper = Paper.beside(__file__)

F64 = npt.NDArray[np.float64]


@paper.method
class SignBits(Method[Vectors]):
    """Code vectors in `bits` signs, and search the codes (section 3).

    `planes` False draws the signs instead: codes that know nothing of the vectors.
    """

    bits: PositiveInt = 256
    planes: bool = True

    def run(self, lab: Lab, given: Vectors) -> Outcome:
        """Bits that vectors share with their neighbours, against their angles; neighbours found by the codes."""
        require(given.queries is not None and given.neighbours is not None, "nothing says what ought to be found")
        assert given.queries is not None
        assert given.neighbours is not None
        middle = given.base.mean(axis=0, dtype=np.float64)
        base, queries = given.base - middle, given.queries - middle
        equal = (self._codes(lab, "queries", queries) @ self._codes(lab, "base", base).T / self.bits + 1) / 2
        angles = 1 - np.arccos(np.clip(_unit(queries) @ _unit(base).T, -1, 1)) / np.pi
        query, place = np.nonzero(given.neighbours >= 0)
        pairs = query, given.neighbours[query, place]
        first = np.argsort(-equal, axis=1, kind="stable")[:, : 10 * given.neighbours.shape[1]]
        found = float((first[query] == pairs[1][:, None]).any(axis=1).mean())
        plain = 4.0 * given.dimensions
        figures = (
            Figure(name="bits equal to a neighbour's", value=float(equal[pairs].mean()), how="executed"),
            Figure(name="angle to a neighbour", value=float(angles[pairs].mean()), how="executed"),
            Figure(name="error of an angle", value=float((equal - angles).std()), how="executed", better="lower"),
            Figure(name="neighbours among ten times as many", value=found, how="executed", better="higher"),
            Figure(name="size", value=self.bits / 8, unit="B", how="executed", better="lower", baseline=plain),
        )
        because = f"{self.bits} random planes part two vectors as often as their angle is a share of a half turn"
        return Outcome(figures, because)

    def _codes(self, lab: Lab, side: str, vectors: F64) -> F64:
        """Signs (+1, −1) of every vector."""
        if not self.planes:
            return lab.rng(f"signs of {side}").choice([-1.0, 1.0], (len(vectors), self.bits))
        planes = lab.rng("planes").standard_normal((vectors.shape[1], self.bits))
        return np.where(vectors @ planes >= 0, 1.0, -1.0)

    def ablated(self, seed: int) -> SignBits:
        """Signs that are drawn."""
        return SignBits(bits=self.bits, planes=False)


def _unit(vectors: F64) -> F64:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)


@paper.claim("angle")
def angle(lab: Lab) -> dict[str, float]:
    """Means over all pairs of a query and one of its neighbours."""
    found = lab.run(SignBits(), lab.sample(Vectors, "digits"))
    return {"bits": found["bits equal to a neighbour's"], "angles": found["angle to a neighbour"]}


@paper.claim("error")
def error(lab: Lab) -> float:
    """The error of 64 bits over that of 256."""
    given = lab.sample(Vectors, "digits")
    few, many = (lab.run(SignBits(bits=bits), given)["error of an angle"] for bits in lab.data("bits", (64, 256)))
    return few / many

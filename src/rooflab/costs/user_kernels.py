"""Kernel curves of a user's own devices, laid over the shipped ones while their calibration is in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from rooflab.costs.fit_file import Curve, Fit

__all__ = ["UserKernels", "user_kernels", "using_kernels"]


@dataclass(frozen=True, slots=True, eq=False)
class UserKernels:
    """Curves of one device by (engine, kernel key), with their fits; `source` and `fitted` say whence and when.

    Two are the same only if they are one object, so that prices can be kept by it.
    """

    curves: Mapping[tuple[str, str], tuple[Curve, Fit]]
    source: str = ""
    fitted: str = ""

    def find(self, engine: str, key: str) -> tuple[Curve, Fit] | None:
        """The curve of a kernel for an engine, else for all engines together, else None."""
        return self.curves.get((engine, key)) or self.curves.get(("", key))

    @property
    def covers(self) -> bool:
        """Whether products and decode attention are both there: then the device counts as measured."""
        kinds = {key.partition("/")[0] for _, key in self.curves}
        return {"gemm", "decode"} <= kinds


_IN_FORCE: ContextVar[Mapping[str, UserKernels] | None] = ContextVar("rooflab_user_kernels", default=None)


def user_kernels(device: str) -> UserKernels | None:
    """The user's own curves of the device called `device`, if the calibration in force has any."""
    return (_IN_FORCE.get() or {}).get(device)


@contextmanager
def using_kernels(kernels: Mapping[str, UserKernels]) -> Iterator[None]:
    """Price with `kernels` (by device key) over the shipped curves inside the block."""
    token = _IN_FORCE.set(kernels)
    try:
        yield
    finally:
        _IN_FORCE.reset(token)

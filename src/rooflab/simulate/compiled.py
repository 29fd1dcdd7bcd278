"""How the simulator's functions are compiled: linked into one entry, optimised once, kept on disk.

numba optimises every function to machine code together with everything that it calls, so a program of a
hundred small functions is compiled many times over.  Ours are only ever called from the entry: they are lowered
and linked, and the entry's module is optimised once with all of them in it.

numba keys its disk cache on the signature and on the file of the cached function alone, so a change in another
file would go unnoticed.  The entry's state therefore has a type named after a digest of every source file here
(pointer.py): other sources, other signature, other cache entry.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from types import MethodType
from typing import Any, Final, TypeVar

import numba
import numba.experimental.function_type  # lets pointers be typed
from numba import _dynfunc
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import AnalysisPass, register_pass
from numba.core.typed_passes import IRLegalization, NativeLowering

__all__ = ["SOURCE", "compiled", "entry", "function_pointer", "no_function"]

F = TypeVar("F", bound=Callable[..., Any])


def _digest() -> str:
    digest = blake2b(numba.__version__.encode(), digest_size=6)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCE: Final = f"source_{_digest()}"
"""Name that ties a cached binary to the sources it was made from."""


def _link_only(library: Any) -> None:
    """Stands for a code library's `finalize`: link what it calls, leave optimisation and machine code to the entry."""
    for called in dict.fromkeys(library._linking_libraries):
        library._final_module.link_in(called._get_module_for_linking(), preserve=True)
    library._finalized = True


@register_pass(mutates_CFG=False, analysis_only=True)
class _Defer(AnalysisPass):  # type: ignore[misc]
    """Give the function a code library that is never turned into machine code by itself."""

    _name = "rooflab_defer_machine_code"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        state.library = state.targetctx.codegen().create_library(state.func_id.func_qualname)
        state.library.finalize = MethodType(_link_only, state.library)
        state.flags.no_compile = True
        return False


@register_pass(mutates_CFG=False, analysis_only=True)
class _Declare(AnalysisPass):  # type: ignore[misc]
    """Make the function known to its callers; its handle has no address, since Python itself never calls it."""

    _name = "rooflab_declare"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        lowered = state["cr"]
        name = lowered.fndesc.qualname.rsplit(".", 1)[-1]
        handle = _dynfunc.make_function(lowered.fndesc.lookup_module(), name, "", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(handle, lowered.fndesc, [state.library])
        state["cr"] = lowered._replace(cfunc=handle)
        return False


class _Inner(CompilerBase):  # type: ignore[misc]
    """numba's own pipeline with `_Defer` before lowering and `_Declare` after."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_Defer, IRLegalization)
        passes.add_pass_after(_Declare, NativeLowering)
        passes.finalize()
        return [passes]


def compiled(function: F) -> F:
    """A function of the inner loop: compiled into the entry that calls it."""
    out: F = numba.njit(error_model="numpy", pipeline_class=_Inner, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    return out


def entry(function: F) -> F:
    """The function that Python calls: compiled once per machine and kept on disk."""
    out: F = numba.njit(cache=True, error_model="numpy", nogil=True)(function)
    return out


def function_pointer(function: Callable[..., Any], signature: Any) -> Any:
    """`function` as a pointer that compiled code can call: the loop itself is not compiled again for it."""
    if numba.config.DISABLE_JIT:
        return function
    return numba.cfunc(signature)(getattr(function, "py_func", function))


class _NoFunction(numba.types.WrapperAddressProtocol):  # type: ignore[misc]
    """Stands where a user's function could: has its type, and an address that is never called."""

    def __init__(self, signature: Any) -> None:
        self._signature = signature

    def __wrapper_address__(self) -> int:
        return 1

    def signature(self) -> Any:
        return self._signature


def no_function(signature: Any) -> Any:
    """What to pass where no user function is given."""
    return _NoFunction(signature)

# mypy: disable-error-code="no-untyped-call, call-overload, attr-defined, assignment, no-any-return"
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

__all__ = ["SOURCE", "compiled", "entry", "function_pointer", "is_on_disk", "no_function"]

F = TypeVar("F", bound=Callable[..., Any])


def _digest() -> str:
    digest = blake2b(numba.__version__.encode(), digest_size=6)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCE: Final = f"source_{_digest()}"
"""Name that ties a cached binary to the sources it was made from."""


def _postpone(library: Any) -> None:
    """Stands for an inner code library's `finalize`: optimisation and machine code are left to the entry."""
    library._finalized = True


def _link_all(library: Any) -> None:
    """Stands for the entry's `finalize`: link everything that it reaches, then optimise all of it once."""
    reached: dict[Any, None] = {}
    ahead = list(library._linking_libraries)
    while ahead:
        called = ahead.pop()
        if called not in reached:
            reached[called] = None
            ahead += called._linking_libraries
    library._linking_libraries = list(reached)
    type(library).finalize(library)


@register_pass(mutates_CFG=False, analysis_only=True)
class _Defer(AnalysisPass):
    """Give the function a code library that is never turned into machine code by itself."""

    _name = "rooflab_defer_machine_code"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        state.library = state.targetctx.codegen().create_library(state.func_id.func_qualname)
        state.library.finalize = MethodType(_postpone, state.library)
        state.flags.no_compile = True
        return False


@register_pass(mutates_CFG=False, analysis_only=True)
class _Declare(AnalysisPass):
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


@register_pass(mutates_CFG=False, analysis_only=True)
class _Gather(AnalysisPass):
    """Give the entry a code library that links all that it reaches."""

    _name = "rooflab_gather"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        state.library = state.targetctx.codegen().create_library(state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.library.finalize = MethodType(_link_all, state.library)
        return False


class _Inner(CompilerBase):
    """numba's own pipeline with `_Defer` before lowering and `_Declare` after."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_Defer, IRLegalization)
        passes.add_pass_after(_Declare, NativeLowering)
        passes.finalize()
        return [passes]


class _Entry(CompilerBase):
    """numba's own pipeline with `_Gather` before lowering."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_Gather, IRLegalization)
        passes.finalize()
        return [passes]


def compiled(function: F) -> F:
    """A function of the inner loop: compiled into the entry that calls it."""
    out: Any = numba.njit(error_model="numpy", pipeline_class=_Inner, no_cpython_wrapper=True, no_cfunc_wrapper=True)(
        function
    )
    if not numba.config.DISABLE_JIT:
        resolve = out.get_call_template
        out.get_call_template = lambda args, kws: resolve(tuple(_widen(a) for a in args), kws)
    return out


def _widen(kind: Any) -> Any:
    """One version of a function for all whole numbers: 64 bits wide, no literals."""
    kind = numba.types.unliteral(kind)
    return numba.types.int64 if isinstance(kind, numba.types.Integer) else kind


def entry(function: F) -> F:
    """The function that Python calls: compiled once per machine and kept on disk."""
    out: F = numba.njit(cache=True, error_model="numpy", nogil=True, pipeline_class=_Entry)(function)
    return out


def is_on_disk(function: Callable[..., Any]) -> bool:
    """Whether an entry has been compiled from these sources before, on this machine."""
    if numba.config.DISABLE_JIT:
        return True
    return any(SOURCE in str(signature) for signature, *_ in function._cache._cache_file._load_index())


def function_pointer(function: Callable[..., Any], signature: Any) -> Any:
    """`function` as a pointer that compiled code can call: the loop itself is not compiled again for it."""
    if numba.config.DISABLE_JIT:
        return function
    return numba.cfunc(signature)(getattr(function, "py_func", function))


class _NoFunction(numba.types.WrapperAddressProtocol):
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

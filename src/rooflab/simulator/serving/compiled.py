# mypy: disable-error-code="no-untyped-call, call-overload, attr-defined, assignment, no-any-return"
"""How the simulator's functions are compiled: what a run uses, linked into one entry, optimised once, kept on disk.

numba optimises every function to machine code together with everything that it calls, so a program of a
hundred small functions is compiled many times over.  Ours are only ever called from the entry: they are lowered
and linked, and the entry's module is optimised once with all of them in it.  Most of the time goes into typing and
lowering them one by one in Python, so they pass through the few passes that they need, and what an operation means
for given types is looked up once.

The state has a type named after the features that its run uses (`StateType`).  `sim.has_pools` is a constant to the
compiler, so a branch under it, and the functions called there alone, are gone before they are typed: each set of
features is an entry of its own.

numba keys its disk cache on the signature and on the file of the cached function alone, so a change in another
file would go unnoticed.  The state's type is therefore also named after a digest of every source file here:
other sources, other signature, other cache entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import MethodType
from typing import Any, Final, TypeVar

import numba
import numba.experimental.function_type  # lets pointers be typed
from numba import _dynfunc
from numba.core import ir, typed_passes, types, untyped_passes
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import AnalysisPass, FunctionPass, PassManager, register_pass
from numba.core.typing.context import Context

__all__ = ["StateType", "compiled", "entry", "function_pointer", "interpreted", "kept"]

F = TypeVar("F", bound=Callable[..., Any])


def _digest() -> str:
    digest = blake2b(numba.__version__.encode(), digest_size=6)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_SOURCE: Final = f"source_{_digest()}"
"""Name that ties a cached binary to the sources it was made from."""


class StateType(types.Type):
    """numba's type of a state: what its run uses is part of its name."""

    def __init__(self, features: frozenset[str]) -> None:
        self.features = features
        super().__init__(name=f"Sim[{_SOURCE}: {' '.join(sorted(features))}]")


def kept(function: Callable[..., Any]) -> frozenset[frozenset[str]]:
    """The sets of features for which an entry has been compiled from these sources: in this process, or on this machine
    before it began."""
    if numba.config.DISABLE_JIT:
        return frozenset()
    return _on_disk(function) | {arguments[0].features for arguments in function.signatures}


@cache
def _on_disk(function: Callable[..., Any]) -> frozenset[frozenset[str]]:
    signatures = (str(signature) for signature, *_ in function._cache._cache_file._load_index())
    found = re.findall(rf"Sim\[{_SOURCE}: ([a-z_ ]*)\]", " ".join(signatures))
    return frozenset(frozenset(names.split()) for names in found)


def _postpone(library: Any) -> None:
    """Stands for an inner code library's `finalize`: optimisation and machine code are left to the entry."""
    library._finalized = True


def _leave(library: Any, module: Any) -> None:
    """Stands for an inner code library's `_optimize_functions`: the entry optimises all of them."""


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
        state.library._optimize_functions = MethodType(_leave, state.library)
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


@register_pass(mutates_CFG=False, analysis_only=False)
class _Features(FunctionPass):
    """Put constants in the place of `sim.has_…`."""

    _name = "rooflab_features"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        changed = False
        known = dict(zip(state.func_ir.arg_names, state.args, strict=True))
        for block in state.func_ir.blocks.values():
            for statement in block.find_insts(ir.Assign):
                read = statement.value
                if not isinstance(read, ir.Expr) or read.op != "getattr" or not read.attr.startswith("has_"):
                    continue
                owner = known.get(read.value.name)
                if isinstance(owner, StateType):
                    statement.value = ir.Const(read.attr.removeprefix("has_") in owner.features, statement.loc)
                    state.func_ir._definitions[statement.target.name] = [statement.value]
                    changed = True
        return changed


_meanings: Final[dict[Any, Any]] = {}


class _Remembering(Context):
    """A typing context that looks up once what a function of numba's means for given types: additions are many."""

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        if kws or isinstance(func, types.Dispatcher) or any(isinstance(a, types.StringLiteral) for a in args):
            return super().resolve_function_type(func, args, kws)
        key = (func, tuple(types.unliteral(a) for a in args))
        if key not in _meanings:
            _meanings[key] = super().resolve_function_type(*key, kws)
        return _meanings[key]


def _pipeline(state: Any, before: type, after: tuple[type, ...]) -> list[Any]:
    """The passes of numba's own pipeline that our functions need, with ours around the lowering."""
    remembering = object.__new__(_Remembering)
    remembering.__dict__ = state.typingctx.__dict__
    state.typingctx = remembering
    passes = PassManager("rooflab")
    for one in (
        untyped_passes.TranslateByteCode,
        untyped_passes.FixupArgs,
        untyped_passes.IRProcessing,
        _Features,
        untyped_passes.DeadBranchPrune,
        untyped_passes.GenericRewrites,
        untyped_passes.ReconstructSSA,
        typed_passes.NopythonTypeInference,
        typed_passes.PreLowerStripPhis,
        typed_passes.IRLegalization,
        typed_passes.AnnotateTypes,
        before,
        typed_passes.NativeLowering,
        *after,
        typed_passes.NoPythonBackend,
    ):
        passes.add_pass(one, one.__name__)
    passes.finalize()
    return [passes]


class _Inner(CompilerBase):
    """For the functions that the entry calls."""

    def define_pipelines(self) -> list[Any]:
        return _pipeline(self.state, _Defer, (_Declare,))


class _Entry(CompilerBase):
    """For the entry."""

    def define_pipelines(self) -> list[Any]:
        return _pipeline(self.state, _Gather, ())


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


def interpreted() -> bool:
    """Whether compilation is switched off (NUMBA_DISABLE_JIT)."""
    return bool(numba.config.DISABLE_JIT)


def function_pointer(function: Callable[..., Any], signature: Any) -> Any:
    """`function` as a pointer (`.address`) that compiled code can call: the loop is not compiled again for it."""
    if numba.config.DISABLE_JIT:
        return function
    return numba.cfunc(signature)(getattr(function, "py_func", function))

# mypy: disable-error-code="no-untyped-call, untyped-decorator, import-untyped, override"
"""The state as one pointer in compiled code.

numba would take a structure of thirty arrays apart into two hundred arguments at every call and spend minutes
compiling them.  Here `Sim` is a type of one word: the address of a table that holds, for each array, its own
address and shape.  `sim.jobs` reads it from there, and `sim.key_of` a function's address.  Nothing is owned or freed
by compiled code.

A Sim's type is named after the features that it has, so each set of features is a loop of its own.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.core.typing.typeof import typeof, typeof_impl
from numba.extending import NativeValue, infer_getattr, models, register_model, unbox
from numba.np.arrayobj import make_array, populate_array

from rooflab.simulator.serving.compiled import StateType
from rooflab.simulator.serving.router import route_signature
from rooflab.simulator.serving.rules import key_signature
from rooflab.simulator.serving.state import ARRAYS, FUNCTIONS, Sim

__all__ = ["SimType"]

_PLACE: Final = {name: 3 * i for i, name in enumerate((*ARRAYS, *FUNCTIONS))}
"""Where each array and function stands in the table."""


class SimType(StateType):
    """numba's type of a Sim."""

    def __init__(self, features: frozenset[str], members: dict[str, Any]) -> None:
        self.members = members
        super().__init__(features)


_types: Final[dict[frozenset[str], SimType]] = {}


@typeof_impl.register(Sim)
def _typeof(sim: Sim, c: Any) -> SimType:
    features = sim.features()
    if features not in _types:
        members = {name: typeof(getattr(sim, name)).copy(readonly=False) for name in ARRAYS}
        _types[features] = SimType(features, members | _functions())
    return _types[features]


@cache
def _functions() -> dict[str, Any]:
    return {"key_of": types.FunctionType(key_signature()), "route_to": types.FunctionType(route_signature())}


@register_model(SimType)
class _Model(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: SimType) -> None:
        super().__init__(dmm, fe_type, ir.IntType(64).as_pointer())


@unbox(SimType)
def _unbox(typ: SimType, sim: Any, c: Any) -> Any:
    words = c.pyapi.object_getattr_string(sim, "words")
    array_type = types.Array(types.int64, 2, "C")
    array = c.unbox(array_type, words)
    c.pyapi.decref(words)
    return NativeValue(make_array(array_type)(c.context, c.builder, array.value).data, is_error=array.is_error)


@infer_getattr
class _Attributes(AttributeTemplate):
    key = SimType

    def generic_resolve(self, typ: SimType, attr: str) -> Any:
        return typ.members.get(attr)


@lower_getattr_generic(SimType)
def _getattr(context: Any, builder: Any, typ: SimType, table: Any, attr: str) -> Any:
    """Build the array's descriptor, or the function's, from the table; strides follow from the shape."""
    member = typ.members[attr]
    if attr in FUNCTIONS:
        function = cgutils.create_struct_proxy(member)(context, builder)
        address = builder.load(cgutils.gep_inbounds(builder, table, _PLACE[attr]))
        function.c_addr = builder.inttoptr(address, function.c_addr.type)
        return function._getvalue()
    words = [builder.load(cgutils.gep_inbounds(builder, table, _PLACE[attr] + w)) for w in range(1 + member.ndim)]
    array = make_array(member)(context, builder)
    item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(member.dtype)))
    stride = item
    strides: list[Any] = []
    for extent in reversed(words[1:]):
        strides.insert(0, stride)
        stride = builder.mul(stride, extent)
    populate_array(
        array,
        data=builder.inttoptr(words[0], array.data.type),
        shape=words[1:],
        strides=strides,
        itemsize=item,
        meminfo=None,
    )
    return array._getvalue()

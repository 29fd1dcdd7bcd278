# mypy: disable-error-code="no-untyped-call, untyped-decorator, import-untyped, override"
"""The state as one pointer in compiled code.

numba would take a structure of thirty arrays apart into two hundred arguments at every call and spend minutes
compiling them.  Here `Sim` is a type of one word: the address of a table that holds, for each array, its own
address and shape.  `sim.jobs` reads it from there.  Nothing is owned or freed by compiled code.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.core.typing.typeof import typeof, typeof_impl
from numba.extending import NativeValue, infer_getattr, models, register_model, unbox
from numba.np.arrayobj import make_array, populate_array

from rooflab.simulator.serving.compiled import SOURCE
from rooflab.simulator.serving.state import Sim

__all__ = ["SimType"]


class SimType(types.Type):
    """numba's type of a Sim: which array stands at which place of its table."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays
        super().__init__(name=f"Sim[{SOURCE}]")


@typeof_impl.register(Sim)
def _typeof(sim: Sim, c: Any) -> SimType:
    return SimType({f.name: typeof(getattr(sim, f.name)) for f in fields(Sim) if f.name != "words"})


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
        return typ.arrays.get(attr)


@lower_getattr_generic(SimType)
def _getattr(context: Any, builder: Any, typ: SimType, table: Any, attr: str) -> Any:
    """Build the array's descriptor from the table; strides follow from the shape."""
    array_type = typ.arrays[attr]
    first = 4 * list(typ.arrays).index(attr)
    words = [builder.load(cgutils.gep_inbounds(builder, table, first + w)) for w in range(1 + array_type.ndim)]
    array = make_array(array_type)(context, builder)
    item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array_type.dtype)))
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

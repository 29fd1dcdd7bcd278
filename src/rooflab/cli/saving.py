"""``--save NAME`` and ``--store FILE``: keep what a command answers, for ``rooflab runs`` to show and compare."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from rooflab.errors import InputError

if TYPE_CHECKING:
    from rooflab.scenario.scenario import Scenario
    from rooflab.store.runs import Asked

__all__ = ["Saver", "save_options", "store_option"]

_NOT_ASKED = frozenset(
    {"as_json", "quiet", "out", "html", "emit", "choice", "records", "timeline", "workers", "no_cache", "key"}
)
"""Parameters of a command that say where an answer goes or how it is reached, and not what is asked."""


@dataclass(slots=True)
class Saver:
    """What keeps a run; without a `name` it keeps nothing, and opens no store. `options` of the command count as
    inputs."""

    name: str = ""
    store: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    calibration: str | None = None
    started_s: float = field(default_factory=time.monotonic)
    asked: Asked | None = None

    def begin(self, kind: str, scenario: Scenario | None = None, *, seed: int | None = None, **more: Any) -> None:
        """Say what is going to be asked, before it is computed; `more` counts as input beside the options.

        Raises InputError where it could not be kept in the end: a store that cannot be used, a name that is taken.
        """
        if not self.name:
            return
        from rooflab import __version__
        from rooflab.store.code import code_digest, file_digest
        from rooflab.store.opening import Store
        from rooflab.store.runs import Asked, check_free

        unset: tuple[Any, ...] = (None, False, "", (), [], {})
        inputs = {name: value for name, value in (self.options | more).items() if value not in unset}
        if self.calibration is not None:
            inputs["calibration"] = file_digest(self.calibration)
        asked: dict[str, Any] = {}
        if scenario is not None:
            from rooflab.scenario.write import asked_hash, written

            asked = {
                "scenario": written(scenario),
                "scenario_hash": asked_hash(scenario),
                "scenario_name": scenario.name,
            }
            seed = scenario.workload.seed if seed is None else seed
        plain = json.loads(json.dumps(inputs, ensure_ascii=False))
        self.asked = Asked(kind=kind, inputs=plain, version=__version__, code=code_digest(), seed=seed, **asked)
        with Store.open(self.store) as store:
            check_free(store, self.name, self.asked.key)

    def refuse(self, why: str) -> None:
        """Raises InputError where something was to be kept and there is nothing to keep."""
        if self.name:
            raise InputError(f"keeps nothing here: {why}", "--save")

    def end(self, result: Callable[[], Any], status: int) -> int:
        """Keep what came out (made by `result`, which is not asked where nothing is kept); `status`, as it is.

        Raises InputError where it cannot be kept: the answer has been printed by then.
        """
        if self.asked is None:
            return status
        from rooflab.store.opening import Store
        from rooflab.store.runs import keep_run

        took = time.monotonic() - self.started_s
        with Store.open(self.store) as store:
            keep_run(store, self.name, self.asked, result(), status=status, seconds=took)
        click.echo(f"kept as {self.name}: rooflab runs show {self.name}", err=True)
        return status


def store_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--store FILE``."""
    return click.option(
        "--store", metavar="FILE", help="Another store than $ROOFLAB_STORE, or the one in the user's data folder."
    )(function)


def save_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--save NAME`` and ``--store FILE``; it receives a `saver`."""

    @functools.wraps(function)
    def wrapper(**values: Any) -> Any:
        name, store = values.pop("s_save"), values.pop("store")
        if name is None and store is not None:
            raise InputError("is of no use without --save NAME", "--store")
        if name is not None:
            from rooflab.store.runs import check_name

            check_name(name)
        own = {key: value for key, value in values.items() if key not in _NOT_ASKED and not key.startswith("s_")}
        return function(saver=Saver(name or "", store, own, values.get("s_calibration")), **values)

    wrapped: Callable[..., Any] = store_option(wrapper)
    return click.option("--save", "s_save", metavar="NAME", help="Keep the answer under a name, for rooflab runs.")(
        wrapped
    )

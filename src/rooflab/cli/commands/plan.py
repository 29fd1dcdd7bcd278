"""`rooflab plan`: the best deployments for a scenario."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from rooflab.cli.saving import Saver, save_options
from rooflab.cli.scenario_options import Given, ScenarioCommand, output_options, scenario_options
from rooflab.errors import InputError

if TYPE_CHECKING:
    from rooflab.planner.result import Choice, Plan
    from rooflab.planner.techniques import Option
    from rooflab.scenario.scenario import Scenario

__all__ = ["command"]


@click.command("plan", cls=ScenarioCommand)
@save_options
@scenario_options(plans=True)
@click.option(
    "--minimise",
    metavar="METRIC",
    help="Objective, for example usd_per_mtok (the default), ttft_s_p99, j_per_token, devices.",
)
@click.option("--maximise", metavar="METRIC", help="Objective, for example output_tokens_per_s_per_gpu.")
@click.option("--fixed", metavar="FIELD", multiple=True, help="Deployment field that stays at its default; repeatable.")
@click.option("--quantise", is_flag=True, help="Also try 4-bit weights, which change the model's answers.")
@click.option("--format", "formats", metavar="FORMAT", multiple=True, help="Weight format to try; repeatable.")
@click.option("--top", metavar="N", type=click.IntRange(1), default=8, show_default=True, help="Choices to rank.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="Candidates to price at most.",
)
@click.option(
    "--emit", metavar="ENGINE", help="Print the launch command: vllm, sglang, trtllm, llamacpp; or kubernetes."
)
@click.option(
    "--choice",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Which numbered row --emit and --html launch; of a plan's file without a search.",
)
@click.option("--out", metavar="FILE.json", help="Keep the plan: every command takes it, with --choice N.")
@click.option(
    "--prove/--no-prove",
    default=True,
    show_default=True,
    help="Simulate the first candidates and rank those that hold in nine of ten runs.",
)
@click.option("--techniques", is_flag=True, help="Also plan with papers' techniques, alone and in pairs.")
@click.option(
    "--max-quality-loss",
    metavar="X",
    type=float,
    help="Most that a technique may cost by its published figure (implies --techniques).",
)
@click.option(
    "--space",
    metavar="NAME",
    multiple=True,
    help="Also plan with: pools (prompts and answers on engines of their own), speculation (drafted tokens), "
    "offload (memory of the host), all.",
)
@click.option("--html", metavar="FILE", help="Also write the plan as one page with charts.")
@output_options
def command(
    *,
    given: Given,
    saver: Saver,
    minimise: str | None,
    maximise: str | None,
    fixed: tuple[str, ...],
    quantise: bool,
    formats: tuple[str, ...],
    top: int,
    limit: int,
    emit: str | None,
    choice: int,
    out: str | None,
    prove: bool,
    techniques: bool,
    max_quality_loss: float | None,
    space: tuple[str, ...],
    html: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """The best deployments for SCENARIO under its service levels: what they deliver and cost, why, and how to launch
    them.

    What the scenario's deployment leaves open is searched. Exit status 1 when no deployment meets the service levels.
    """
    from rooflab.api import plan as search

    _check(out, emit)
    if emit is not None and _kept(given):
        saver.refuse("a plan's file is read and nothing is planned")
        click.echo(_launch(_completed(replace(given, choice=choice)), emit))
        return 0
    scenario = given.scenario()
    space = _spaces(scenario, space)
    saver.begin("plan", scenario)
    with given.located():
        plan: Plan = search(
            scenario,
            minimise=minimise,
            maximise=maximise,
            fixed=fixed,
            quantise=quantise,
            formats=formats or None,
            top=top,
            limit=limit,
            prove=prove,
            space=space,
        )
    options = _options(plan, scenario, max_quality_loss) if techniques or max_quality_loss is not None else []
    chosen = _chosen(plan, choice) if plan.ranked else None
    _write(plan, scenario, html, out, chosen)
    if emit is not None and chosen is not None:
        click.echo(_launch(chosen.scenario, emit))
    elif as_json:
        click.echo(json.dumps(_record(plan, scenario, options), allow_nan=False))
    else:
        _show(plan, scenario, out, options, chosen, quiet=quiet)
    return saver.end(lambda: _record(plan, scenario, options), int(chosen is None))


def _record(plan: Plan, scenario: Scenario, options: list[Option]) -> dict[str, object]:
    more = {"techniques": [o.record() for o in options]} if options else {}
    return plan.file(scenario) | more


def _check(out: str | None, emit: str | None) -> None:
    """Refuse what cannot be written, and what there is no launch command for, before a plan is made for it."""
    if out is not None and not out.endswith(".json"):
        raise InputError("a plan is written as .json", "--out")
    if emit is not None:
        from rooflab.errors import unknown
        from rooflab.launch.command import EMITTERS

        if emit not in EMITTERS and emit != "kubernetes":
            raise unknown("engine with a launch command", emit, [*EMITTERS, "kubernetes"], "--emit")


def _spaces(scenario: Scenario, names: tuple[str, ...]) -> tuple[str, ...]:
    """The spaces that are asked for, refused before a plan is made where they are of no use to the scenario."""
    if not names:
        return ()
    from rooflab.planner.beside import spaces_of

    return spaces_of(names, scenario)


def _options(plan: Plan, scenario: Scenario, most: float | None) -> list[Option]:
    """The same plan with techniques in it, for the same objective."""
    from rooflab.planner.techniques import plan_with_techniques

    direction = "maximise" if plan.objective.more_is_better else "minimise"
    return plan_with_techniques(scenario, max_quality_loss=most, **{direction: plan.objective.metric})


def _write(plan: Plan, scenario: Scenario, html: str | None, out: str | None, chosen: Choice | None) -> None:
    """The files that were asked for."""
    if html is not None:
        from rooflab.report.pages.plan import write_plan_page

        write_plan_page(plan, html, chosen)
    if out is not None:
        from rooflab.files import write_text

        write_text(out, json.dumps(plan.file(scenario), ensure_ascii=False, allow_nan=False) + "\n")


def _chosen(plan: Plan, rank: int) -> Choice:
    if rank > len(plan.ranked):
        raise InputError(f"{rank} is not among the {len(plan.ranked)} ranked choices", "--choice")
    return plan.ranked[rank - 1]


def _kept(given: Given) -> bool:
    """Whether the file is a plan's, whose choices need no search."""
    if not given.path:
        return False
    from rooflab.scenario.planned import is_plan
    from rooflab.scenario.scenario import read_file

    return is_plan(read_file(given.path))


def _completed(given: Given) -> Scenario:
    """A choice of a plan's file with what the flags changed, every field chosen."""
    from rooflab.api import estimate

    scenario = given.scenario()
    with given.located():
        return estimate(scenario).scenario


def _launch(scenario: Scenario, engine: str) -> str:
    """Launch command or manifest of a completed scenario."""
    from rooflab.deploy.pools import pool_parts

    if engine == "kubernetes":
        from rooflab.launch.kubernetes import kubernetes

        return kubernetes(scenario, pool_parts(scenario))
    from rooflab.launch.command import launch_command

    return launch_command(scenario, engine, pool_parts(scenario))


def _show(
    plan: Plan, scenario: Scenario, out: str | None, options: list[Option], chosen: Choice | None, *, quiet: bool
) -> None:
    from rooflab.report.text.console import console
    from rooflab.report.text.plan import show_beside, show_plan

    show_plan(plan, console())
    if plan.spaces:
        show_beside(plan, console())
    if chosen is not None and not quiet:
        from rooflab.launch.command import EMITTERS

        if chosen.deployment.runtime.engine in EMITTERS:
            click.echo()
            click.echo(chosen.launch_command())
        click.echo()
        click.echo(f"Next    {_next(out, chosen.rank)}")
    if chosen is None:
        from rooflab.planner.beside import worth_trying

        if untried := worth_trying(scenario, plan):
            click.echo(f"\nNot tried: {', '.join(untried)} ({' '.join(f'--space {name}' for name in untried)})")
    if options:
        from rooflab.report.text.papers import show_options

        show_options(options)


def _next(out: str | None, rank: int) -> str:
    if out is None:
        return (
            f"the same with --out plan.json, then rooflab simulate plan.json --choice {rank}     --emit kubernetes     "
            "--html plan.html"
        )
    return (
        f"rooflab simulate {out} --choice {rank}     rooflab estimate {out} --choice {rank} --breakdown     "
        f"rooflab plan {out} --choice {rank} --emit kubernetes"
    )

"""`rooflab feed search`, `show`, `classify` and `evaluate`: papers that were fetched, and what rules make of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rooflab.feed.classify import Classifier

__all__ = ["classifier", "classify_kept", "evaluate_folder", "search_kept", "show_kept"]


def classifier() -> Classifier:
    """The rules over the cards that ship, and the papers that can be run."""
    from rooflab.feed.classify import Classifier
    from rooflab.papers.cards import cards
    from rooflab.papers.registry import keys

    return Classifier(cards(), keys())


def search_kept(words: str, asked: Mapping[str, Any], *, store: str | None, as_json: bool, quiet: bool) -> int:
    """Show papers of the store; the exit status. Raises InputError for an unknown kind or resource."""
    from rooflab.errors import unknown
    from rooflab.feed.classify import RELEVANT
    from rooflab.papers.cards import KINDS, RESOURCES
    from rooflab.store.opening import Store
    from rooflab.store.papers import Wanted, list_papers, search_papers

    for name, known in (("kind", KINDS), ("saves", RESOURCES)):
        if asked[name] and asked[name] not in known:
            raise unknown("resource" if name == "saves" else name, asked[name], known, f"--{name}")
    more = {name: value for name, value in asked.items() if name != "everything"}
    wanted = Wanted(**more, relevance=0.0 if asked["everything"] else RELEVANT)
    with Store.open(store) as held:
        scored = search_papers(held, words, wanted) if words else [(0.0, one) for one in list_papers(held, wanted)]
    if as_json:
        records = [one.record() | ({"score": round(score, 3)} if words else {}) for score, one in scored]
        click.echo(json.dumps(records, ensure_ascii=False))
    elif quiet:
        click.echo("\n".join(one.identity for _, one in scored), nl=bool(scored))
    else:
        from rooflab.report.text.feed import show_papers

        show_papers([one for _, one in scored])
    return int(not scored)


def show_kept(word: str, *, store: str | None, as_json: bool) -> int:
    """Show a paper of the store. Raises InputError where it is not kept."""
    from rooflab.store.opening import Store
    from rooflab.store.papers import find_paper

    with Store.open(store) as held:
        found = find_paper(held, word)
    if as_json:
        click.echo(json.dumps(found.record(), ensure_ascii=False))
    else:
        from rooflab.report.text.feed import show_paper

        show_paper(found)
    return 0


def classify_kept(*, everything: bool, store: str | None, as_json: bool, quiet: bool) -> int:
    """Classify papers of the store anew."""
    from rooflab.feed.classify import rules_digest
    from rooflab.store.opening import Store
    from rooflab.store.papers import classify_anew

    with Store.open(store) as held:
        done = classify_anew(held, classifier().prepared, rules_digest(), every=everything)
    if as_json:
        click.echo(json.dumps({"classified": done, "rules": rules_digest()}))
    elif not quiet:
        click.echo(f"{done:,} papers classified")
    return 0


def evaluate_folder(folder: str, *, as_json: bool, quiet: bool) -> int:
    """Show how good the classification is."""
    from rooflab.feed.evaluate import evaluate, read_labelled
    from rooflab.papers.cards import cards

    found = evaluate(read_labelled(folder, cards()), classifier())
    if as_json:
        click.echo(json.dumps(found.record(), ensure_ascii=False))
        return 0
    from rooflab.report.text.feed import show_scores

    show_scores(found, quiet=quiet)
    return 0

"""`vkood knowledge lookup`: what is known of the things in a text."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vkood.cli.inputs import refuse, require_count
from vkood.cli.options import Json, StoreFile
from vkood.cli.output import plain, print_json, say, standard_output

if TYPE_CHECKING:
    from rich.tree import Tree

    from vkood.knowledge import Concept, LinkedFact, SceneGraph, SceneParser


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Lookup:
    """What a text has in it, and what is known of it."""

    text: str
    parser: str
    concepts: Sequence[Concept]
    facts: Sequence[LinkedFact]
    graph: SceneGraph | None
    """None, with a reason in `no_graph`, for a sentence that is too long."""
    no_graph: str


def lookup(
    text: Annotated[str, typer.Argument(help="Any text, such as a caption or a question.", metavar="TEXT")],
    store: StoreFile = None,
    limit: Annotated[
        int, typer.Option(help="Max number of facts, the most relevant first.", metavar="N")
    ] = 20,
    as_json: Json = False,
) -> None:
    """Show the scene that a text describes, and what is known of the things in it."""
    require_count("--limit", limit, lowest=1)
    if not any(character.isalnum() for character in text):
        refuse(f"TEXT must have at least one word; got {text[:40]!r}.")
    known = _look_up(text, store, limit)
    if as_json:
        print_json(_record(known))
    else:
        _print(known)


def _look_up(text: str, path: Path | None, limit: int) -> _Lookup:
    from vkood.knowledge import FactStore, Linker, SceneParser

    try:
        with warnings.catch_warnings(record=True) as caught, FactStore.open(path) as store:
            warnings.simplefilter("always")
            linker = Linker(store)
            concepts = linker.link(text)
            facts = linker.facts_for(text, limit)
            scenes = SceneParser(linker)
            graph, no_graph = _graph(scenes, text)
    except (FileNotFoundError, ValueError) as error:
        refuse(str(error))
    for warning in caught:
        say(f"vkood: {warning.message}", err=True)
    return _Lookup(
        text=text, parser=scenes.parser, concepts=concepts, facts=facts, graph=graph, no_graph=no_graph
    )


def _graph(scenes: SceneParser, text: str) -> tuple[SceneGraph | None, str]:
    try:
        return scenes.parse(text), ""
    except ValueError as error:
        return None, str(error)


def _record(known: _Lookup) -> dict[str, object]:
    concepts = [
        {
            **dataclasses.asdict(concept),
            "text": known.text[slice(*concept.span)],
        }
        for concept in known.concepts
    ]
    graph = None if known.graph is None else dataclasses.asdict(known.graph)
    return {
        "text": known.text,
        "parser": known.parser,
        "concepts": concepts,
        "facts": [_record_of(linked) for linked in known.facts],
        "scene_graph": graph,
    }


def _record_of(linked: LinkedFact) -> dict[str, object]:
    return {**linked.as_dict(), "concepts": [concept.entry for concept in linked.concepts]}


def _print(known: _Lookup) -> None:
    from rich.tree import Tree

    tree = Tree(plain(known.text if len(known.text) <= 200 else known.text[:199] + "…", "bold"))
    _draw_scene(tree, known)
    _draw_concepts(tree, known)
    _draw_facts(tree, known)
    standard_output().print(tree)


def _draw_scene(tree: Tree, known: _Lookup) -> None:
    from rich.text import Text

    by = "by neighbouring words alone" if known.parser == "none" else f"parsed by {known.parser}"
    scene = tree.add(f"Scene ({by})")
    if known.graph is None:
        scene.add(plain(known.no_graph))
        return
    for place, item in enumerate(known.graph.objects):
        absent = (" (absent)", "dim") if item.negated else ""
        branch = scene.add(Text.assemble(plain(item.name, "cyan"), absent))
        if item.count:
            branch.add(plain(f"count {item.count}"))
        for attribute in known.graph.attributes:
            if attribute.object == place:
                branch.add(plain(f"{'not ' * attribute.negated}{attribute.name} {attribute.value}"))
        for relation in known.graph.relations:
            if relation.subject == place:
                other = plain(known.graph.objects[relation.object].name, "cyan")
                branch.add(Text.assemble(plain(f"{'not ' * relation.negated}{relation.name} "), other))


def _draw_concepts(tree: Tree, known: _Lookup) -> None:
    from rich.text import Text

    if not known.concepts:
        return
    concepts = tree.add("Concepts")
    for concept in known.concepts:
        mark = ", absent: its facts are left out" if concept.negated else ""
        where = f" ({concept.span[0]}-{concept.span[1]}{mark})"
        concepts.add(Text.assemble(plain(concept.entry, "cyan"), (where, "dim")))


def _draw_facts(tree: Tree, known: _Lookup) -> None:
    from rich.text import Text

    facts = tree.add("Facts, the most relevant first")
    if not known.facts:
        facts.add("The store knows nothing of what is named here.")
    for linked in known.facts:
        relevance = f" {linked.relevance:.1f} "
        facts.add(Text.assemble(plain(linked.sentence), (relevance, "cyan"), plain(linked.source, "dim")))

"""`vkood knowledge lookup`: what is known of the things in a text."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vkood.cli.inputs import refuse, require_count
from vkood.cli.output import plain, say

if TYPE_CHECKING:
    from rich.tree import Tree

    from vkood.knowledge import Concept, LinkedFact, SceneGraph


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
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
    store: Annotated[
        Path | None,
        typer.Option(help="A store of facts; by default the one that comes with vkood.", metavar="FILE"),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most facts for a concept.", metavar="N")] = 5,
    json_out: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the scene that a text describes, and what is known of the things in it."""
    require_count("--limit", limit, lowest=1)
    if not any(character.isalnum() for character in text):
        refuse(f"TEXT must have at least one word; got {text[:40]!r}.")
    found = _look_up(text, store, limit)
    if json_out:
        typer.echo(json.dumps(_record(found), indent=2))
    else:
        _print(found)


def _look_up(text: str, path: Path | None, limit: int) -> _Found:
    from vkood.knowledge import FactStore, Linker

    try:
        with warnings.catch_warnings(record=True) as told, FactStore.open(path) as store:
            warnings.simplefilter("always")
            linker = Linker(store)
            concepts = linker.link(text)
            facts = linker.facts_for(text, limit)
            graph, no_graph = _graph(linker, text)
            parser = linker.parser
    except (FileNotFoundError, ValueError) as error:
        refuse(str(error))
    for warning in told:
        say(f"vkood: {warning.message}", err=True)
    return _Found(text=text, parser=parser, concepts=concepts, facts=facts, graph=graph, no_graph=no_graph)


def _graph(linker: Any, text: str) -> tuple[SceneGraph | None, str]:
    try:
        return linker.parse(text), ""
    except ValueError as error:
        return None, str(error)


def _record(found: _Found) -> dict[str, object]:
    concepts = [
        {
            **dataclasses.asdict(concept),
            "text": found.text[slice(*concept.span)],
            "facts": [linked.as_dict() for linked in found.facts if linked.concept == concept],
        }
        for concept in found.concepts
    ]
    graph = None if found.graph is None else dataclasses.asdict(found.graph)
    return {"text": found.text, "parser": found.parser, "concepts": concepts, "scene_graph": graph}


def _print(found: _Found) -> None:
    from rich.console import Console
    from rich.tree import Tree

    tree = Tree(plain(found.text if len(found.text) <= 200 else found.text[:199] + "…", "bold"))
    _draw_scene(tree, found)
    _draw_facts(tree, found)
    Console().print(tree)


def _draw_scene(tree: Tree, found: _Found) -> None:
    from rich.text import Text

    by = "by longest match alone" if found.parser == "none" else f"parsed by {found.parser}"
    scene = tree.add(f"Scene ({by})")
    if found.graph is None:
        scene.add(plain(found.no_graph))
        return
    for place, item in enumerate(found.graph.objects):
        absent = (" (absent)", "dim") if item.negated else ""
        branch = scene.add(Text.assemble(plain(item.name, "cyan"), absent))
        if item.count:
            branch.add(plain(f"count {item.count}"))
        for attribute in found.graph.attributes:
            if attribute.object == place:
                branch.add(plain(f"{'not ' * attribute.negated}{attribute.name} {attribute.value}"))
        for relation in found.graph.relations:
            if relation.subject == place:
                other = plain(found.graph.objects[relation.object].name, "cyan")
                branch.add(Text.assemble(plain(f"{'not ' * relation.negated}{relation.name} "), other))


def _draw_facts(tree: Tree, found: _Found) -> None:
    from rich.text import Text

    facts = tree.add("Facts")
    if not found.concepts:
        facts.add("The store knows nothing of what is named here.")
    drawn: set[str] = set()
    for concept in found.concepts:
        where = f"{concept.span[0]}-{concept.span[1]}"
        mark = ", absent: its facts are left out" if concept.negated else ""
        mark += ", as above" if concept.entry in drawn else ""
        branch = facts.add(Text.assemble(plain(concept.entry, "cyan"), (f" ({where}{mark})", "dim")))
        for linked in found.facts:
            if linked.concept == concept:
                branch.add(Text.assemble(plain(linked.sentence), " ", plain(linked.source, "dim")))
                drawn.add(concept.entry)

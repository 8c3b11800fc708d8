"""`vkood knowledge stats`: what is in a store, and whether it is as it was written."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from vkood.cli.inputs import refuse
from vkood.cli.options import Json, StoreFile
from vkood.cli.output import plain, print_json, standard_output

if TYPE_CHECKING:
    from vkood.knowledge import StoreStats


def stats(
    store: StoreFile = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the whole store, and make sure that nothing was altered.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what is in a store: how many facts of which relations, from which sources, under which licence."""
    from vkood.knowledge import FactStore

    try:
        with FactStore.open(store) as opened:
            stats = opened.stats()
            if verify:
                opened.verify()
    except (FileNotFoundError, ValueError) as error:
        refuse(str(error))
    if as_json:
        print_json(_record(stats, verified=verify))
    else:
        _print(stats, verified=verify)


def _record(stats: StoreStats, *, verified: bool) -> dict[str, object]:
    header = stats.header
    return {
        "path": stats.path,
        "size": stats.size,
        "schema_version": stats.schema_version,
        "date": header.date,
        "num_facts": header.num_facts,
        "num_concepts": header.num_concepts,
        "num_subjects": header.num_subjects,
        "longest_entry": header.longest_entry,
        "relations": dict(header.relations),
        "sources": [dataclasses.asdict(source) for source in header.sources],
        "content_hash": header.content_hash,
        "verified": verified,
    }


def _print(stats: StoreStats, *, verified: bool) -> None:
    from rich.table import Table

    header = stats.header
    table = Table(title=plain(stats.path), title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right", overflow="fold")
    table.add_row("Facts", f"{header.num_facts:,}")
    table.add_row("Concepts", f"{header.num_concepts:,}")
    table.add_row("  of them subjects of facts", f"{header.num_subjects:,}")
    table.add_row("Most words in a subject", f"{header.longest_entry}")
    table.add_row("Bytes", f"{stats.size:,}")
    if header.num_facts:
        table.add_row("  a fact", f"{stats.size / header.num_facts:.0f}")
    table.add_row("Built on", plain(header.date))
    table.add_row("Schema version", f"{stats.schema_version}")
    table.add_row("Hash of all facts", plain(header.content_hash))
    if verified:
        table.add_row("Verified", "as it was written")
    table.add_section()
    for source in header.sources:
        table.add_row(plain(f"From {source.name}"), f"{source.num_facts:,}")
        table.add_row("  licence", plain(source.licence or "unknown"))
    table.add_section()
    for relation, count in sorted(header.relations.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(plain(relation), f"{count:,}")
    standard_output().print(table)

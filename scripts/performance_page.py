"""Write `docs/performance.md` from the results of the benchmarks, or check that it is what they give.

    python scripts/performance_page.py            # write the page
    python scripts/performance_page.py --check    # fail if the page is another

The prose is in `performance_page.md.jinja`. Its tables are those that each benchmark prints, made of
`benchmarks/results/`; every table must have its place there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import jinja2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the benchmarks are a package of the checkout, and are not installed

PAGE = ROOT / "docs" / "performance.md"
TEMPLATE = Path(__file__).with_name("performance_page.md.jinja")
RESULTS = ROOT / "benchmarks" / "results"
FILES = {
    "demo_seeds": "demo_seeds",
    "demo_seeds_no_gate_loss": "demo_seeds",
    "outlier_layer": "outlier_layer",
    "gradients": "gradients",
    "knowledge": "knowledge",
    "gated_vlm": "gated_vlm",
    "models": "models",
    "models_cuda": "models",
    "dropped_facts": "dropped_facts",
    "training": "training",
    "retrieval": "retrieval",
    "sample_efficiency": "sample_efficiency",
    "knowledge_relevance": "knowledge_relevance",
    "real_gate": "real",
    "real_learnt_gates": "real",
    "real_daquar": "real.daquar",
    "real_flickr8k": "real.flickr8k",
}
"""For each results file the folder of its benchmark."""

NOISE_PARTS = ("main", "fractions", "corrupted", "mosaic", "tokens")


def all_tables() -> dict[str, dict[str, Any]]:
    """The tables of every results file, by their names."""
    tables: dict[str, dict[str, Any]] = {}
    for file, benchmark in FILES.items():
        results = json.loads((RESULTS / f"{file}.json").read_text(encoding="utf-8"))
        module = importlib.import_module(f"benchmarks.{benchmark}.tables")
        tables[file] = module.tables(results)
    from benchmarks.knowledge_noise.records import Records
    from benchmarks.knowledge_noise.tables import tables as noise_tables

    records = Records(RESULTS / "knowledge_noise.jsonl")
    tables["knowledge_noise"] = {
        f"{part} {number}": table
        for part in NOISE_PARTS
        for number, table in enumerate(noise_tables(part, records))
    }
    return tables


def rendered() -> str:
    """The page as the results give it.

    Raises:
        ValueError: If the template leaves a table out.
    """
    tables = all_tables()
    missing = {(file, name) for file, named in tables.items() for name in named}

    def table(file: str, name: str) -> str:
        missing.discard((file, name))
        shown = tables[file][name]
        heading = "" if name.endswith("targets") else f"{shown.title}:\n\n"
        return heading + shown.markdown()

    def setting(file: str, part: str | None = None) -> str:
        results = json.loads((RESULTS / f"{file}.json").read_text(encoding="utf-8"))
        if part:
            results = results.get("settings", results)
            results = results[part]
        values = results.get("setting", results)
        machine = f"{values['cores']} cores, {values['threads']} thread, {values['clock']}"
        return f"{values['date']}, torch {values['torch']}, {machine}"

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    page = environment.get_template(TEMPLATE.name).render(table=table, setting=setting)
    if missing:
        raise ValueError(
            f"{TEMPLATE.name} must show every table of the results; it leaves out {sorted(missing)}."
        )
    return page


def main() -> int:
    """Write the page, or return 1 if it is not what the results give."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is another")
    page = rendered()
    if not parser.parse_args().check:
        PAGE.write_text(page, encoding="utf-8")
        print(f"Wrote {PAGE.relative_to(ROOT)}.")
        return 0
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page:
        print(
            f"{PAGE.relative_to(ROOT)} is not what the results give: run python scripts/performance_page.py."
        )
        return 1
    print(f"{PAGE.relative_to(ROOT)} is what the results give.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

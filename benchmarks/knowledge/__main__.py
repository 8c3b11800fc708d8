"""How fast, how large and how good the knowledge is: import, lookup, linking, encoding.

python -m benchmarks.knowledge --json benchmarks/results/knowledge.json
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

import torch

from ..measuring import as_read, print_tables, setting, write_json
from .tables import tables

PARTS = ("importing", "looking_up", "linking", "encoding")


def main() -> None:
    """Run the parts that were asked for, print their tables, write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.knowledge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small and few: a first impression")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts alone")
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(", ".join(f"{name} {value}" for name, value in setting().items()))
    results: dict[str, object] = {}
    if arguments.json and arguments.json.exists():  # parts that are not measured now stay
        results = json.loads(arguments.json.read_text())
    for name in arguments.only:
        # A part imports packages that the others do not need.
        part = importlib.import_module(f".{name}", __package__)
        results[name] = {"setting": setting(), **part.run(arguments.quick)}
        print_tables(tables(as_read({name: results[name]})))
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()

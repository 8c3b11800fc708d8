"""How fast ConceptNet's dump becomes a store, how much memory that takes, and how large the store is.

Each import runs in a process of its own, whose CPU time and largest memory are asked afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from .synthetic_dump import write_dump

ROUNDS = 2

IMPORT = """
import json, resource, sys, time
from pathlib import Path
from vkood.knowledge import ConceptNetSource, build_store

started = time.perf_counter()
report = build_store(sys.argv[2], [ConceptNetSource(Path(sys.argv[1]))])
# Of this process alone: `resource` starts from its parent's peak.
peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "lines": report.tallies[0].num_lines,
    "facts": report.header.num_facts,
    "concepts": report.header.num_concepts,
    "cpu_seconds": usage.ru_utime + usage.ru_stime,
    "wall_seconds": time.perf_counter() - started,
    "peak_mib": int(peak) / 1024,
    "bytes_per_fact": report.size / report.header.num_facts,
}))
"""


def run(quick: bool) -> dict[str, object]:
    """Measure all, and return every number."""
    cases = {
        "1 million, all English": (1_000_000, 1.0),
        "5 million, all English": (5_000_000, 1.0),
        "5 million, one of ten English": (5_000_000, 0.1),
    }
    records: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        dump, store = Path(folder) / "dump.csv", Path(folder) / "facts.db"
        for name, (num_lines, english) in cases.items():
            write_dump(dump, num_lines // 10 if quick else num_lines, english=english)
            records[name] = [_imported(dump, store) for _ in range(1 if quick else ROUNDS)]
    return records


def _imported(dump: Path, store: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(dump), str(store)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)

"""The table of training's speed, of what `--json` writes."""

from __future__ import annotations

from typing import Any

from ..measuring import Table, targets_table

CACHED = "cached features, fusion of "


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """Targets and what was measured."""
    lines: list[tuple[str, str, bool]] = []
    for name, record in results.items():
        if name.startswith(CACHED):
            fusion = name.removeprefix(CACHED)
            times = record["steps from cached features, times those with towers in the loop"]
            share, size = record["filling, share of the towers' own throughput"], record["bytes an element"]
            lines += [
                (
                    f"cached steps 8 x those with towers in the loop, fusion {fusion}",
                    f"{times:.1f} x",
                    times >= 8,
                ),
                (
                    f"filling at 90 % of the towers' own throughput, fusion {fusion}",
                    f"{share:.0%}",
                    share >= 0.9,
                ),
                (f"the cache about 2 bytes an element, fusion {fusion}", f"{size:.2f}", size < 2.01),
            ]
    both, reading, rows = results["two processes"], results["reading"], results["a million rows"]
    times, apart = both["samples a second, two processes to one"], both["largest difference of losses"]
    rate, grown = reading["samples a second of a worker"], rows["megabytes more for a million rows"]
    disk = rows["megabytes on disk"]
    lines += [
        (
            "two processes, 1.6 x the samples a second of one",
            f"{times:.2f} x (least {both['least of the rounds']:.2f})",
            times >= 1.6,
        ),
        ("their losses as one's, to 1e-5", f"{apart:.1e} apart at most", apart <= 1e-5),
        ("reading, 1,000 samples of 64 x 64 a second of a worker", f"{rate:,.0f}", rate >= 1000),
        (
            "memory of a million rows, a tenth of the disk's at most",
            f"{grown:,.0f} MiB more, for {disk:,.0f} MiB on disk",
            grown <= disk / 10,
        ),
    ]
    return {"targets": targets_table(lines)}

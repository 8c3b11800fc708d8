"""What hard gates save at inference: closed facts are left out before the fusion.

python -m benchmarks.dropped_facts --threads 1 --json benchmarks/results/dropped_facts.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from vkood.gating.gate import GateMode
from vkood.models import VkoodForVisualQuestionAnswering

from ..measuring import as_read, interleaved, print_tables, setting, write_json
from ..models.__main__ import batch, two_stream
from .tables import tables

KEPT = 6
"""Facts of each picture whose gates stay open."""


@torch.inference_mode()
def calibrated(model: VkoodForVisualQuestionAnswering, inputs: dict[str, Tensor]) -> int:
    """Set the threshold so that each picture keeps about `KEPT` facts; the largest number that one keeps."""
    layer = model.vkood.outlier_layer
    assert layer is not None
    score = model(**inputs).fact_score
    layer.gate.threshold.copy_(score.flatten().kthvalue(KEPT * len(score)).values)
    return int((score <= layer.gate.threshold).sum(-1).max())


def measured(model: VkoodForVisualQuestionAnswering, facts: int, rounds: int) -> dict[str, object]:
    """Seconds of a forward pass by either kind of gate, in turn."""
    inputs = batch(2, 50_265, "cpu", facts=facts)
    layer = model.vkood.outlier_layer
    assert layer is not None
    gate = layer.gate
    gate.inference = None
    kept = calibrated(model, inputs)

    def forward(inference: GateMode | None) -> None:
        gate.inference = inference
        with torch.inference_mode():
            model(**inputs, output_states=False)  # states have a place for every fact

    seconds = interleaved({"soft": lambda: forward(None), "hard": lambda: forward("hard")}, rounds)
    return {"kept": kept, "seconds": seconds}


def main() -> None:
    """Run, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dropped_facts", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--quick", action="store_true", help="two layers, two rounds")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = two_stream(2 if options.quick else 12).eval()
    rounds = 2 if options.quick else options.rounds
    facts = {str(count): measured(model, count, rounds) for count in (20, 50, 150)}
    content: dict[str, object] = {"facts": facts, "setting": setting()}
    print_tables(tables(as_read(content)))
    write_json(options.json, content)


if __name__ == "__main__":
    main()

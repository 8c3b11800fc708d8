"""Lets torchvision's Python code load where its compiled part cannot, say a CUDA build beside a CPU build of torch.

pytorch-ood imports torchvision, and so does `transformers` where it is installed. Its import registers shapes for two
of its compiled operators, and fails if they do not exist; here they are declared, without anything that computes them:

    PYTHONPATH=tests pytest -p support.torchvision_operators tests/integrations/test_pytorch_ood.py
"""

import torch

LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
"""Kept, since its operators go with it."""

for operator in ("nms", "qnms"):
    LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

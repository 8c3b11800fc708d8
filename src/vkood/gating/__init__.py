"""Gates for facts: the outlier layer, the kernel gate it is compared with, and their conditioning on a text."""

from vkood.gating.gate import Gate, GateOutput
from vkood.gating.kernel_gate import KernelGate
from vkood.gating.outlier_layer import OutlierLayer

__all__ = ["Gate", "GateOutput", "KernelGate", "OutlierLayer"]

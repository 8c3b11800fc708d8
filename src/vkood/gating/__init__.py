"""Gates for facts: the outlier layer, the kernel gate it is compared with, their conditioning and calibration."""

from vkood.gating.calibration import Calibration, CalibrationReport, CalibrationWarning
from vkood.gating.gate import Gate, GateOutput
from vkood.gating.kernel_gate import KernelGate
from vkood.gating.outlier_layer import OutlierLayer

__all__ = [
    "Calibration",
    "CalibrationReport",
    "CalibrationWarning",
    "Gate",
    "GateOutput",
    "KernelGate",
    "OutlierLayer",
]

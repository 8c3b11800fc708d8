"""Where in pictures the components of fitted mixtures lie: what a model's gate depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from vkood.gating import GateOutput, OutlierLayer
from vkood.mixture import responsibilities
from vkood.models.layer_watch import LayerWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentMaps:
    """Where the components of fitted mixtures lie in pictures.

    Attributes:
        patches: (batch, components, rows, columns) how much of a component lies in each patch; each component's add up
            to 1, or is zero everywhere if no patch belongs to it. Several pictures of an example stand side by side.
        weights: (batch, components) shares of the components.
    """

    patches: np.ndarray
    weights: np.ndarray


class FitWatch(LayerWatch):
    """Watches the fit of a model's gate while the model runs.

    Args:
        core: A model without head, of either family.

    Example:
        >>> from vkood.models import VkoodConfig, VkoodForVisualQuestionAnswering
        >>> small = dict(num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=16)
        >>> config = VkoodConfig(
        ...     image_config={"model_type": "clip_vision_model", "image_size": 32, "patch_size": 8, **small},
        ...     text_config={"model_type": "bert", "vocab_size": 20, **small},
        ...     hidden_size=16, num_attention_heads=2, num_fusion_layers=1, intermediate_size=16, fact_dim=4,
        ... )
        >>> model = VkoodForVisualQuestionAnswering(config).eval()
        >>> batch = {"input_ids": torch.tensor([[2, 5, 3]]), "pixel_values": torch.randn(1, 3, 32, 32)}
        >>> with FitWatch(model.vkood) as watch:
        ...     output = model(**batch, fact_features=torch.randn(1, 6, 4))
        >>> watch.maps().patches.shape
        (1, 1, 4, 4)
    """

    def __init__(self, core: Any) -> None:
        self._layer = core.outlier_layer
        super().__init__(self._layer if isinstance(self._layer, OutlierLayer) else None)
        self._first = int(getattr(core.image_tower, "has_class_token", True))
        self._seen: tuple[dict[str, Any], GateOutput] | None = None

    @torch.no_grad()
    def maps(self, num_images: int = 1) -> ComponentMaps | None:
        """Where the components of the last fit lie.

        Args:
            num_images: Pictures of an example.

        Returns:
            The maps; None if the model fitted no mixture, had no facts, or its tokens are no square grid.
        """
        if self._seen is None:
            return None
        arguments, output = self._seen
        assert output.mixture is not None
        mask = arguments.get("context_mask")
        tokens = self._layer.joint.context(arguments["context"], mask)
        # As in the layer: half precision has neither the range nor the digits for densities.
        with torch.autocast(tokens.device.type, enabled=False):
            shares = responsibilities(tokens, output.mixture, self._layer.family)  # (B, N * T, K)
            log_gate, _ = self._layer.gate(self._layer.score_of(tokens, output.mixture))  # (B, N * T)
            # how far each token belongs, which is what distinguishes them where there is one component
            shares = shares * torch.exp(log_gate - log_gate.amax(1, keepdim=True))[..., None]
        if mask is not None:  # tokens that count less, by a question's weights
            shares = shares * mask.float()[..., None]
        places = shares.unflatten(1, (num_images, -1))[:, :, self._first :]  # (B, N, patches, K)
        side = math.isqrt(places.shape[2])
        if side * side != places.shape[2]:
            return None  # such as registers
        grids = (
            places.unflatten(2, (side, side)).permute(0, 4, 2, 1, 3).flatten(3)
        )  # (B, K, rows, N * columns)
        total = grids.sum((2, 3), keepdim=True)
        patches = torch.where(total > 0, grids / total, 0.0)
        weights = output.mixture.log_weight.softmax(-1)
        return ComponentMaps(patches=patches.float().cpu().numpy(), weights=weights.float().cpu().numpy())

    @override
    def note(self, arguments: dict[str, Any], output: GateOutput) -> None:
        """Keep the last pass."""
        self._seen = (arguments, output)

"""Presets: named sets of values for the command line."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "clip16": {"model.image": "openai/clip-vit-base-patch16"},
    "clip32": {"model.image": "openai/clip-vit-base-patch32"},
    "clip-large14": {"model.image": "openai/clip-vit-large-patch14"},
    "swin-base-224": {"model.image": "microsoft/swin-base-patch4-window7-224-in22k"},
    "swin-base-384": {
        "model.image": "microsoft/swin-base-patch4-window12-384-in22k",
        "model.image_size": 384,
    },
    "swin-large-384": {
        "model.image": "microsoft/swin-large-patch4-window12-384-in22k",
        "model.image_size": 384,
    },
    "text-roberta": {"model.text": "roberta-base"},
    "text-roberta-large": {"model.text": "roberta-large"},
    "text-bert": {"model.text": "bert-base-uncased"},
    "randaug": {"data.augment": "randaug"},
    "adapters": {"model.adapter_size": 128, "model.freeze_towers": True},
    "lora": {"model.lora_rank": 16},
    "cached": {"features": "cached", "model.freeze_towers": True, "data.augment": "none"},
    # A small new model that a laptop's CPU trains in less than a minute, on however many examples.
    "tiny": {
        "model.image": "tiny",
        "model.text": "tiny",
        "model.image_size": 64,
        "optimisation.batch_size": 16,
        "optimisation.device_batch_size": 16,
        "optimisation.learning_rate": 1e-3,
        "optimisation.fusion_factor": 1.0,
        "optimisation.head_factor": 1.0,
        "optimisation.steps": 200,
        "optimisation.evaluate_every": 10.0,
        "data.workers": 0,
        "options.false_texts": 3,
        "options.k": 8,
    },
}
"""The presets by their names."""

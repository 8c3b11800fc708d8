"""The recipes for easy-VQA, whose pictures a laptop's CPU trains on."""

from __future__ import annotations

from typing import Any

from vkood.train.run import DataOptions, ModelOptions, OptimisationOptions, Run, TaskOptions

SMALL_RESNET: dict[str, Any] = {
    "embedding_size": 16,
    "hidden_sizes": [32, 48, 64],
    "depths": [1, 1, 1],
    "layer_type": "basic",
}
"""An image tower for pictures of 64 x 64 pixels, which become 16 tokens of width 64."""

SMALL_FUSION: dict[str, Any] = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_fusion_layers": 1,
    "intermediate_size": 128,
    "pooling": "product",
    "output_states": False,
    "dropout": 0.0,
    # Weights of deviation 0.02, right for a width of 768, would leave a width of 64 almost silent.
    "initializer_range": 0.1,
}
"""A fusion for towers of width 64: fields of `VkoodConfig`."""


def _small_model(**fusion: Any) -> ModelOptions:
    """A new model for such pictures, with these fields of its `VkoodConfig`."""
    # Convolutions learn shapes from few pictures; a small transformer needed twice as many epochs for 94 %.
    image_config = {"model_type": "resnet", **SMALL_RESNET}
    return ModelOptions(
        image="tiny", text="tiny", image_size=64, config={"image_config": image_config, **fusion}
    )


def easy_vqa() -> Run:
    """easy-VQA with small randomly initialised towers: a run for a laptop's CPU, of data that come with a package."""
    return Run(
        recipe="easy-vqa",
        task="answering",
        model=_small_model(pooling="product"),
        data=DataOptions(train=["easy_vqa_train"], validation=["easy_vqa_test"], facts=False, workers=0),
        optimisation=OptimisationOptions(
            batch_size=64,
            device_batch_size=64,
            epochs=5.0,
            learning_rate=2e-3,
            fusion_factor=1.0,
            head_factor=1.0,
            max_grad_norm=1.0,
        ),
    )


def easy_vqa_knowledge() -> Run:
    """easy-VQA and questions about its pictures that only a fact answers, among many that do not match."""
    # Only here: the reader imports PyTorch, which a mistake in another recipe need not wait for.
    from vkood.data.readers.easy_vqa import KNOWLEDGE_TRAIN, Flood

    return Run(
        recipe="easy-vqa-knowledge",
        task="answering",
        model=_small_model(**SMALL_FUSION),
        data=DataOptions(
            train=[KNOWLEDGE_TRAIN],
            validation=[Flood().table],
            test=[Flood(irrelevant=150).table],
            texts_per_image=10,
            workers=0,
        ),
        optimisation=OptimisationOptions(
            batch_size=160,
            device_batch_size=160,
            steps=2000,
            learning_rate=2e-3,
            fusion_factor=1.0,
            head_factor=1.0,
            betas=[0.9, 0.999],
            warmup=0.07,
            schedule="linear",
            max_grad_norm=1.0,
            evaluate_every=0.1,
            gate_loss=0.1,
        ),
        options=TaskOptions(single_answer=True),
    )

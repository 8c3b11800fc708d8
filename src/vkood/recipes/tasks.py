"""The recipes of the paper's tasks, with the values of its configurations. Splits are kept apart.

METER's and VK-OOD's loaders validate COCO and Flickr30k on the test split, and VQAv2 on what they train on. Here the
validation split chooses the model and the test split is used once; `published_splits` restores theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vkood.recipes.easy_vqa import easy_vqa, easy_vqa_knowledge
from vkood.train.run import DataOptions, ModelOptions, OptimisationOptions, Run, TaskOptions


def pretrain() -> Run:
    """Pre-training on captions: masked language modelling, matching (COCO, Visual Genome, SBU, CC)."""
    return Run(
        recipe="pretrain",
        task="pretraining",
        data=DataOptions(
            train=[
                "coco_caption_karpathy_train",
                "coco_caption_karpathy_restval",
                "vg",
                "sbu_*",
                "conceptual_caption_train_*",
            ],
            validation=["coco_caption_karpathy_val"],
        ),
        optimisation=OptimisationOptions(
            batch_size=4096,
            device_batch_size=64,
            steps=100_000,
            learning_rate=1e-5,
            fusion_factor=5.0,
            head_factor=5.0,
        ),
    )


def vqa() -> Run:
    """VQAv2, from a vocabulary of answers."""
    return Run(
        recipe="vqa",
        task="answering",
        model=ModelOptions(image_size=576),
        data=DataOptions(
            train=["vqav2_train", "vqav2_trainable_val"], validation=["vqav2_rest_val"], test=["vqav2_test"]
        ),
        optimisation=OptimisationOptions(
            batch_size=512,
            device_batch_size=32,
            epochs=10.0,
            learning_rate=5e-6,
            fusion_factor=5.0,
            head_factor=50.0,
            evaluate_every=0.1,
        ),
    )


def okvqa() -> Run:
    """OK-VQA, whose questions ask for knowledge; trained on its train split, reported on its val split."""
    run = vqa()
    return replace(run, recipe="okvqa", data=DataOptions(train=["okvqa_train"], validation=["okvqa_val"]))


def nlvr2() -> Run:
    """NLVR2: is a sentence true of two images?"""
    return Run(
        recipe="nlvr2",
        task="reasoning",
        model=ModelOptions(image_size=288),
        data=DataOptions(train=["nlvr2_train"], validation=["nlvr2_dev"], test=["nlvr2_test1"]),
        optimisation=OptimisationOptions(
            batch_size=256,
            device_batch_size=32,
            epochs=10.0,
            learning_rate=1e-5,
            fusion_factor=5.0,
            head_factor=10.0,
        ),
    )


def retrieval_coco() -> Run:
    """Retrieval on COCO, Karpathy's splits."""
    return Run(
        recipe="retrieval-coco",
        task="retrieval",
        model=ModelOptions(image_size=384),
        data=DataOptions(
            train=["coco_caption_karpathy_train", "coco_caption_karpathy_restval"],
            validation=["coco_caption_karpathy_val"],
            test=["coco_caption_karpathy_test"],
        ),
        optimisation=OptimisationOptions(
            batch_size=512,
            device_batch_size=8,
            epochs=10.0,
            learning_rate=5e-6,
            fusion_factor=5.0,
            head_factor=5.0,
        ),
    )


def retrieval_flickr30k() -> Run:
    """Retrieval on Flickr30k, Karpathy's splits."""
    return replace(
        retrieval_coco(),
        recipe="retrieval-flickr30k",
        data=DataOptions(
            train=["f30k_caption_karpathy_train"],
            validation=["f30k_caption_karpathy_val"],
            test=["f30k_caption_karpathy_test"],
        ),
    )


def _blip_model(image_size: int) -> ModelOptions:
    return ModelOptions(family="blip", image="", text="bert-base-uncased", image_size=image_size)


def _blip_optimisation() -> OptimisationOptions:
    """What BLIP's runs have in common: all parts learn at one rate, which falls along a cosine."""
    return OptimisationOptions(
        fusion_factor=1.0,
        head_factor=1.0,
        weight_decay=0.05,
        betas=[0.9, 0.999],
        schedule="cosine",
        warmup=0.0,
    )


def blip_vqa() -> Run:
    """VQAv2 by BLIP, whose decoder ranks the answers."""
    return Run(
        recipe="blip-vqa",
        task="generative-answering",
        model=_blip_model(image_size=224),
        data=replace(vqa().data, text_length=35),
        optimisation=replace(
            _blip_optimisation(), batch_size=32, device_batch_size=4, epochs=5.0, learning_rate=2e-5
        ),
    )


def blip_nlvr2() -> Run:
    """NLVR2 by BLIP, which reads both images by cross-attentions of their own."""
    return Run(
        recipe="blip-nlvr2",
        task="reasoning",
        model=_blip_model(image_size=384),
        data=replace(nlvr2().data, text_length=35),
        optimisation=replace(
            _blip_optimisation(), batch_size=256, device_batch_size=16, epochs=15.0, learning_rate=3e-5
        ),
    )


def blip_retrieval_coco() -> Run:
    """Retrieval on COCO by BLIP: candidates by features, the best of them re-ranked."""
    return Run(
        recipe="blip-retrieval-coco",
        task="retrieval",
        model=_blip_model(image_size=384),
        data=replace(retrieval_coco().data, text_length=35),
        optimisation=replace(
            _blip_optimisation(), batch_size=256, device_batch_size=32, epochs=6.0, learning_rate=1e-5
        ),
        options=TaskOptions(shortlist=256),
    )


def blip_retrieval_flickr30k() -> Run:
    """Retrieval on Flickr30k by BLIP."""
    return replace(
        blip_retrieval_coco(),
        recipe="blip-retrieval-flickr30k",
        data=replace(retrieval_flickr30k().data, text_length=35),
        options=TaskOptions(shortlist=128),
    )


def published_splits(run: Run) -> Run:
    """A run with the splits of the published loaders: validation on the test split, or on what is trained on."""
    data = run.data
    if any(name.startswith("vqav2") for name in data.train):
        return replace(run, data=replace(data, train=["vqav2_train", "vqav2_val"], validation=["vqav2_val"]))
    return replace(run, data=replace(data, validation=data.test)) if data.test else run


RECIPES: dict[str, Callable[[], Run]] = {
    "pretrain": pretrain,
    "vqa": vqa,
    "okvqa": okvqa,
    "nlvr2": nlvr2,
    "retrieval-coco": retrieval_coco,
    "retrieval-flickr30k": retrieval_flickr30k,
    "blip-vqa": blip_vqa,
    "blip-nlvr2": blip_nlvr2,
    "blip-retrieval-coco": blip_retrieval_coco,
    "blip-retrieval-flickr30k": blip_retrieval_flickr30k,
    "easy-vqa": easy_vqa,
    "easy-vqa-knowledge": easy_vqa_knowledge,
}
"""The recipes by their names."""

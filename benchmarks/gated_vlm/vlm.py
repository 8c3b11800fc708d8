"""A small LLaVA, and the prompts that it reads."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import BaseModelOutput
from typing_extensions import override

from vkood.data import load_easy_vqa
from vkood.data.easy_vqa_knowledge import COLOUR_QUESTIONS, SHAPE_QUESTIONS, Question
from vkood.demo.jobs import all_facts
from vkood.pipelines import FactPrompts, fact_prompts

_WIDTH, _LAYERS, _HEADS = 64, 3, 4
_PAD, _IMAGE = "<pad>", "<image>"
_UNKNOWN = "<unk>"


class _TokenTower(nn.Module):
    """Stands where LLaVA has its image tower, for pictures that the frozen tower has encoded already."""

    @override
    def forward(self, pixel_values: Tensor, **options: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=pixel_values, hidden_states=(pixel_values,))


class SmallVlm(nn.Module):
    """LLaVA's architecture with a frozen image tower, a projector and a Llama of three layers, from scratch.

    Args:
        seed: Of the weights.
        image_tokens: How many tokens a picture has.
        image_width: Their width.
    """

    def __init__(self, seed: int, image_tokens: int, image_width: int) -> None:
        super().__init__()
        names = words()
        self.tokenizer = _word_tokenizer(names)
        self._template = _IMAGE * image_tokens + "{question}\n{facts}answer"
        torch.manual_seed(seed)
        text = LlamaConfig(
            vocab_size=len(self.tokenizer),
            hidden_size=_WIDTH,
            intermediate_size=2 * _WIDTH,
            num_hidden_layers=_LAYERS,
            num_attention_heads=_HEADS,
            num_key_value_heads=_HEADS,
            initializer_range=0.5 / math.sqrt(_WIDTH),
            tie_word_embeddings=True,
            pad_token_id=names.index(_PAD),
            bos_token_id=None,
            eos_token_id=None,
        )
        # Only the width of this tower counts: it is replaced.
        vision = {
            "model_type": "clip_vision_model",
            "hidden_size": image_width,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
        }
        config = LlavaConfig(
            text_config=text.to_dict(),
            vision_config=vision,
            image_token_index=names.index(_IMAGE),
            image_seq_length=image_tokens,
            vision_feature_select_strategy="full",
            vision_feature_layer=-1,
            tie_word_embeddings=True,
        )
        self.llava: Any = LlavaForConditionalGeneration(config)
        self.llava.model.vision_tower = _TokenTower()

    def prompts(self, questions: Sequence[Question], facts: Sequence[Sequence[str]]) -> FactPrompts:
        """The prompts of questions with these facts."""
        texts = [question.text for question in questions]
        return fact_prompts(self.tokenizer, texts, facts, template=self._template)

    def labels(self, questions: Sequence[Question]) -> Tensor:
        """The token of each answer."""
        return torch.tensor(self.tokenizer.convert_tokens_to_ids([question.answer for question in questions]))

    @override
    def forward(self, prompts: FactPrompts, pictures: Tensor) -> Tensor:
        """(batch, vocabulary) logits of the answers; `pictures` are (batch, tokens, width)."""
        return self.llava(**prompts.inputs, pixel_values=pictures, logits_to_keep=1).logits[:, -1]

    @torch.inference_mode()
    def answer(self, prompts: FactPrompts, pictures: Tensor) -> Tensor:
        """The token that is generated for each prompt."""
        return self.llava.generate(
            **prompts.inputs, pixel_values=pictures, max_new_tokens=1, do_sample=False
        )[:, -1]


def words() -> list[str]:
    """All words of questions, facts and answers, each a token, after the special tokens."""
    texts = {*load_easy_vqa("train").questions, *COLOUR_QUESTIONS, *SHAPE_QUESTIONS, *all_facts()}
    names = {word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text.lower())}
    return [_PAD, _UNKNOWN, _IMAGE, *sorted(names | {"answer", "yes", "no"})]


def _word_tokenizer(names: Sequence[str]) -> PreTrainedTokenizerFast:
    vocabulary = {name: place for place, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        unk_token=_UNKNOWN,
        additional_special_tokens=[_IMAGE],
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )

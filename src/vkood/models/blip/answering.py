"""Generative visual question answering: answers are generated, or a list of them is ranked."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import BlipTextConfig
from typing_extensions import override

from vkood.fields import as_count
from vkood.models.blip.configuration import BlipVkoodConfig
from vkood.models.blip.core import (
    BlipVkoodModel,
    BlipVkoodOutput,
    BlipVkoodPreTrainedModel,
    lend_to_readers,
    lend_to_text,
    new_adapters,
    new_key_value_adapters,
)
from vkood.models.blip.layers import text_decoder
from vkood.models.explainable import Explainable
from vkood.models.labelled import trained_with

_IGNORED = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedAnswers:
    """Answers in order, the best first.

    Attributes:
        indices: (questions, k) which of the answers.
        scores: (questions, k) the log-probability of each, with the smoothing of training, summed over its tokens.
        probabilities: (questions, k) softmax of the scores over the k.
        first_probabilities: (questions, k) probability of each one's first token, by which the k were picked.
    """

    indices: Int[Tensor, "questions k"]
    scores: Float[Tensor, "questions k"]
    probabilities: Float[Tensor, "questions k"]
    first_probabilities: Float[Tensor, "questions k"]


class BlipVkoodForVisualQuestionAnswering(Explainable, BlipVkoodPreTrainedModel):
    """BLIP that answers questions about images in words, with the help of facts."""

    # The decoder's tokens are read and written with the same vectors.
    _tied_weights_keys = {  # noqa: RUF012 - as transformers has it
        "text_decoder.cls.predictions.decoder.bias": "text_decoder.cls.predictions.bias",
        "text_decoder.cls.predictions.decoder.weight": "text_decoder.bert.embeddings.word_embeddings.weight",
    }

    def __init__(self, config: BlipVkoodConfig) -> None:
        super().__init__(config)
        assert isinstance(config.text_config, BlipTextConfig)
        self.blip = BlipVkoodModel(config)
        decoder_config = copy.deepcopy(config.text_config)
        # It attends to the question's states, which are as wide as its own.
        decoder_config.encoder_hidden_size = decoder_config.hidden_size
        self.text_decoder = text_decoder(decoder_config)
        self.decoder_adapters = None
        if self.blip.adapters is not None:
            adapters = self.blip.adapters
            if config.separate_decoder_adapters:
                adapters = self.decoder_adapters = new_adapters(config, decoder_config.num_hidden_layers)
            lend_to_text(adapters, self.text_decoder.bert.encoder.layer, config)
        self.decoder_key_value_adapters = new_key_value_adapters(config, decoder_config.hidden_size)
        lend_to_readers(self.decoder_key_value_adapters, self.text_decoder.bert.encoder.layer)
        self.post_init()

    @override
    @trained_with(optional=("label_mask",))
    def forward(
        self,
        input_ids: Int[Tensor, "batch text_tokens"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch channels rows columns"] | None = None,
        fact_features: Float[Tensor, "batch facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch facts"] | None = None,
        image_features: Float[Tensor, "batch tokens width"] | None = None,
        labels: Int[Tensor, "answers answer_words"] | None = None,
        label_mask: Int[Tensor, "answers answer_words"] | None = None,
        answer_counts: Int[Tensor, " batch"] | None = None,
        answer_weights: Float[Tensor, " answers"] | None = None,
    ) -> BlipVkoodOutput:
        """Encode questions, and compute how well answers fit.

        Args:
            input_ids: As for `BlipVkoodModel`.
            attention_mask: As for `BlipVkoodModel`.
            pixel_values: As for `BlipVkoodModel`.
            fact_features: As for `BlipVkoodModel`.
            fact_mask: As for `BlipVkoodModel`.
            image_features: As for `BlipVkoodModel`.
            labels: (answers, answer_tokens) token ids of all questions' answers, one question's after the other's; the
                first token of each is replaced by the one that begins answers. Gives a loss.
            label_mask: 1 for tokens, 0 for padding; shaped as `labels`. Padding is what equals `pad_token_id`, if None.
            answer_counts: (batch,) how many answers each question has; one each, if None.
            answer_weights: (answers,) how much each answer counts; 1, if None.

        Returns:
            The question's states, and with labels the logits, (answers, answer_tokens, vocabulary), and the loss,
            each answer's smoothed cross-entropy summed over its tokens, weighted, summed, and divided by the number of
            questions.
        """
        read = self.blip(input_ids, attention_mask, pixel_values, fact_features, fact_mask, image_features)
        if labels is None:
            return read
        labels = labels.clone()
        labels[:, 0] = self._bos
        if label_mask is None:
            label_mask = (labels != self._text.pad_token_id).long()
        states, mask = read.text_states, self._mask(input_ids, attention_mask)
        if answer_counts is not None:
            states, mask = (part.repeat_interleave(answer_counts, dim=0) for part in (states, mask))
        logits, losses = self._answer_losses(labels, label_mask, states, mask)
        if answer_weights is not None:
            losses = losses * answer_weights
        return BlipVkoodOutput(**{**read, "loss": losses.sum() / len(input_ids), "logits": logits})

    @torch.no_grad()
    def generate(  # pyright: ignore[reportIncompatibleMethodOverride] - questions in, answers out
        self,
        input_ids: Int[Tensor, "batch text_tokens"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch channels rows columns"] | None = None,
        fact_features: Float[Tensor, "batch facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch facts"] | None = None,
        image_features: Float[Tensor, "batch tokens width"] | None = None,
        *,
        num_beams: int = 3,
        max_length: int = 10,
        min_length: int = 1,
    ) -> Int[Tensor, "batch answer_words"]:
        """Write answers.

        As in BLIP, the decoder attends to all positions of the question, padding too; so do batches alike.

        Args:
            input_ids: As for the model; so are the next ones.
            attention_mask: As for the model.
            pixel_values: As for the model.
            fact_features: As for the model.
            fact_mask: As for the model.
            image_features: As for the model.
            num_beams: Beams of the search.
            max_length: Max number of tokens of an answer, with those that begin and end it.
            min_length: Fewest.

        Returns:
            (batch, answer_tokens) token ids, padded.
        """
        read = self.blip(input_ids, attention_mask, pixel_values, fact_features, fact_mask, image_features)
        assert read.text_states is not None
        begin = torch.full((len(input_ids), 1), self._bos, device=input_ids.device)
        decoder: Any = self.text_decoder  # generation is mixed in
        beams = decoder.generate(
            input_ids=begin,
            encoder_hidden_states=read.text_states,
            encoder_attention_mask=torch.ones(
                read.text_states.shape[:-1], dtype=torch.long, device=begin.device
            ),
            num_beams=num_beams,
            num_return_sequences=num_beams,
            max_length=max_length,
            min_length=min_length,
            do_sample=False,
            eos_token_id=self._text.sep_token_id,
            pad_token_id=self._text.pad_token_id,
            output_scores=True,
            return_dict_in_generate=True,
        )
        answers = beams.sequences.view(len(input_ids), num_beams, -1)
        if num_beams == 1:
            return self._padded(answers[:, 0])
        ended = (answers[..., 1:] == self._text.sep_token_id).any(-1)
        # To the length of an answer that was cut off, by which its score is divided, BLIP counts the first token too.
        scores = beams.sequences_scores.view(ended.shape)
        scores = torch.where(ended, scores, scores * (max_length - 1) / max_length)
        best = scores.argmax(1)
        return self._padded(answers[torch.arange(len(answers), device=best.device), best])

    def _padded(self, answers: Tensor) -> Tensor:
        """The answers with padding after the token that ends them."""
        ends = (answers == self._text.sep_token_id).long()
        after = ends.cumsum(1) - ends > 0
        assert self._text.pad_token_id is not None
        return answers.masked_fill(after, self._text.pad_token_id)

    @torch.no_grad()
    def rank_answers(
        self,
        input_ids: Int[Tensor, "batch text_tokens"],
        answer_ids: Int[Tensor, "answers answer_words"],
        attention_mask: Int[Tensor, "batch text_tokens"] | None = None,
        pixel_values: Float[Tensor, "batch channels rows columns"] | None = None,
        fact_features: Float[Tensor, "batch facts fact_dim"] | None = None,
        fact_mask: Bool[Tensor, "batch facts"] | None = None,
        image_features: Float[Tensor, "batch tokens width"] | None = None,
        *,
        answer_mask: Int[Tensor, "answers answer_words"] | None = None,
        k: int = 128,
    ) -> RankedAnswers:
        """Rank answers: the k whose first token is the likeliest, then by the whole answer.

        Args:
            input_ids: As for the model; so are the others but for these.
            answer_ids: (answers, answer_tokens) token ids of all answers; the first of each is replaced.
            attention_mask: As for the model.
            pixel_values: As for the model.
            fact_features: As for the model.
            fact_mask: As for the model.
            image_features: As for the model.
            answer_mask: 1 for tokens, 0 for padding; what is not `pad_token_id`, if None.
            k: Number of answers that are scored in full; all, if there are fewer.

        Raises:
            ValueError: If `k` is not positive.
        """
        k = min(as_count("k", k), len(answer_ids))
        read = self.blip(input_ids, attention_mask, pixel_values, fact_features, fact_mask, image_features)
        states, mask = read.text_states, self._mask(input_ids, attention_mask)
        answer_ids = answer_ids.clone()
        answer_ids[:, 0] = self._bos
        if answer_mask is None:
            answer_mask = (answer_ids != self._text.pad_token_id).long()
        begin = answer_ids[:1, :1].expand(len(states), 1)
        first = self.text_decoder(begin, encoder_hidden_states=states, encoder_attention_mask=mask).logits[
            :, 0
        ]
        chances, picked = first.softmax(-1)[:, answer_ids[:, 1]].topk(k, dim=1)  # (B, k)
        scores = torch.cat(
            [
                -self._answer_losses(
                    answer_ids[chosen.flatten()],
                    answer_mask[chosen.flatten()],
                    states[rows].repeat_interleave(k, dim=0),
                    mask[rows].repeat_interleave(k, dim=0),
                )[1].view(-1, k)
                for rows, chosen in self._portions(picked)
            ]
        )
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        return RankedAnswers(
            indices=picked.gather(1, order),
            scores=scores,
            probabilities=scores.softmax(-1),
            first_probabilities=chances.gather(1, order),
        )

    @override
    def ranked_answers(self, batch: dict[str, Any], tokenizer: Any) -> tuple[Any, list[tuple[str, float]]]:
        """The output for one example, and the answer that is generated, with its probability.

        Args:
            batch: The example.
            tokenizer: Decodes the answer.
        """
        ids = self.generate(**batch)
        output = self(**batch, labels=ids)
        chances = output.logits[0, :-1].float().log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        chance = chances[ids[0, 1:] != self._text.pad_token_id].sum().exp()
        return output, [(tokenizer.decode(ids[0], skip_special_tokens=True), float(chance))]

    def _portions(self, picked: Tensor) -> list[tuple[slice, Tensor]]:
        size = max(1, self.config.max_answers_read // picked.shape[1])
        starts = range(0, len(picked), size)
        return [(slice(start, start + size), picked[start : start + size]) for start in starts]

    def _answer_losses(
        self, ids: Tensor, mask: Tensor, states: Tensor, states_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits of answers, and each one's smoothed cross-entropy, summed over its tokens."""
        logits = self.text_decoder(
            ids, attention_mask=mask, encoder_hidden_states=states, encoder_attention_mask=states_mask
        ).logits
        targets = ids.masked_fill(ids == self._text.pad_token_id, _IGNORED)[:, 1:]
        losses = functional.cross_entropy(
            logits[:, :-1].flatten(0, 1),
            targets.flatten(),
            ignore_index=_IGNORED,
            label_smoothing=self._text.label_smoothing,
            reduction="none",
        )
        return logits, losses.view(targets.shape).sum(1)

    def _mask(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        return torch.ones_like(input_ids) if attention_mask is None else attention_mask

    @property
    def _text(self) -> BlipTextConfig:
        assert isinstance(self.config.text_config, BlipTextConfig)
        return self.config.text_config

    @property
    def _bos(self) -> int:
        assert self._text.bos_token_id is not None
        return self._text.bos_token_id

"""easy-VQA with knowledge questions: a run small enough for a laptop's CPU.

First the image tower learns to name the pictures' colour and shape, as pretrained towers have learnt
something before they meet a task; all arms start from it. Then each arm trains on both jobs at once, all with
the same steps, rows and learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from transformers import BertConfig, PreTrainedTokenizerBase, ResNetConfig

from vkood.models import GateConfig, VkoodConfig
from vkood.recipes.tasks import SMALL_RESNET
from vkood.train import TrainingOptions

Arm = Literal["no_facts", "unfiltered", "filtered"]
ARMS: tuple[Arm, ...] = ("no_facts", "unfiltered", "filtered")


@dataclass(frozen=True, kw_only=True)
class EasyVqaRun:
    """Everything that decides what a run does.

    Attributes:
        seed: Of weights, order and draws.
        tower: How the image tower is pretrained.
        joint: How every arm is trained; a row is a picture with several questions.
        gate: The gate of the filtered arm.
        plain: Plain questions about each picture in a row.
        knowledge: Knowledge questions about each picture in a row.
        plain_facts_share: Share of the plain questions that come with facts, which do not help there.
        num_pictures: Train on that many pictures only; all, if None.
        irrelevant: Numbers of irrelevant facts to test with.
        contradicting: Numbers of contradicting facts to test with.
        width: Width of text tower and fusion.
        num_fusion_layers: Co-attention layers.
    """

    seed: int = 0
    tower: TrainingOptions
    joint: TrainingOptions
    gate: GateConfig = field(default_factory=lambda: _GATE)
    plain: int = 6
    knowledge: int = 4
    plain_facts_share: float = 0.25
    num_pictures: int | None = None
    irrelevant: tuple[int, ...] = (0, 3, 12, 48, 150)
    contradicting: tuple[int, ...] = (6, 12, 24, 48)
    width: int = 64
    num_fusion_layers: int = 1

    def tower_config(self, num_labels: int = 2) -> ResNetConfig:
        """A small ResNet: 64 x 64 pixels become 16 tokens of width 64."""
        return ResNetConfig(**SMALL_RESNET, id2label=dict(enumerate(map(str, range(num_labels)))))

    def model_config(
        self, arm: Arm, tokenizer: PreTrainedTokenizerBase, answers: tuple[str, ...], **gate: Any
    ) -> VkoodConfig:
        """The configuration of an arm's model; only "filtered" has a gate."""
        options = self.gate if arm == "filtered" else GateConfig(kind="none")
        # Weights of deviation 0.02, right for a width of 768, would leave a width of 64 almost silent.
        spread = 0.8 * self.width**-0.5
        return VkoodConfig(
            image_config=self.tower_config(),
            text_config=BertConfig(
                vocab_size=len(tokenizer),
                pad_token_id=tokenizer.get_vocab()[str(tokenizer.pad_token)],
                hidden_size=self.width,
                num_hidden_layers=1,
                num_attention_heads=4,
                intermediate_size=2 * self.width,
                max_position_embeddings=64,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                initializer_range=spread,
            ),
            gate=GateConfig.from_dict({**vars(options), **gate}),
            hidden_size=self.width,
            num_attention_heads=4,
            num_fusion_layers=self.num_fusion_layers,
            intermediate_size=2 * self.width,
            pooling="product",
            output_states=False,
            dropout=0.0,
            initializer_range=spread,
            id2label=dict(enumerate(answers)),
            label2id={answer: index for index, answer in enumerate(answers)},
        )


# The gate begins open (the score of a random direction is 1.9) and shallow. A gate that begins half open
# closes for good before the fusion has learnt to read facts at all.
_GATE = GateConfig(threshold=3.9, temperature=2.0)


def easy_vqa(*, seed: int = 0, quick: bool = False) -> EasyVqaRun:
    """The run behind `vkood demo`.

    Args:
        seed: Of weights, order and draws.
        quick: A run that shows all parts in a fraction of the time: it trains just long enough for the filter to pay,
            and tests fewer floods.
    """
    floods: dict[str, Any] = {"irrelevant": (0, 12, 48), "contradicting": (6, 48)} if quick else {}
    return EasyVqaRun(
        seed=seed,
        tower=TrainingOptions(
            steps=300 if quick else 600, batch_size=32, learning_rate=3e-3, warmup=0.08, seed=seed
        ),
        joint=TrainingOptions(
            steps=1200 if quick else 4000, batch_size=16, learning_rate=2e-3, warmup=0.07, seed=seed
        ),
        **floods,
    )

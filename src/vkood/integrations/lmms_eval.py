"""vkood's models in lmms-eval: `lmms-eval --model vkood --model_args pretrained=FOLDER --tasks ...`.

lmms-eval finds it by the entry point `vkood` of the group `lmms_eval.models`, once both are installed.
"""

# The framework need not be installed where types are checked.
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest

from vkood.models import load_model

MANIFEST = ModelManifest("vkood", simple_class_path="vkood.integrations.lmms_eval.VkoodModel")
"""What lmms-eval's registry reads."""


class VkoodModel(lmms):
    """A saved model with an answering head, with the facts that each question links to.

    The question is the first line of a task's prompt: what tasks put on further lines tells language models how to word
    their answers.

    Args:
        pretrained: Folder of the model, as `load_model` takes it.
        facts: "default" for the store that comes with vkood, "none" for no facts.
        batch_size: Taken since lmms-eval passes it; questions are answered one by one.
        device: Where the model runs.
    """

    is_simple = True

    def __init__(
        self, pretrained: str, facts: str = "default", batch_size: Any = 1, device: str | None = None
    ) -> None:
        super().__init__()
        model: Any = load_model(pretrained)
        self._model = model.to(device or "cpu").eval()
        self._facts = None if facts == "none" else facts

    def generate_until(self, requests: Any) -> list[str]:
        """The likeliest answer to each question about a picture."""
        answers: list[str] = []
        for request in requests:
            prompt, _, pictures, number, task, split = request.args
            question = prompt.strip().partition("\n")[0]
            (picture,) = pictures(self.task_dict[task][split][number])
            answers.append(self._model.explain(picture, question, self._facts).answers[0][0])
        return answers

    def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
        """Refused: answers are chosen among those that the model knows."""
        raise NotImplementedError(
            "vkood's models answer; they give no likelihood of any text. Use a generating task."
        )

    def generate_until_multi_round(self, requests: Any) -> list[str]:
        """Refused: a question stands by itself."""
        raise NotImplementedError(
            "vkood's models answer one question at a time. Use a task of a single round."
        )

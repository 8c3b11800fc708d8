# pyright: reportMissingImports=false

import pytest
import torch

from support.every_model import two_stream_config
from support.tiny_pictures import image_processor, picture
from support.tiny_vqa import tiny_tokenizer

pytest.importorskip("lmms_eval.api.model", reason="needs the extra `lmms-eval`", exc_type=ImportError)

from lmms_eval.api.instance import Instance
from lmms_eval.models.registry_v2 import ModelRegistryV2

from vkood import VkoodForVisualQuestionAnswering, VkoodProcessor
from vkood.integrations.lmms_eval import MANIFEST


@pytest.fixture(name="folder")
def _folder(tmp_path):
    config = two_stream_config(fact_dim=384, num_labels=7, id2label={n: f"answer {n}" for n in range(7)})
    config.text_config.vocab_size = len(tiny_tokenizer())
    torch.manual_seed(0)
    VkoodForVisualQuestionAnswering(config).save_pretrained(tmp_path)
    VkoodProcessor(image_processor(), tiny_tokenizer()).save_pretrained(tmp_path)
    return str(tmp_path)


def test_answers_of_a_task(folder):
    registry = ModelRegistryV2()
    registry.register_manifest(MANIFEST)
    kind = registry.get_model_class("vkood")
    model = kind.create_from_arg_string(f"pretrained={folder}", {"batch_size": 1, "device": "cpu"})
    model.task_dict = {"vqa": {"val": [{"image": picture()}]}}
    arguments = ("is there a kite?", {}, lambda row: [row["image"]], 0, "vqa", "val")
    request = Instance("generate_until", arguments, 0, {"task": "vqa", "doc_id": 0, "repeats": 1})
    (answer,) = model.generate_until([request])
    assert answer == model._model.explain(picture(), "is there a kite?").answers[0][0]
    for method in (model.loglikelihood, model.generate_until_multi_round):
        with pytest.raises(NotImplementedError, match="Use a"):
            method([request])

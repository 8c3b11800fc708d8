"""`AutoModel` and the like know our classes, whatever was imported first."""

import subprocess
import sys

import pytest
from transformers import AutoModel, AutoModelForPreTraining, AutoModelForVisualQuestionAnswering

from support.every_model import two_stream_config
from support.tiny_pictures import image_processor
from support.tiny_vqa import tiny_tokenizer
from vkood.models import (
    BlipVkoodForVisualQuestionAnswering,
    BlipVkoodModel,
    VkoodForPreTraining,
    VkoodForVisualQuestionAnswering,
    VkoodModel,
)
from vkood.pipelines import VkoodProcessor

IMPORTS = {
    "vkood first": "import vkood; from transformers import AutoConfig, AutoModel, AutoProcessor",
    "transformers first": "from transformers import AutoConfig, AutoModel, AutoProcessor; import vkood",
    "a model that needs them": "import vkood; from transformers import Blip2ForConditionalGeneration",
    "a part of the models": "from vkood.models.towers import TextTower",
}
LOADS = """
import sys
from transformers import AutoConfig, AutoModel, AutoProcessor
print(*(type(auto.from_pretrained(sys.argv[1])).__name__ for auto in (AutoConfig, AutoModel, AutoProcessor)))
print(*(type(finder).__name__ for finder in sys.meta_path))
"""


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = two_stream_config(fact_dim=384)
    config.text_config.vocab_size = len(tiny_tokenizer())
    VkoodForVisualQuestionAnswering(config).save_pretrained(folder)
    VkoodProcessor(image_processor(), tiny_tokenizer()).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("imports", IMPORTS.values(), ids=IMPORTS)
def test_auto_classes_load_a_saved_model(folder, imports):
    command = [sys.executable, "-c", f"{imports}\n{LOADS}", str(folder)]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    loaded, finders = finished.stdout.splitlines()
    assert loaded == "VkoodConfig VkoodModel VkoodProcessor"
    assert "_AfterAutoClasses" not in finders


def test_every_head_has_its_auto_class():
    heads = {
        AutoModelForVisualQuestionAnswering: [
            VkoodForVisualQuestionAnswering,
            BlipVkoodForVisualQuestionAnswering,
        ],
        AutoModelForPreTraining: [VkoodForPreTraining],
        AutoModel: [VkoodModel, BlipVkoodModel],
    }
    for auto, classes in heads.items():
        for kind in classes:
            assert auto._model_mapping[kind.config_class] is kind

"""UniAdapter, against its formulas and in the models."""

import torch
from torch.nn import functional
from torch.testing import assert_close

from support.every_model import batch, blip_config
from vkood.models import BlipVkoodForVisualQuestionAnswering, UniAdapter


def test_formulas():
    torch.manual_seed(0)
    adapter, states = UniAdapter(8, 3), torch.randn(2, 5, 8)  # by itself it begins as any layers do
    narrow = functional.relu(adapter.down(functional.layer_norm(states, (8,))))
    assert_close(adapter.text(states), 0.1 * adapter.up(narrow))
    assert_close(adapter.visual(states), 0.1 * adapter.visual_up(narrow))
    both = adapter.multi_up(narrow) + adapter.up(narrow)
    assert_close(adapter.multimodal(states), 0.1 * functional.layer_norm(both, (8,)))


def test_a_model_begins_as_without_adapters_and_trains_them_alone():
    inputs = batch()
    models = []
    for size in (None, 4):
        torch.manual_seed(0)
        models.append(BlipVkoodForVisualQuestionAnswering(blip_config(adapter_size=size)).eval())
    plain, adapted = models
    report = adapted.load_state_dict(plain.state_dict(), strict=False)
    assert report.missing_keys
    assert all(name.startswith("blip.adapters.") for name in report.missing_keys)
    assert_close(adapted(**inputs).text_states, plain(**inputs).text_states)
    adapted.freeze_towers()
    adapted.text_decoder.requires_grad_(False)
    labels = torch.tensor([[48, 10, 3], [48, 11, 3], [48, 12, 3], [48, 13, 3]])
    adapted.train()(**inputs, labels=labels).loss.backward()
    grads = {name: part.grad for name, part in adapted.named_parameters() if part.grad is not None}
    assert all("text_encoder" not in name and "image_tower" not in name for name in grads)
    last = f"blip.adapters.{len(adapted.blip.adapters) - 1}."
    for part in ("up.weight", "visual_up.weight", "cross_norm.weight"):
        assert grads[last + part].abs().sum() > 0, part


def test_one_list_serves_all_and_is_saved_once(tmp_path):
    model = BlipVkoodForVisualQuestionAnswering(blip_config(adapter_size=4))
    layers = (
        model.blip.image_tower.encoder.layers,
        model.blip.text_encoder.encoder.layer,
        model.text_decoder.bert.encoder.layer,
    )
    for place, adapter in enumerate(model.blip.adapters):
        assert all(part[place].adapter[0] is adapter for part in layers)
    assert sum("down" in name for name in model.state_dict()) == 2 * len(model.blip.adapters)
    model.save_pretrained(tmp_path)
    loaded = BlipVkoodForVisualQuestionAnswering.from_pretrained(tmp_path)
    for place, adapter in enumerate(loaded.blip.adapters):
        assert loaded.text_decoder.bert.encoder.layer[place].adapter[0] is adapter
    apart = BlipVkoodForVisualQuestionAnswering(blip_config(adapter_size=4, separate_decoder_adapters=True))
    assert apart.text_decoder.bert.encoder.layer[0].adapter[0] is apart.decoder_adapters[0]

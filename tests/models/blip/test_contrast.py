"""The queue, the contrastive loss and the hard negatives, against formulas written out."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from support.every_model import batch, blip_config
from vkood.models import BlipVkoodForImageTextRetrieval
from vkood.models.blip.contrast import Features, Queue, contrastive_loss, hard_negatives


def features(rows, seed):
    generator = torch.Generator().manual_seed(seed)
    image, text = (functional.normalize(torch.randn(rows, 6, generator=generator), dim=-1) for _ in range(2))
    return Features(image, text)


def test_the_queue_is_a_ring():
    queue = Queue(6, 5)
    first, second = features(3, 0), features(4, 1)
    queue.add(first, torch.tensor([1, 2, 3]))
    assert queue.image_ids[0, :4].tolist() == [1, 2, 3, -100]
    queue.add(second, torch.tensor([4, 5, 6, 7]))
    assert queue.image_ids[0].tolist() == [6, 7, 3, 4, 5]
    assert queue.place.item() == 2
    assert_close(queue.image[:, 0], second.image[2])
    assert_close(queue.text[:, 3], second.text[0])


def test_contrastive_loss_pair_by_pair():
    queue = Queue(6, 4)
    queue.add(features(4, 5), torch.tensor([9, 0, 8, 7]))
    now, slow, ids, temperature, alpha = (
        features(3, 0),
        features(3, 1),
        torch.tensor([0, 1, 0]),
        torch.tensor(0.3),
        0.4,
    )
    total = 0.0
    for query, own, keys, kept in (
        (now.image, slow.image, slow.text, queue.text),
        (now.text, slow.text, slow.image, queue.image),
    ):
        everything = [*keys, *kept.T]
        names = [*ids.tolist(), *queue.image_ids[0].tolist()]
        for row in range(3):
            logits = torch.stack([query[row] @ key for key in everything]) / temperature
            opinion = (torch.stack([own[row] @ key for key in everything]) / temperature).softmax(0)
            alike = torch.tensor([float(name == ids[row]) for name in names])
            targets = alpha * opinion + (1 - alpha) * alike / alike.sum()
            total += functional.cross_entropy(logits, targets).item() / 3 / 2
    assert contrastive_loss(now, slow, queue, ids, temperature, alpha).item() == pytest.approx(
        total, abs=1e-5
    )


def test_negatives_are_false_and_follow_their_chances():
    similarity = torch.tensor(
        [[9.0, 0.0, 1.0, 9.0], [0.0, 9.0, 2.0, 0.0], [1.0, 2.0, 9.0, 1.0], [9.0, 0.0, 1.0, 9.0]]
    )
    ids = torch.tensor([0, 1, 2, 0])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([torch.stack(hard_negatives(similarity, ids, generator)) for _ in range(4000)])
    for row in range(4):
        assert not (ids[drawn[:, :, row]] == ids[row]).any()
    chances = similarity[1].exp()
    expected = chances[2] / (chances[0] + chances[2] + chances[3])
    assert (drawn[:, 1, 1] == 2).float().mean().item() == pytest.approx(expected.item(), abs=0.03)


def test_unlike_ones_are_drawn_where_there_are_no_others():
    images, texts = hard_negatives(torch.tensor([[500.0, -500.0], [-500.0, 500.0]]), torch.tensor([0, 1]))
    assert images.tolist() == texts.tolist() == [1, 0]
    with pytest.raises(ValueError, match="at least two different images"):
        hard_negatives(torch.zeros(2, 2), torch.tensor([3, 3]))


def test_training_moves_the_momentum_and_the_queue():
    torch.manual_seed(0)
    model = BlipVkoodForImageTextRetrieval(blip_config(momentum=0.9)).train()
    before = model.momentum["text_projection"].weight.clone()
    with torch.no_grad():
        model.text_projection.weight.add_(1.0)
    inputs = batch() | {"image_ids": torch.arange(4)}
    model(**inputs)
    assert_close(model.momentum["text_projection"].weight, before + 0.1)
    assert model.queue.image_ids[0, :4].tolist() == [0, 1, 2, 3]
    model.eval()
    model(**inputs)
    assert model.queue.place.item() == 4
    assert_close(model.momentum["text_projection"].weight, before + 0.1)


@torch.no_grad()
def test_two_stage_ranking_reads_what_the_batch_reads():
    torch.manual_seed(0)
    model, inputs = BlipVkoodForImageTextRetrieval(blip_config()).eval(), batch()
    output = model(**inputs)
    image, tokens = model.image_features(inputs["pixel_values"])
    text = model.text_features(inputs["input_ids"], inputs["attention_mask"])
    assert_close(image @ text.T / model.temperature, output.logits)
    names = ("input_ids", "attention_mask", "fact_features", "fact_mask")
    assert_close(model.match_scores(tokens, **{name: inputs[name] for name in names}), output.match_logits)

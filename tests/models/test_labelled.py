"""A user's own Trainer around our models reports a loss, and gathers logits alone."""

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from support.every_model import KINDS

OPTIONAL = {"two-stream pre-training": "match_labels", "BLIP answers": "label_mask"}


class Rows(torch.utils.data.Dataset):
    """Examples whose texts have other lengths in each batch."""

    def __init__(self, kind, leave_out=None):
        whole = kind.batch() | kind.labels(4)
        whole.pop(leave_out, None)
        self.rows = [{name: part[row] for name, part in whole.items()} for row in (1, 2, 0, 3)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[row]


def collate(rows):
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    longest = int(batch["attention_mask"].sum(-1).max())
    texts = {"input_ids", "attention_mask"}
    if "labels" in batch and batch["labels"].shape == batch["input_ids"].shape:
        texts.add("labels")  # masked words
    return {name: part[..., :longest] if name in texts else part for name, part in batch.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_by_the_trainer(kind, tmp_path):
    # A batch of one text an image has matches alone, which the Trainer needs by name.
    label_names = ["match_labels"] if kind == "two-stream retrieval" else None
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_eval_batch_size=2,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        label_names=label_names,
    )
    rows = Rows(KINDS[kind], OPTIONAL.get(kind))
    trainer = Trainer(model=KINDS[kind].new(), args=arguments, data_collator=collate, eval_dataset=rows)
    actual = trainer.predict(rows)
    assert np.isfinite(actual.metrics["test_loss"])
    logits = actual.predictions[0] if isinstance(actual.predictions, tuple) else actual.predictions
    assert len(logits) == 4
    assert np.isfinite(logits).all()
    if kind != "BLIP retrieval":  # whose images and texts are each other's labels
        for row in rows.rows:
            for name in KINDS[kind].labels(4):
                row.pop(name, None)
        assert "test_loss" not in (trainer.predict(rows).metrics or {})


def test_ranking_by_the_trainer(tmp_path):
    """Three texts an image, and no label for the matching loss."""
    kind = KINDS["two-stream retrieval"]
    rows = Rows(kind, "match_labels")
    for number, row in enumerate(rows.rows):
        texts = ("input_ids", "attention_mask", "fact_features", "fact_mask")
        row |= {name: row[name][None].repeat(3, *[1] * row[name].dim()) for name in texts}
        row["labels"] = torch.tensor(number % 3)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(model=kind.new(), args=arguments, data_collator=collate, eval_dataset=rows)
    assert np.isfinite(trainer.evaluate()["eval_loss"])
    assert trainer.predict(rows).predictions[0].shape == (4, 3)

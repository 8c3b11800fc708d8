"""What runs are put together from, each against something simpler."""

import json
import re
import resource
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from support import prepared
from vkood.data.batches import Collator, GenerativeAnswerBatches
from vkood.data.rows import Example, Rows
from vkood.data.tables import find_tables
from vkood.files import FileProblem
from vkood.models import VkoodForVisualReasoning
from vkood.models.blip.contrast import contrastive_loss
from vkood.recipes.resolve import resolve
from vkood.tasks.answering import answers_in
from vkood.tasks.reasoning import ReasoningTask
from vkood.tasks.retrieval import AlphaRamp, RetrievalTask
from vkood.train import features
from vkood.train.assembly import assemble
from vkood.train.building import build, plain
from vkood.train.evaluation import evaluate
from vkood.train.launch import num_processes
from vkood.train.run import RunError, require_possible, task_of
from vkood.train.training import _WholeSteps, train


def words(data="vqav2", *changes):
    return ["tiny", f"data.folder={prepared.tables(data)}", "num_gpus=0", *changes]


def small(recipe, *changes, data="vqav2"):
    return assemble(resolve(recipe, words(data, *changes)))


def saved(folder, recipe="vqa", *changes, **config):
    """A new model with its processor, as a run leaves it."""
    run = resolve(recipe, words("vqav2", *changes))
    run.model.config |= config
    built = build(run, task_of(run))
    built.model.save_pretrained(folder)
    built.processor.save_pretrained(folder)
    return built


def test_kept_features_are_those_of_the_towers(tmp_path):
    """Batches from files of a few images and texts each, against the towers themselves."""
    assembly = small(
        "retrieval-coco", "model.freeze_towers=true", "optimisation.device_batch_size=2", data="coco"
    )
    rows, model, collate = (
        assembly.train,
        assembly.built.model.eval(),
        assembly.collator(assembly.train, training=True),
    )
    kept = features.cached_features(
        model,
        rows,
        Collator(assembly.built.processor),
        tmp_path,
        with_texts=True,
        options=assembly.evaluation_options(),
        images_in_file=5,
        texts_in_file=4,
    )
    assert len(list(tmp_path.rglob("images-*.npy"))) == 10
    examples = [rows[index] for index in (0, 13, 30, 47)]
    plainly, from_files = collate(examples), replace(collate, features=kept)(examples)
    assert "pixel_values" not in from_files
    with torch.no_grad():
        expected, cached = model(**plainly), model(**from_files)
    torch.testing.assert_close(cached.logits, expected.logits, atol=2e-2, rtol=0)
    torch.testing.assert_close(
        from_files["image_features"],
        model.base_model.image_tower(plainly["pixel_values"]),
        atol=1e-2,
        rtol=1e-2,
    )


def test_features_report_how_far_they_are(tmp_path):
    """Of what is not kept yet: what is resumed counts from there."""
    assembly = small(
        "retrieval-coco", "model.freeze_towers=true", "optimisation.device_batch_size=2", data="coco"
    )
    work, done = {}, {}

    def progress(what, total):
        work[what], done[what] = total, []
        return done[what].append

    def compute():
        return features.cached_features(
            assembly.built.model,
            assembly.train,
            Collator(assembly.built.processor),
            tmp_path,
            with_texts=True,
            options=assembly.evaluation_options(),
            images_in_file=5,
            texts_in_file=4,
            progress=progress,
        )

    compute()
    num_texts = len({assembly.train.text(index)[0] for index in range(len(assembly.train))})
    assert work == {"images": assembly.train.num_images, "texts": num_texts}
    assert {what: sum(numbers) for what, numbers in done.items()} == work
    next(tmp_path.rglob("images-000001.npy")).unlink()
    compute()
    assert work == {"images": 5, "texts": 0}
    assert done == {"images": [2, 2, 1], "texts": []}


def test_no_more_files_are_open_than_a_process_may_have(tmp_path):
    """Of a cache of many files, each with an image and a few texts, wherever a batch takes them from."""
    numbers = range(3 * features._OPEN_FILES)
    for part in range(len(numbers)):
        np.save(tmp_path / f"images-{part:06d}.npy", np.full((1, 2, 3), part, np.float16))
        np.save(tmp_path / f"texts-{part:06d}.npy", np.full((4, 3), part, np.float16))
    texts = [f"text {number}" for number in range(len(numbers) * 4)]
    kept = features.CachedFeatures(tmp_path, texts, [1] * len(texts), images_in_file=1, texts_in_file=4)
    examples = [Example(images=(), text="", image_index=number) for number in numbers]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + features._OPEN_FILES + 8, hard))
    try:
        for _ in range(2):
            cached = kept.images(examples)
            assert torch.equal(cached[:, 0, 0], torch.arange(len(numbers)).float())
            cached = kept.texts(texts[1::4], 2)
            assert torch.equal(cached[:, 0, 0], torch.arange(len(numbers)).float())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files():
    """The largest descriptor in use, above which the limit counts."""
    return max(int(path.name) for path in Path("/proc/self/fd").iterdir())


def test_damaged_features_are_named(tmp_path):
    kept = features.CachedFeatures(tmp_path, (), ())
    for content in (b"", b"no array", b"\x93NUMPY\x01\x00"):
        (tmp_path / "images-000000.npy").write_bytes(content)
        features._mapped.cache_clear()
        with pytest.raises(FileProblem, match=r"images-000000.npy' are damaged .* delete the file"):
            kept.images([Example(images=(), text="", image_index=0)])


def test_other_features_have_other_names(monkeypatch):
    run = small("vqa", "model.freeze_towers=true")
    collate, options = Collator(run.built.processor), run.evaluation_options()
    name = features.fingerprint(run.built.model.base_model, run.train, collate, options)
    assert name == features.fingerprint(run.built.model.base_model, run.train, collate, options)
    others = {
        features.fingerprint(run.built.model.base_model, run.validation, collate, options),
        features.fingerprint(
            run.built.model.base_model, run.train, collate, replace(options, autocast=torch.bfloat16)
        ),
    }
    with torch.no_grad():
        next(run.built.model.base_model.image_tower.parameters()).add_(1e-3)
    others.add(features.fingerprint(run.built.model.base_model, run.train, collate, options))
    monkeypatch.setattr(features, "DECODING", features.DECODING + 1)
    others.add(features.fingerprint(run.built.model.base_model, run.train, collate, options))
    assert len(others | {name}) == 5


@pytest.mark.parametrize("recipe", ["retrieval-coco", "blip-retrieval-coco"])
def test_pairs_are_scored_as_one_by_one(recipe):
    """The matrix of scores against a forward pass for each pair, whatever fits into memory."""
    assembly = small(recipe, "data.evaluate_limit=9", "model.config.initializer_range=0.3", data="coco")
    rows, model, collate = assembly.validation, assembly.built.model.eval(), None
    collate = assembly.collator(rows, training=False)
    options, task = assembly.evaluation_options(), assembly.task
    scores = (
        replace(task, memory_limit=1, shortlist=None).pair_scores(model, rows, collate, options).text_search
    )
    torch.testing.assert_close(
        scores,
        replace(task, shortlist=None).pair_scores(model, rows, collate, options).text_search,
        atol=1e-5,
        rtol=1e-5,
    )
    examples = [rows[index] for index in range(9)]
    for image in range(len(scores)):
        first = next(example for example in examples if example.image_index == image)
        batch = collate([replace(example, images=first.images) for example in examples])
        with torch.no_grad():
            output = model(**batch)
        expected = output.logits if recipe == "retrieval-coco" else output.match_logits[:, 1]
        torch.testing.assert_close(scores[image], expected, atol=1e-5, rtol=1e-5)


def test_shortlists():
    """One of everything is no shortlist; a similarity is added with one and without."""
    assembly = small("blip-retrieval-coco", data="coco")
    rows, model = assembly.validation, assembly.built.model
    collate, options = assembly.collator(rows, training=False), assembly.evaluation_options()

    def scores(**fields):
        return RetrievalTask(family="blip", **fields).pair_scores(model, rows, collate, options)

    full = scores().text_search
    every = scores(shortlist=1000)
    assert torch.equal(every.text_search, full)
    assert torch.equal(every.image_search, full)
    few = scores(shortlist=3)
    assert ((few.text_search > -100).sum(1) == 3).all()
    assert ((few.image_search > -100).sum(0) == 3).all()
    kept = few.text_search > -100
    torch.testing.assert_close(few.text_search[kept], full[kept], atol=1e-5, rtol=1e-5)
    added = scores(add_similarity=True).text_search - full
    assert (added.abs() <= 1.001).all()
    assert added.std() > 0


def test_a_two_stream_model_has_no_features_to_rank_by():
    for name, value in (("shortlist", 3), ("add_similarity", True)):
        with pytest.raises(
            ValueError, match=r"`options.shortlist` and `options.add_similarity` need features"
        ):
            RetrievalTask(**{name: value})
        with pytest.raises(RunError, match=r"`options.shortlist` and `options.add_similarity` need features"):
            require_possible(resolve("retrieval-coco", [*words("coco"), f"options.{name}={value}"]))


def test_lora_is_merged():
    assembly = small("vqa", "lora")
    model = assembly.built.model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    batch = assembly.collator(assembly.validation, training=False)([assembly.validation[0]])
    merged = plain(model.eval())
    assert not any("lora" in name for name in merged.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(merged(**batch).logits, model(**batch).logits, atol=1e-4, rtol=1e-4)


def test_from_one_image_to_two(tmp_path):
    """The second image's token type begins as the first's; what is of no use is left out, what is new is named."""
    before = saved(tmp_path, "pretrain").model
    built = build(resolve("nlvr2", words("nlvr2", f"model.checkpoint={tmp_path}")), ReasoningTask())
    assert isinstance(built.model, VkoodForVisualReasoning)
    assert "new weights: reasoning_head" in built.summary
    types, old = built.model.vkood.token_types.weight, before.vkood.token_types.weight
    assert torch.equal(types, old[[0, 1, 1, 2]])


def test_another_size_of_picture(tmp_path):
    """Pictures are prepared for the run's size, not for that of the run before."""
    saved(tmp_path, "pretrain")
    assembly = small("vqa", f"model.checkpoint={tmp_path}", "model.image_size=96")
    batch = assembly.collator(assembly.train, training=True)([assembly.train[0]])
    assert batch["pixel_values"].shape[-2:] == (96, 96)
    assert assembly.built.model.base_model.image_tower(batch["pixel_values"]).shape[1] == 37


def test_of_other_answers_the_shared_ones_are_kept(tmp_path):
    answers = small("vqa").task.answers
    known = ("something else", answers[4], answers[1])
    labels = {"id2label": dict(enumerate(known)), "label2id": {a: i for i, a in enumerate(known)}}
    model = saved(tmp_path, **labels).model
    built = small("vqa", f"model.checkpoint={tmp_path}").built
    assert answers_in(built.model) == answers
    assert f"it knows 2 of {len(answers)} answers" in built.summary
    head, before = built.model.answer_head, model.answer_head
    assert torch.equal(head[0].weight, before[0].weight)
    assert torch.equal(head[1].bias, before[1].bias)
    for ours, theirs in ((4, 1), (1, 2)):
        assert torch.equal(head[3].weight[ours], before[3].weight[theirs])
        assert torch.equal(head[3].bias[ours], before[3].bias[theirs])
    assert not torch.isin(head[3].weight[0], before[3].weight).any()


def evaluated(folder, output, *changes, log=lambda line: None):
    arguments = (
        f"model.checkpoint={folder}",
        "evaluate_only=true",
        f"output={output}",
        "data.test=[vqav2_rest_val]",
    )
    return evaluate(resolve("vqa", words("vqav2", *arguments, *changes)), log)


def test_a_model_with_other_answers_is_judged_by_words(tmp_path):
    """One that always says "yes", whose id is another in the tables, and that knows more answers than they."""
    names = {index: f"answer {index}" for index in range(40)} | {39: "yes"}
    built = saved(tmp_path / "model", id2label=names, label2id={name: index for index, name in names.items()})
    with torch.no_grad():
        built.model.answer_head[-1].bias[39] = 1e4
    built.model.save_pretrained(tmp_path / "model")
    metrics = evaluated(tmp_path / "model", tmp_path / "out")["vqav2_rest_val"]
    assert metrics["soft_score"] == pytest.approx(metrics["accuracy"]) == pytest.approx(1 / 3)


def test_answers_that_a_checkpoint_has_no_words_for(tmp_path):
    """They are the tables', if there are as many; else the model says nothing that is meant."""
    saved(tmp_path / "8", num_answers=8)
    evaluated(tmp_path / "8", tmp_path / "out")
    predictions = (tmp_path / "out" / "vqav2_rest_val.jsonl").read_text()
    assert "LABEL" not in predictions
    saved(tmp_path / "9", num_answers=9)
    with pytest.raises(RunError, match=r"has 9 classes .* have 8 answers"):
        evaluated(tmp_path / "9", tmp_path / "out")


@pytest.mark.parametrize(
    ("recipe", "change", "says"),
    [
        ("vqa", "num_fusion_layers=-1", "`num_fusion_layers` must be a whole number"),
        ("vqa", "num_fusion_layer=2", "did you mean `num_fusion_layers`"),
        ("vqa", "dropout=.nan", "`dropout` must be a finite number"),
        ("vqa", "gate={threshold: .inf}", "`threshold` must be a finite number"),
        ("vqa", "gate={thresold: 1}", "`threshold`"),
        ("vqa", "gate=5", "`gate` must have named options"),
        ("blip-vqa", "queue_size=-1", "`queue_size` must be a whole number"),
        ("blip-vqa", "hidden_size=64", "`hidden_size`"),
    ],
)
def test_fields_of_models_that_cannot_be(recipe, change, says):
    """Before the tables are opened, which are not there."""
    run = resolve(recipe, ["tiny", "data.folder=no/such/folder", f"model.config.{change}"])
    with pytest.raises(RunError, match=f"`model.config`.*{says}"):
        assemble(run)


def test_fields_of_models_that_do_not_go_together():
    with pytest.raises(RunError, match=r"`model.config`: `hidden_size` must be a multiple"):
        small("vqa", "model.config.hidden_size=66")


def test_what_has_no_head_is_not_evaluated(tmp_path):
    saved(tmp_path / "model", "pretrain")
    with pytest.raises(RunError, match="has no head for answering"):
        evaluated(tmp_path / "model", tmp_path / "out")


def test_a_part_of_the_questions_is_not_handed_in(tmp_path):
    saved(tmp_path / "model", num_answers=8)
    evaluated(tmp_path / "model", tmp_path / "out", "data.evaluate_limit=5")
    assert not list((tmp_path / "out").glob("vqa_submit_*"))
    evaluated(tmp_path / "model", tmp_path / "out")
    assert list((tmp_path / "out").glob("vqa_submit_*"))
    evaluated(tmp_path / "model", tmp_path / "out", "data.evaluate_limit=5")
    assert not list((tmp_path / "out").glob("vqa_submit_*"))


def test_long_evaluations_report_how_far_they_are():
    messages = []
    assembly = small("vqa", "data.evaluate_limit=9", "optimisation.device_batch_size=4")
    assembly.evaluate(assembly.validation, log=messages.append)
    assert messages == []  # it took no half minute
    assembly.evaluate(assembly.validation, log=messages.append, report_every=0.0)
    shown = [
        re.fullmatch(r"evaluated (\d) of 9, [\d.e+]+ samples/s, 0:00:\d\d left", line) for line in messages
    ]
    assert [match and match[1] for match in shown] == ["4", "8", "9"]


def test_an_evaluation_in_the_folder_of_a_training(tmp_path):
    """What training left there stays; another folder gets the results itself."""
    saved(tmp_path / "model", num_answers=8)
    for name in ("run.yaml", "results.json", "vqav2_rest_val.jsonl"):
        (tmp_path / name).write_text("of the training")
    lines = []
    numbers = evaluated(tmp_path / "model", tmp_path, log=lines.append)
    assert any(line.startswith(f"{tmp_path} is the folder of a training") for line in lines)
    for name in ("run.yaml", "results.json", "vqav2_rest_val.jsonl"):
        assert (tmp_path / name).read_text() == "of the training"
    results = tmp_path / "evaluation" / "results.json"
    assert json.loads(results.read_text()) == json.loads(json.dumps(numbers))
    assert (tmp_path / "evaluation" / "vqav2_rest_val.jsonl").exists()
    lines.clear()
    own = tmp_path / "other" / "evaluation"  # a name of the user's own choice
    evaluated(tmp_path / "model", own, log=lines.append)
    assert (own / "results.json").read_text() == results.read_text()
    assert not any("is the folder of a training" in line for line in lines)


def test_a_training_that_does_not_get_better_ends(tmp_path):
    changes = (
        "optimisation.patience=2",
        "optimisation.learning_rate=1e-12",
        "optimisation.evaluate_every=0.1",
        "data.evaluate_limit=8",
        "data.test=[]",
    )
    run = resolve("vqa", words("vqav2", f"output={tmp_path / 'run'}", *changes))
    folder = train(run)
    steps = max(int(path.name.rpartition("-")[2]) for path in (folder / "checkpoints").iterdir())
    assert steps < 10


def test_alpha_rises_in_the_first_epoch():
    """As in BLIP: by i / n of the configured value at step i of the first epoch's n, then the whole."""
    model = SimpleNamespace(alpha=None, config=SimpleNamespace(alpha=0.4))
    ramp, alphas = AlphaRamp(model), []
    for epoch in (0.0, 0.25, 0.5, 1.0, 1.5):
        ramp.on_step_begin(TrainingArguments("unused"), TrainerState(epoch=epoch), TrainerControl())
        alphas.append(model.alpha)
    assert alphas == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.4])


def test_training_moves_alpha(tmp_path, monkeypatch):
    shares = []

    def spy(*arguments):
        shares.append(arguments[-1])
        return contrastive_loss(*arguments)

    monkeypatch.setattr("vkood.models.blip.retrieval.contrastive_loss", spy)
    changes = (f"output={tmp_path}", "optimisation.epochs=2", "data.evaluate_limit=4", "data.limit=24")
    train(resolve("blip-retrieval-coco", words("coco", *changes, "optimisation.batch_size=8")))
    assert shares[0] == 0.0
    assert shares == sorted(shares)
    assert shares[-1] == 0.4


def test_weights_of_worded_answers():
    """By how many annotators gave each; without annotators by the scores."""
    processor = small("blip-vqa").built.processor
    collate = GenerativeAnswerBatches(processor, vocabulary=("red", "blue"))
    picture = Rows(find_tables(prepared.tables("vqav2"), ["vqav2_val"]))[0].images
    example = Example(images=picture, text="?", answers=("red", "blue", "red", "red"))
    scored = Example(images=picture, text="?", labels=(0, 1), scores=(0.9, 0.3))
    batch = collate([example, scored])
    assert batch["answer_counts"].tolist() == [2, 2]
    assert batch["answer_weights"].tolist() == pytest.approx([0.75, 0.25, 0.75, 0.25])


def test_weights_are_shared_out_over_gpus_only():
    with pytest.raises(RunError, match=r"`optimisation.fsdp` needs GPUs"):
        num_processes(resolve("vqa", words("vqav2", "optimisation.fsdp=true")))
    with pytest.raises(RunError, match=r"not for the task retrieval in the family blip"):
        require_possible(resolve("blip-retrieval-coco", words("coco", "optimisation.fsdp=true")))


def test_texts_of_an_image_come_together():
    run = resolve("vqa", words("vqav2", "data.texts_per_image=4", "optimisation.batch_size=8"))
    rows = Rows(find_tables(run.data.folder, ["vqav2_train"]), answered=True)
    order = _WholeSteps(rows, run)
    images = rows.image_index[np.array(list(order)).reshape(-1, 4)]
    assert len(order) == images.size == 24 * 4  # 24 images with 3 questions each, one of which comes again
    assert (images == images[:, :1]).all()
    assert sorted(images[:, 0]) == list(range(24))
    first = list(order)
    assert first == list(order)
    assert all(len(set(first[start : start + 4])) == 3 for start in range(0, len(first), 4))
    rows.set_epoch(1)
    assert first != list(order)


@pytest.mark.parametrize(
    ("recipe", "changes", "says"),
    [
        (
            "nlvr2",
            ["data.texts_per_image=2"],
            "for the task answering with `features=computed`; got the task reasoning",
        ),
        ("vqa", ["data.texts_per_image=5"], r"`optimisation.batch_size` must be a multiple .* 5; got 16"),
    ],
)
def test_texts_of_an_image_need_a_batch_of_them(recipe, changes, says):
    with pytest.raises(RunError, match=says):
        require_possible(resolve(recipe, words("vqav2", *changes)))

"""Model cards: what a saved model is, in words and as metadata that the Hugging Face hub reads."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, ModelCardData
from typing_extensions import override

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    _Mixin = PreTrainedModel
else:  # mixed into models, without bringing the class attributes of a model of its own
    _Mixin = object

CARD_FILE = "README.md"
_PIPELINES = {"VisualQuestionAnswering": "visual-question-answering"}
"""The hub's names of tasks; it has none for the others."""
_UPLOAD = ("repo_id", "private", "token", "commit_message", "commit_description", "revision", "create_pr")
_PAPER = "the method VK-OOD of Wang, Medya and Ravi, NeurIPS 2023"


@dataclass(frozen=True, kw_only=True)
class CardDetails:
    """What a model's class and configuration do not say.

    Args:
        data: What it was trained on, in words: names of tables, or the file it was converted from.
        metrics: Its scores by name, on the data that `evaluated_on` names.
        evaluated_on: Names of tables, in words.
        licence: As the hub writes licences ("apache-2.0"); None where it is not known, which the card says.
    """

    data: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluated_on: str = ""
    licence: str | None = None


def card_text(model: PreTrainedModel, details: CardDetails | None = None) -> str:
    """The card of a model of ours: its task, data, metrics, gates, licence, and how to load it.

    Args:
        model: The model.
        details: What is known beyond its class and configuration.

    Returns:
        Markdown that begins with the hub's metadata.
    """
    details = details or CardDetails()
    kind = type(model).__name__
    task = kind.rpartition("VkoodFor")[2]
    metadata = ModelCardData(
        library_name="vkood",
        license=details.licence,
        pipeline_tag=_PIPELINES.get(task),
        tags=["vkood", "knowledge", "vision-language"],
    )
    gate = getattr(model.config, "gate", None)
    parts = [
        f"---\n{metadata.to_yaml()}\n---",
        f"# {kind}",
        f"A model of [vkood](https://github.com/vkood/vkood) ({_PAPER}): {_in_words(task)}, "
        "with facts of explicit knowledge, each behind a gate of the outlier layer.",
        "## Load it",
        f"```python\nimport vkood\n\nmodel = vkood.load_model(FOLDER)  # a {kind}\n"
        'print(model.explain(IMAGE, TEXT, facts="default"))\n```',
        "## Data\n\n" + (details.data or "Not recorded."),
        "## Metrics\n\n" + _table(details),
        "## Gates\n\n" + _gates(gate),
        "## Licence\n\n"
        + (
            details.licence
            or "Not recorded. It depends on the towers, the data and the checkpoint that it was made from."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def write_card(
    folder: str | os.PathLike[str], model: PreTrainedModel, details: CardDetails | None = None
) -> None:
    """Write a model's card into its folder, unless somebody has written one of their own there.

    Args:
        folder: Where the model is saved.
        model: The model.
        details: What is known beyond its class and configuration; with it, a card of ours is replaced.
    """
    path = Path(folder) / CARD_FILE
    if path.exists() and (details is None or "library_name: vkood" not in path.read_text(encoding="utf-8")):
        return
    path.write_text(card_text(model, details), encoding="utf-8")


def _in_words(task: str) -> str:
    """Return a class's task as words: VisualQuestionAnswering is "visual question answering"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", task).lower() or "features of image, text and facts"


def _table(details: CardDetails) -> str:
    if not details.metrics:
        return "Not recorded."
    rows = [f"| {name} | {value:.4f} |" for name, value in sorted(details.metrics.items())]
    on = f"On {details.evaluated_on}:\n\n" if details.evaluated_on else ""
    return on + "\n".join(["| metric | value |", "|---|---|", *rows])


def _gates(gate: Any) -> str:
    if gate is None or gate.kind == "none":
        return "None: all facts are used."
    what = {"kernel": "a kernel density", "mixture": f"{gate.num_components} x {type(gate.family).__name__}"}[
        gate.kind
    ]
    return (
        f"{what} in {gate.joint_dim or 'the'} joint dimensions (`joint={gate.joint!r}`), {gate.mode} gates"
        + (f", {gate.inference} at inference" if gate.inference else "")
        + f", steered by the text: {gate.steering}."
    )


class WithCard(_Mixin):
    """What a model gains: its card is saved and uploaded with it."""

    @override
    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride] - the others are passed on
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        push_to_hub: bool = False,
        **options: Any,
    ) -> None:
        """Save the model and its card; a card that somebody wrote into the folder stays.

        Args:
            save_directory: The folder.
            is_main_process: Whether this process writes the files.
            push_to_hub: Whether to upload the folder too, as `repo_id`, by default the folder's name.
            options: As `transformers` has them.
        """
        upload = {name: options.pop(name) for name in _UPLOAD if name in options} if push_to_hub else {}
        super().save_pretrained(save_directory, is_main_process=is_main_process, **options)
        if is_main_process:
            write_card(save_directory, self)
            if push_to_hub:
                _upload(Path(save_directory), upload.pop("repo_id", Path(save_directory).name), **upload)

    @override
    def push_to_hub(  # pyright: ignore[reportIncompatibleMethodOverride] - the others are passed on
        self, repo_id: str, *, max_shard_size: int | str = "50GB", **options: Any
    ) -> str:
        """Upload the model and its card to the hub.

        Args:
            repo_id: Name of the repository, which is created if it is not there.
            max_shard_size: Of a file of weights.
            options: `commit_message`, `commit_description`, `private`, `token`, `revision` and `create_pr`, as
                `transformers` has them.

        Returns:
            The address of the commit.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            return _upload(Path(folder), repo_id, **options)


def _upload(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: bool | str | None = None,
    commit_message: str | None = None,
    **options: Any,
) -> str:
    api = HfApi(token=token)
    name = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    message = commit_message or "Upload model"
    return str(api.upload_folder(repo_id=name, folder_path=folder, commit_message=message, **options))

"""Looking inside: what a model answers, which facts it let in, and which part of the picture it went by."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from PIL import Image

from vkood.escaping import html_text, printable
from vkood.images import ImageSource, decode_image
from vkood.models.fit_watch import FitWatch
from vkood.models.processing import VkoodProcessor, nested

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vkood.knowledge import FactStore

MAX_ANSWERS = 100
"""An explanation has so many answers, the likeliest."""
_SHOWN = 5
MATCHING = ("does not match", "matches")
"""What the logits of matching heads stand for."""
TRUTH = ("false", "true")
"""What the logits of reasoning heads stand for."""


@dataclass(frozen=True, slots=True)
class ExplainedFact:
    """A fact, and what the gate said of it.

    Args:
        sentence: The fact in words.
        gate: How far its gate is open, from 0 to 1.
        score: How outlying it is; larger = more.
        span: What of the text led to it, (start, end); None for facts that were given.
    """

    sentence: str
    gate: float
    score: float
    span: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Explanation:
    """Why a model answers as it does.

    Attributes:
        text: The question or sentence.
        picture: The picture, RGB; several, each resized to the first one's size, stand side by side.
        answers: Answers with their probabilities, the likeliest first. A model for visual reasoning answers "true" or
            "false", one for retrieval or pre-training whether the text matches the picture.
        facts: Facts, the widest gate first.
        patches: (components, rows, columns) for each component of the fitted mixture, how much of it lies in each patch
            of the picture: each component's add up to 1, or are all 0 if none of it lies in any patch. The patches of
            several pictures stand side by side, as the pictures do. None where nothing was fitted, or patches have no
            places.
        component_weights: (components,) shares of the components.
    """

    text: str
    picture: Image.Image
    answers: list[tuple[str, float]]
    facts: list[ExplainedFact] = field(default_factory=list)
    patches: np.ndarray | None = None
    component_weights: np.ndarray | None = None

    def __repr__(self) -> str:
        """Text, answers and facts, a line each."""
        lines = [self.text, *(f"  {chance:6.1%}  {answer}" for answer, chance in self.answers[:_SHOWN])]
        lines += [f"  gate {fact.gate:.2f}  {fact.sentence}" for fact in self.facts]
        return "\n".join(map(printable, lines))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.to_html()

    def plot(self) -> Figure:
        """The picture, what each component of the fit went by, the answers, and the facts with their gates.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        from matplotlib.figure import Figure

        maps = [] if self.patches is None else list(self.patches)
        columns = 1 + len(maps) + 1 + bool(self.facts)
        figure = Figure(figsize=(3.2 * columns, 3.4), layout="constrained")
        axes = iter(figure.subplots(1, columns, squeeze=False)[0])
        picture = next(axes)
        picture.imshow(self.picture)
        picture.set_title("picture", fontsize=10)
        extent = (0, self.picture.width, 0, self.picture.height)
        for number, weights in enumerate(maps):
            axis = next(axes)
            axis.imshow(self.picture, extent=extent)
            axis.imshow(weights, cmap="magma", alpha=0.6, extent=extent, vmin=0)
            axis.set_title(self._caption(number), fontsize=10)
        for axis in (picture, *figure.axes[1 : 1 + len(maps)]):
            axis.set_axis_off()
        self._bars(next(axes), self.answers[:_SHOWN], "answers")
        if self.facts:
            shown = [(fact.sentence, fact.gate) for fact in self.facts[: 2 * _SHOWN]]
            self._bars(next(axes), shown, "facts: gate")
        figure.suptitle(printable(self.text), fontsize=11, parse_math=False)
        return figure

    def to_html(self) -> str:
        """The same as a piece of HTML that needs nothing else."""
        answers = "".join(_row(answer, chance, f"{chance:.1%}") for answer, chance in self.answers[:_SHOWN])
        facts = "".join(
            _row(fact.sentence, fact.gate, f"{fact.gate:.2f}", self._led(fact)) for fact in self.facts
        )
        picture = _thumbnail(self.picture)
        maps = "".join(
            f'<figure><img alt="" src="{_data_url(highlighted(picture, weights))}">'
            f"<figcaption>{self._caption(number)}</figcaption></figure>"
            for number, weights in enumerate([] if self.patches is None else self.patches)
        )
        told = f'<table class="vkood-facts"><caption>Facts, by gate</caption>{facts}</table>' if facts else ""
        return (
            f'<section class="vkood-explanation"><style>{_STYLE}</style><h3>{html_text(self.text)}</h3>'
            f'<div class="vkood-pictures"><figure><img alt="" src="{_data_url(picture)}">'
            f"<figcaption>picture</figcaption></figure>{maps}</div>"
            f"<table><caption>Answers</caption>{answers}</table>{told}</section>"
        )

    def _caption(self, number: int) -> str:
        """What stands beside a component's map."""
        assert self.patches is not None
        share = "" if self.component_weights is None else f", {self.component_weights[number]:.0%}"
        nowhere = "" if self.patches[number].any() else ", in no patch"
        return f"component {number + 1}{share}{nowhere}"

    def _led(self, fact: ExplainedFact) -> str:
        return "" if fact.span is None else self.text[slice(*fact.span)]

    @staticmethod
    def _bars(axis: Any, items: Sequence[tuple[str, float]], title: str) -> None:
        names = [printable(name if len(name) <= 34 else f"{name[:32]}…") for name, _ in items]
        axis.barh(range(len(items)), [value for _, value in items], color="#4c78a8")
        axis.set_yticks(range(len(items)), names, fontsize=8, parse_math=False)
        axis.invert_yaxis()
        axis.set_xlim(0, 1)
        axis.set_title(title, fontsize=10)


class Explains:
    """What models gain that can look inside themselves; mixed into those with a head.

    Attributes:
        processor: Makes their batches; by default the one that lies in the folder that the model was loaded from.
    """

    _processor: VkoodProcessor | None = None
    _judged_by: ClassVar[str] = "logits"
    """Which of the output's logits, (1, answers), the answers are taken from."""
    _judgements: ClassVar[tuple[str, ...] | None] = None
    """What they stand for; the configuration's `id2label`, if None."""

    @property
    def processor(self) -> VkoodProcessor:
        """The model's processor.

        Raises:
            ValueError: If none was set, and none lies with the model, or one with more tokens than the model knows.
        """
        if self._processor is None:
            folder: str = self.name_or_path  # pyright: ignore[reportAttributeAccessIssue] - of the model mixed into
            try:
                self._processor = VkoodProcessor.from_pretrained(folder)
            except ValueError as error:
                raise ValueError(
                    f"there is no processor with the model ({folder!r}): set `model.processor`, or save one beside it. "
                    f"{error}"
                ) from error
            known: int = self.config.text_config.vocab_size  # pyright: ignore[reportAttributeAccessIssue] - likewise
            if (tokens := len(self._processor.tokenizer)) > known:
                self._processor = None
                raise ValueError(
                    f"The tokenizer in {folder!r} has {tokens:,} tokens, but the model there knows {known:,} only; "
                    "they must come from the same training."
                )
        return self._processor

    @property
    def _num_images(self) -> int:
        """How many pictures an example has."""
        return 1

    @processor.setter
    def processor(self, processor: VkoodProcessor) -> None:
        self._processor = processor

    @torch.no_grad()
    def explain(
        self,
        image: ImageSource | Sequence[ImageSource],
        text: str,
        facts: FactStore | str | Sequence[str] | None = "default",
    ) -> Explanation:
        """Answer a question about a picture, and tell what the answer went by.

        Args:
            image: A file's name or content, a PIL picture, or an array; for visual reasoning a list of them.
            text: The question; for visual reasoning the sentence, for retrieval the caption.
            facts: "default", as for `vkood predict`: the store that comes with vkood; another store; sentences; or None
                for no facts.

        Raises:
            ValueError: If the model has no processor, or no head to answer with, or there are too few or too many
                pictures, or one of them is bad.
        """
        processor, model = self.processor, self
        sources = [source for example in nested(image) for source in example]
        if len(sources) != self._num_images:
            wanted = "one picture" if self._num_images == 1 else f"a list of {self._num_images} pictures"
            raise ValueError(f"`image` must be {wanted} for this model; got {len(sources)}.")
        names = ["image"] if len(sources) == 1 else [f"image[{number}]" for number in range(len(sources))]
        pictures = [decode_image(source, name=name) for source, name in zip(sources, names, strict=True)]
        told = [] if facts is None else processor.facts_for([text], facts)[0]
        batch = processor([pictures], text, None if facts is None else [[fact.sentence for fact in told]])
        device = next(model.parameters()).device  # pyright: ignore[reportAttributeAccessIssue] - of the model mixed into
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        self._require_width(batch.get("fact_features"))
        was_training: bool = model.training  # pyright: ignore[reportAttributeAccessIssue] - of the model mixed into
        model.eval()  # pyright: ignore[reportAttributeAccessIssue] - of the model mixed into
        try:
            with FitWatch(model.base_model) as watch:  # pyright: ignore[reportAttributeAccessIssue] - likewise
                output, answers = self._answers(batch)
        finally:
            model.train(was_training)  # pyright: ignore[reportAttributeAccessIssue] - of the model mixed into
        maps = watch.maps(len(pictures))
        return Explanation(
            text=text,
            picture=_side_by_side(pictures),
            answers=answers,
            facts=_gated(told, output),
            patches=None if maps is None else maps.patches[0],
            component_weights=None if maps is None else maps.weights[0],
        )

    def _require_width(self, fact_features: torch.Tensor | None) -> None:
        width: int = self.config.fact_dim  # pyright: ignore[reportAttributeAccessIssue] - of the model mixed into
        if fact_features is not None and fact_features.shape[-1] != width:
            raise ValueError(
                f"the model takes vectors of facts of width {width}, but those of the processor's encoder, "
                f"{self.processor.fact_encoder!r}, have {fact_features.shape[-1]}: set the processor's `fact_encoder`, "
                "or use no facts."
            )

    def _answers(self, batch: dict[str, Any]) -> tuple[Any, list[tuple[str, float]]]:
        """A model's output for one example, and its answers in order."""
        output = self(**batch)  # pyright: ignore[reportCallIssue] - of the model mixed into
        logits = output.get(self._judged_by)
        if logits is None:
            raise ValueError(f"this model has no head to answer with: its output has no `{self._judged_by}`.")
        config: Any = self.config  # pyright: ignore[reportAttributeAccessIssue] - of the model mixed into
        labels = self._judgements or config.id2label
        chances = logits[0].float().softmax(-1)
        best = chances.topk(min(MAX_ANSWERS, len(chances)))
        return output, [(labels[int(i)], float(chance)) for chance, i in zip(*best, strict=True)]


def _side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    if len(pictures) == 1:
        return pictures[0]
    width, height = pictures[0].size
    whole = Image.new("RGB", (width * len(pictures), height))
    for number, picture in enumerate(pictures):
        whole.paste(picture.resize((width, height)), (number * width, 0))
    return whole


def _gated(told: Sequence[Any], output: Any) -> list[ExplainedFact]:
    gates = output.fact_gate
    if not told or gates is None:
        return [ExplainedFact(fact.sentence, 1.0, 0.0, fact.span) for fact in told]
    found = [
        ExplainedFact(fact.sentence, float(gate), float(score), fact.span)
        for fact, gate, score in zip(told, gates[0], output.fact_score[0], strict=False)
    ]
    return sorted(found, key=lambda fact: fact.gate, reverse=True)


def highlighted(picture: Image.Image, weights: np.ndarray) -> Image.Image:
    """The picture, darkened where `weights`, (rows, columns), are small."""
    light = Image.fromarray((255 * weights / max(weights.max(), 1e-12)).astype(np.uint8))
    light = light.resize(picture.size, Image.Resampling.BICUBIC)
    return Image.composite(picture, Image.new("RGB", picture.size, "#20242c"), light)


def _thumbnail(picture: Image.Image) -> Image.Image:
    shown = picture.copy()
    shown.thumbnail((320, 320))
    longest = max(shown.size)
    if longest < 160:
        shown = shown.resize((160 * shown.width // longest, 160 * shown.height // longest))
    return shown


def _data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _row(name: str, share: float, shown: str, note: str = "") -> str:
    told = f"<small>{html_text(note)}</small>" if note else ""
    return (
        f"<tr><th>{html_text(name)}{told}</th><td><div style='width:{100 * share:.1f}%'></div></td>"
        f"<td class='vkood-number'>{shown}</td></tr>"
    )


_STYLE = (
    ".vkood-explanation{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:1.5rem auto;color:#1d2430}"
    ".vkood-explanation h3{margin:.2rem 0 .8rem}"
    ".vkood-pictures{display:flex;flex-wrap:wrap;gap:1rem}"
    ".vkood-explanation figure{margin:0}"
    ".vkood-explanation img{max-height:14rem;border-radius:6px}"
    ".vkood-explanation figcaption,.vkood-explanation caption,.vkood-explanation small{color:#66707f;font-size:.85em}"
    ".vkood-explanation small{margin-left:.6em}"
    ".vkood-explanation table{border-collapse:collapse;width:100%;margin-top:1rem}"
    ".vkood-explanation caption{text-align:left}"
    ".vkood-explanation th{text-align:left;font-weight:400;width:50%;padding:.15rem .6rem .15rem 0}"
    ".vkood-explanation td div{background:#4c78a8;height:.7em;border-radius:3px;min-width:1px}"
    ".vkood-number{width:4rem;text-align:right;font-variant-numeric:tabular-nums}"
)

"""From a photograph to the facts that belong to it, with nothing trained.

A tagger names what the photograph shows; facts about that, and about a text if there is one, are looked up and ordered;
the outlier layer as it comes scores each against the tagger's names; and a calibrated threshold drops the outliers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

from vkood.fields import Real, as_count, require_fields, require_kind
from vkood.images import ImageSource, decode_image
from vkood.knowledge import FactQuery, FactStore, LinkedFact
from vkood.knowledge.language.word_lists import ADJECTIVES, FUNCTION_WORDS, VERB_FORMS, VERBS
from vkood.knowledge.language.words import split_words
from vkood.knowledge.linking.linker import Linker
from vkood.pipelines.concept_gate import WEIGHT_POWER, ConceptGate
from vkood.pipelines.concept_tagger import ConceptTagger, PictureConcepts
from vkood.pipelines.encoding import FACT_ENCODER, advised_cache, fact_encoder_of, require_sentences
from vkood.reporting.photo_explanation import JudgedFact, PhotoExplanation, split_facts
from vkood.reporting.pictures import thumbnail

if TYPE_CHECKING:
    from vkood.reporting.explanation import Explanation

KEEP_95 = 0.618
"""The threshold that keeps 95 % of the facts about what a photograph shows, of Caltech-101's train part: `threshold` of
`python -m benchmarks.real.gate --json OUT`."""
MAX_FACTS = 1_000
"""Facts of a photograph, at most."""

_BATCH = 8
_ENGLISH = FUNCTION_WORDS | VERBS | VERB_FORMS | ADJECTIVES
_HARDLY = 0.1
"""A concept of a smaller probability is hardly in the photograph."""


@runtime_checkable
class PictureTagger(Protocol):
    """Names what pictures show, such as a `ConceptTagger`.

    Attributes:
        names: All that it tells apart.
    """

    names: Sequence[str]

    def __call__(self, images: Sequence[Image.Image], /) -> list[PictureConcepts]:
        """What each picture shows."""
        ...


class PhotoExplainer:
    """Says what is known about photographs, and which of it belongs to what they show.

    Vectors of facts and of the tagger's names are kept in a folder, each encoded once, ever.

    Args:
        store: Where facts come from: a store or its file; the one that comes with vkood, if None.
        tagger: Names what a photograph shows; `ConceptTagger.default`, if None.
        model: A saved model with a head, or its folder: it also answers each text, with the facts that are kept.
        limit: Max number of facts of a photograph, from 1 to 1,000.
        threshold: The largest score that is kept; the default is calibrated for the default tagger and encoder.
        encoder: As the `fact_encoder` of `VkoodProcessor`.

    Raises:
        ValueError: If an option is out of range, the store is empty or damaged, or the model has no head.
        ImportError: If a package of the extra `demo` is not installed.

    Example:
        >>> from vkood.demo.photographs import demo_photographs
        >>> explain = PhotoExplainer(limit=10)
        >>> cat = explain(demo_photographs()["cat"], "Does it purr?")
        >>> len(cat.kept) + len(cat.dropped)
        10
    """

    def __init__(
        self,
        store: FactStore | str | Path | None = None,
        *,
        tagger: PictureTagger | None = None,
        model: Any = None,
        limit: int = 20,
        threshold: float = KEEP_95,
        encoder: str = FACT_ENCODER,
    ) -> None:
        self.limit, self.threshold = as_count("limit", limit, MAX_FACTS), threshold
        require_fields({"threshold": threshold}, {"threshold": Real()})
        require_kind("tagger", tagger, (PictureTagger, NoneType))
        self.store = store if isinstance(store, FactStore) else FactStore.open(store)
        self.model = load_explainable(model)
        self.tagger: PictureTagger = tagger or ConceptTagger.default(self.store)
        self._linker = Linker(self.store)
        self._encoder, _ = fact_encoder_of(encoder)
        self._names = list(self.tagger.names)
        self._number_of_name = {name: number for number, name in enumerate(self._names)}
        self._name_vectors = self._vectors(self._names)
        self._gate = ConceptGate(self._name_vectors)

    @overload
    def __call__(
        self, images: ImageSource, text: str = "", *, facts: Iterable[str] = ()
    ) -> PhotoExplanation: ...

    @overload
    def __call__(
        self, images: Sequence[ImageSource], text: str = "", *, facts: Iterable[str] = ()
    ) -> list[PhotoExplanation]: ...

    def __call__(
        self, images: ImageSource | Sequence[ImageSource], text: str = "", *, facts: Iterable[str] = ()
    ) -> PhotoExplanation | list[PhotoExplanation]:
        """Explain photographs; nothing about one depends on the others.

        Args:
            images: A list of photographs, or a single one: files' names or contents, images of PIL, or arrays.
            text: A question or other text, the same for all: facts about it are looked up too, and a model answers it.
            facts: Sentences of your own, which are judged with the store's facts, and come before them.

        Returns:
            For a list of photographs a list, for a single one its own.

        Raises:
            ValueError: If a photograph is none, which the error names, or there is a model but no text.
            FileNotFoundError: If there is no such file.
        """
        if isinstance(images, list | tuple):
            return list(self.explained(images, text, facts))
        return next(self.explained([images], text, facts))  # pyright: ignore[reportArgumentType] - a single photograph

    def explained(
        self, images: Sequence[ImageSource], text: str = "", facts: Iterable[str] = ()
    ) -> Iterator[PhotoExplanation]:
        """Yield what is known about each photograph; arguments and errors as for a call."""
        if isinstance(facts, str):
            raise ValueError("`facts` must be a list of sentences; got a single text.")
        facts = list(facts)  # for every photograph
        require_sentences("`facts`", facts)
        if self.model is not None and not text.strip():
            raise ValueError("`text` must be a question for the model to answer; got an empty one.")
        for first in range(0, len(images), _BATCH):
            batch = images[first : first + _BATCH]
            names = [_name(image, first + number) for number, image in enumerate(batch)]
            pictures = [decode_image(image, name=name) for image, name in zip(batch, names, strict=True)]
            shown = self.tagger(pictures)
            queries = [FactQuery(text, concepts=concepts.concepts) for concepts in shown]
            candidates = self._linker.facts_for_many(queries, self.limit)
            for name, picture, concepts, linked in zip(names, pictures, shown, candidates, strict=True):
                yield self._explanation(name, text, picture, concepts, [*map(LinkedFact, facts), *linked])

    def _explanation(
        self, name: str, text: str, picture: Image.Image, shown: PictureConcepts, facts: Sequence[LinkedFact]
    ) -> PhotoExplanation:
        kept, dropped = split_facts(self._judged(shown, facts))
        return PhotoExplanation(
            name=name,
            text=text,
            picture=thumbnail(picture),
            concepts=shown.concepts,
            kept=kept,
            dropped=dropped,
            threshold=self.threshold,
            notes=self._notes(text, facts),
            model=self._answered(picture, text, kept),
        )

    def _notes(self, text: str, facts: Sequence[LinkedFact]) -> tuple[str, ...]:
        notes = []
        if all(isinstance(fact.fact, str) for fact in facts):
            notes.append("The store has no fact about what this photograph shows.")
        if text.strip() and not self._is_english(text):
            notes.append(
                "The text seems not to be in English, as it must be: the facts may be about the photograph alone."
            )
        return tuple(notes)

    def _is_english(self, text: str) -> bool:
        """Whether half of the words are common ones, or name something that the store knows."""
        words, concepts = split_words(text), self._linker.link(text)
        known = [
            word in _ENGLISH or any(start in range(*concept.span) for concept in concepts)
            for word, start in zip(words.lower, words.starts, strict=True)
        ]
        return 2 * sum(known) >= len(known)

    def _answered(self, picture: Image.Image, text: str, kept: Sequence[JudgedFact]) -> Explanation | None:
        if self.model is None:
            return None
        return self.model.explain(picture, text, [fact.sentence for fact in kept] or None)

    def _vectors(self, sentences: list[str]) -> Tensor:
        with advised_cache():
            return torch.from_numpy(self._encoder.encode(sentences))

    def _judged(self, shown: PictureConcepts, facts: Sequence[LinkedFact]) -> list[JudgedFact]:
        """Facts with the gate's judgement, in their order."""
        if not facts:
            return []
        vectors = self._vectors([fact.sentence for fact in facts])
        concepts = self._name_vectors[[self._number_of_name[name] for name, _ in shown.names]]
        probabilities = torch.tensor([probability for _, probability in shown.names])
        scores = self._gate.scores(vectors[None], concepts[None], probabilities[None])[0].tolist()
        own = (vectors @ concepts.mT * probabilities**WEIGHT_POWER).argmax(-1).tolist()
        nearest = (vectors @ self._name_vectors.mT).argmax(-1).tolist()
        chances = dict(shown.names)
        return [
            JudgedFact(
                fact=fact,
                score=score,
                margin=0.0,
                reason=_reason_kept(*shown.names[fits]),
                otherwise=_reason_dropped(self._names[near], chances),
                place=place,
            ).at_threshold(self.threshold)
            for place, (fact, score, fits, near) in enumerate(zip(facts, scores, own, nearest, strict=True))
        ]


def _reason_kept(name: str, probability: float) -> str:
    """Why a fact is kept: which of the photograph's names, spelt as concepts are, it fits best, by their weight."""
    return f"fits {name.lower()} ({probability:.0%})"


def _reason_dropped(nearest: str, shown: dict[str, float]) -> str:
    """Why a fact is dropped: which of all names it fits best."""
    name = nearest.lower()
    if nearest not in shown:
        return f"fits {name} better, which is not in the picture"
    if shown[nearest] < _HARDLY:
        return f"fits {name}, which is hardly in the picture ({shown[nearest]:.0%})"
    return f"fits {name} ({shown[nearest]:.0%}), but much else as well"


def _name(image: ImageSource, number: int) -> str:
    return str(image) if isinstance(image, str | Path) else f"picture {number + 1}"


def load_explainable(model: Any) -> Any:
    """A model with a head, from its folder if it is one; None stays None.

    Args:
        model: A model, its folder, or None.

    Raises:
        ValueError: If it cannot be loaded, or has no head.
    """
    if isinstance(model, str | Path):
        from vkood.models.loading import load_model

        model = load_model(model)
    if model is not None and not hasattr(model, "explain"):
        raise ValueError(
            f"`model` must be a model of vkood's with a head, or its folder; got {type(model).__name__}."
        )
    return model


@overload
def explain(
    images: ImageSource,
    text: str = "",
    *,
    store: FactStore | str | Path | None = None,
    model: Any = None,
    limit: int = 20,
) -> PhotoExplanation: ...


@overload
def explain(
    images: Sequence[ImageSource],
    text: str = "",
    *,
    store: FactStore | str | Path | None = None,
    model: Any = None,
    limit: int = 20,
) -> list[PhotoExplanation]: ...


def explain(
    images: ImageSource | Sequence[ImageSource],
    text: str = "",
    *,
    store: FactStore | str | Path | None = None,
    model: Any = None,
    limit: int = 20,
) -> PhotoExplanation | list[PhotoExplanation]:
    """Say what is known about photographs, and which of it belongs to what they show.

    Nothing needs training, and no network is used. The first call takes seconds, since it loads a classifier; vectors
    of facts are kept in `~/.cache/vkood` (or the folder that the environment variable VKOOD_CACHE names). A
    `PhotoExplainer` has more options.

    Args:
        images: A photograph, or a list of them: files' names or contents, images of PIL, or arrays.
        text: A question or other text: facts about it are looked up too; with a model, what it answers.
        store: Where facts come from: a store or its file; the one that comes with vkood, if None.
        model: A saved model with a head, or its folder: it also answers, with the facts that are kept.
        limit: Max number of facts of a photograph, from 1 to 1,000.

    Returns:
        What is known, with `concepts`, `kept`, `dropped` and `answers`, and `save` for a page; for a list of
        photographs a list.

    Raises:
        ValueError: If a photograph is none, which the error names, or an option is out of range.
        FileNotFoundError: If there is no such file.
        ImportError: If a package of the extra `photos` is not installed.

    Example:
        >>> from vkood.demo.photographs import demo_photographs
        >>> shown = explain(demo_photographs()["coffee"], "What is it made of?")
        >>> "coffee" in dict(shown.concepts), shown.kept[0].score < shown.threshold
        (True, True)
    """
    whole = (isinstance(store, FactStore), isinstance(model, str | Path | None))
    if whole == (False, True):
        explainer = _explainer(store, model, limit)
    else:
        explainer = PhotoExplainer(store, model=model, limit=limit)
    return explainer(images, text)  # pyright: ignore[reportCallIssue, reportArgumentType] - one of its two forms


@functools.lru_cache(maxsize=2)
def _explainer(store: str | Path | None, model: str | Path | None, limit: int) -> PhotoExplainer:
    """The explainer of a store's file, loaded once in a process."""
    return PhotoExplainer(store, model=model, limit=limit)

"""What a picture shows, in the words of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast, overload, runtime_checkable
from uuid import uuid4

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vkood.images import DECODING, ImageSource, decode_image
from vkood.knowledge import FactStore
from vkood.knowledge.linking.linker import Store
from vkood.pipelines.concept_tagger.vocabulary import ClassConcepts, Cut, PictureConcepts, Vocabulary
from vkood.spelling import nearest

_BATCH = 8
_STEPS = 50
_VERSION = 1
"""Of the way from probabilities to concepts: whoever changes it raises this."""


@runtime_checkable
class PictureClassifier(Protocol):
    """A network that tells classes of pictures apart.

    Attributes:
        classes: What its outputs are, in their order.
        exclusive: Whether a picture has one class, by softmax; otherwise each class is judged by itself.
        temperature: What its outputs are divided by for calibrated probabilities.
        fingerprint: Changes with weights and with the preparation of pictures.
    """

    classes: Sequence[ClassConcepts]
    exclusive: bool
    temperature: float
    fingerprint: str

    def __call__(self, pictures: Sequence[Image.Image]) -> Float[Tensor, "pictures classes"]:
        """The network's outputs, before softmax."""
        ...


@runtime_checkable
class _Source(Protocol):
    """Whatever says what pictures show; with each comes what to call it in errors."""

    names: Sequence[str]
    fingerprint: str

    def __call__(self, pictures: Sequence[tuple[str, ImageSource]]) -> list[PictureConcepts]: ...


class ClassSource:
    """A classifier, its vocabulary in a store, and how much of what it says is kept."""

    def __init__(
        self, classifier: PictureClassifier, store: Store, cut: Cut, temperature: float | None
    ) -> None:
        self._classifier, self._store, self._cut = classifier, store, cut
        self.temperature = classifier.temperature if temperature is None else temperature
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"`temperature` must be a number above 0; got {self.temperature}.")
        self.vocabulary = Vocabulary(classifier.classes, store, exclusive=classifier.exclusive)
        self.names: Sequence[str] = self.vocabulary.names
        parts = (classifier.fingerprint, self.vocabulary.fingerprint, self.temperature, cut)
        self.fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()

    def at(self, temperature: float) -> ClassSource:
        """The same with another temperature."""
        return ClassSource(self._classifier, self._store, self._cut, temperature)

    @torch.no_grad()
    def logits(self, pictures: Sequence[tuple[str, ImageSource]]) -> Float[Tensor, "pictures classes"]:
        """The classifier's outputs."""
        return self._classifier([decode_image(image, name=name) for name, image in pictures]).float().cpu()

    def __call__(self, pictures: Sequence[tuple[str, ImageSource]]) -> list[PictureConcepts]:
        """What pictures show."""
        scaled = self.logits(pictures) / self.temperature
        exclusive = self._classifier.exclusive
        return self.vocabulary.shown(scaled.softmax(-1) if exclusive else scaled.sigmoid(), self._cut)


class ConceptTagger:
    """Says which concepts of a store a picture shows, and how likely each is.

    There are three makes: a classifier whose labels can be linked to the store, or a model that compares pictures with
    texts (CLIP, SigLIP), by `from_pretrained`; a model that describes pictures, by `from_captioner`; and captions that
    are there already, by `from_captions`. `default` needs no network and no file of yours.

    Attributes:
        names: All that it tells apart.
        fingerprint: Changes with weights, vocabulary, store and preparation of pictures: what was said under one
            fingerprint is not valid under another.

    Example:
        >>> tagger = ConceptTagger.default()
        >>> shown = tagger(Image.new("RGB", (300, 200), "white"))
        >>> len(shown.names)
        20
    """

    def __init__(self, source: _Source, store: Store) -> None:
        self._source, self._store = source, store
        self.names: Sequence[str] = source.names
        parts = (_VERSION, DECODING, source.fingerprint, getattr(store, "content_hash", ""))
        self.fingerprint: str = hashlib.sha256(repr(parts).encode()).hexdigest()[:20]

    @classmethod
    def default(cls, store: Store | None = None, *, cut: Cut | None = None) -> ConceptTagger:
        """The tagger that works at once: EfficientNet-Lite2 on ImageNet's thousand classes, from the package index.

        It takes about 0.1 s a picture on one core. Its probabilities are calibrated on photographs of Caltech-101
        (`python -m benchmarks.real.tagger`).

        Args:
            store: Where concepts are looked up; by default the store that comes with vkood.
            cut: How much of what it says is kept; `Cut()` if None.

        Raises:
            ImportError: A package of the extra `demo` is not installed.
            ValueError: The store is empty, or knows none of the classes.
        """
        from vkood.pipelines.concept_tagger.imagenet import EfficientNetLite2

        return cls.from_classifier(EfficientNetLite2(), store, cut=cut)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        store: Store | None = None,
        *,
        nouns: Sequence[str] | None = None,
        prompts: Sequence[str] | None = None,
        temperature: float | None = None,
        cut: Cut | None = None,
    ) -> ConceptTagger:
        """A tagger by a model of `transformers`: an image classifier, or one that compares pictures with texts.

        Which of them it is, its configuration says. A classifier's labels (`id2label`) are linked to the store:
        WordNet offsets and ImageNet's thousand labels by their synsets, others by their synonyms. With CLIP, SigLIP and
        the like it tells the names of visible things in the store apart, each by the mean vector of several texts;
        these vectors are kept in the cache folder.

        Args:
            source: Folder, or name on the hub.
            store: Where concepts are looked up; by default the store that comes with vkood.
            nouns: What a model that compares with texts tells apart; by default the visible things of the store.
            prompts: Texts with "{}" where the noun goes; `vkood.pipelines.concept_tagger.pretrained.PROMPTS` if None.
            temperature: What the model's outputs are divided by; 1, if None. `calibrated` fits one.
            cut: How much of what it says is kept; `Cut()` if None.

        Raises:
            LoadingError: The model is missing or damaged, or classifies no pictures.
            ValueError: Its labels name nothing, the store is empty or knows none of them, or an option does not fit.

        Example:
            >>> tagger = ConceptTagger.from_pretrained("openai/clip-vit-base-patch16")  # doctest: +SKIP
            >>> tagger("kitchen.jpg").concepts[:2]  # doctest: +SKIP
            (('kitchen', 0.81), ('room', 0.81))
        """
        from vkood.pipelines.concept_tagger.pretrained import PROMPTS, pretrained_classifier

        store = FactStore.open() if store is None else store
        classifier = pretrained_classifier(source, store, nouns, PROMPTS if prompts is None else prompts)
        return cls.from_classifier(classifier, store, temperature=temperature, cut=cut)

    @classmethod
    def from_captioner(
        cls,
        captioner: str | Path | Callable[[Sequence[Image.Image]], Sequence[Sequence[str]]],
        store: Store | None = None,
        *,
        num_captions: int = 3,
        fingerprint: str | None = None,
        cut: Cut | None = None,
    ) -> ConceptTagger:
        """A tagger by descriptions: a concept has the share of a picture's descriptions that name it or a kind of it.

        Args:
            captioner: Folder or hub name of a model that describes pictures, such as BLIP; or a function from pictures
                to the descriptions of each.
            store: Where concepts are looked up; by default the store that comes with vkood.
            num_captions: Number of descriptions that a model makes of a picture.
            fingerprint: For a function, what changes when its descriptions may change; if None, it counts as another
                function in each process.
            cut: How much is kept; `Cut()` if None.

        Raises:
            LoadingError: The model is missing or damaged, or describes no pictures.
            ValueError: An option is out of range.
        """
        from vkood.pipelines.concept_tagger.captioner import Captioner, CaptionerSource

        store = FactStore.open() if store is None else store
        if isinstance(captioner, str | Path):
            model = Captioner(captioner, num_captions)
            captioner, fingerprint = model, model.fingerprint
        return cls(CaptionerSource(captioner, fingerprint or uuid4().hex, store, cut or Cut()), store)

    @classmethod
    def from_captions(
        cls,
        captions: Mapping[str, Sequence[str]],
        store: Store | None = None,
        *,
        cut: Cut | None = None,
    ) -> ConceptTagger:
        """A tagger by descriptions that are there; pictures are then passed by their files' names.

        Args:
            captions: The descriptions of each picture, by its file's path or name.
            store: Where concepts are looked up; by default the store that comes with vkood.
            cut: How much is kept; `Cut()` if None.

        Example:
            >>> tagger = ConceptTagger.from_captions({"a.jpg": ["A dog runs.", "A brown dog on grass."]})
            >>> dict(tagger("photos/a.jpg").concepts)["dog"]
            1.0
        """
        from vkood.pipelines.concept_tagger.captioner import CaptionsSource

        store = FactStore.open() if store is None else store
        return cls(CaptionsSource(captions, store, cut or Cut()), store)

    @classmethod
    def from_classifier(
        cls,
        classifier: PictureClassifier,
        store: Store | None = None,
        *,
        temperature: float | None = None,
        cut: Cut | None = None,
    ) -> ConceptTagger:
        """A tagger by any classifier.

        Args:
            classifier: The classifier, with its classes.
            store: Where concepts are looked up; by default the store that comes with vkood.
            temperature: What the classifier's outputs are divided by; its own temperature, if None.
            cut: How much of what it says is kept; `Cut()` if None.

        Raises:
            ValueError: The temperature is out of range, the store is empty, or it knows none of the classes.
        """
        store = FactStore.open() if store is None else store
        return cls(ClassSource(classifier, store, cut or Cut(), temperature), store)

    def calibrated(self, images: Sequence[ImageSource], concepts: Sequence[str]) -> ConceptTagger:
        """The same tagger with its probabilities calibrated: by the temperature of the least cross-entropy.

        Args:
            images: Pictures.
            concepts: A concept that each shows, one of `concepts`. Pictures of other things than the classifier was
                trained on should be among them, under what they are kinds of: a kangaroo as a "marsupial".

        Raises:
            ValueError: There are not as many concepts as pictures, a concept is none of the tagger's, or it has no
                probabilities to calibrate (it reads captions).
        """
        source = self._source
        if not isinstance(source, ClassSource):
            raise ValueError("this tagger reads captions, which have no probabilities to calibrate.")
        if not images or len(images) != len(concepts):
            raise ValueError(
                f"`concepts` must have one for each of the `images`, and at least one; got {len(concepts)} for "
                f"{len(images)}."
            )
        classes = {concept: source.vocabulary.classes_of(concept) for concept in dict.fromkeys(concepts)}
        if unknown := [concept for concept, own in classes.items() if not own]:
            near = nearest(unknown[0], source.vocabulary.concepts)
            hint = f"did you mean {near[0]!r}?" if near else "`tagger.concepts` lists them."
            raise ValueError(f"{unknown[0]!r} in `concepts` is no concept of the tagger; {hint}")
        logits = torch.cat([source.logits(batch) for batch in _batches(images)])
        temperature = fitted_temperature(logits, [classes[concept] for concept in concepts])
        return ConceptTagger(source.at(temperature), self._store)

    @property
    def concepts(self) -> Sequence[str]:
        """All entries of the store that pictures may have, in alphabetical order; empty if it reads captions."""
        return self._source.vocabulary.concepts if isinstance(self._source, ClassSource) else ()

    @property
    def temperature(self) -> float | None:
        """What the classifier's outputs are divided by; None if it reads captions."""
        return self._source.temperature if isinstance(self._source, ClassSource) else None

    @overload
    def __call__(self, images: ImageSource, /) -> PictureConcepts: ...

    @overload
    def __call__(self, images: Sequence[ImageSource], /) -> list[PictureConcepts]: ...

    def __call__(
        self, images: ImageSource | Sequence[ImageSource], /
    ) -> PictureConcepts | list[PictureConcepts]:
        """What pictures show; what is said of one does not depend on the others.

        Args:
            images: A list of pictures, or a single one: files' names or contents, images of PIL, or arrays.

        Returns:
            For a list of pictures a list, for a single one its own.

        Raises:
            ValueError: A picture is none; the error names it.
            FileNotFoundError: There is no such file.
        """
        if not isinstance(images, list | tuple):
            return self._source([("image", cast(ImageSource, images))])[0]
        return [shown for batch in _batches(images) for shown in self._source(batch)]


def _batches(images: Sequence[ImageSource]) -> Iterator[list[tuple[str, ImageSource]]]:
    """Pictures with their names, a batch at a time."""
    for first in range(0, len(images), _BATCH):
        yield [(f"images[{n}]", image) for n, image in enumerate(images[first : first + _BATCH], first)]


def fitted_temperature(logits: Float[Tensor, "pictures classes"], correct: Sequence[Sequence[int]]) -> float:
    """The temperature with which the classes that are correct have the largest likelihood.

    Args:
        logits: A classifier's outputs.
        correct: For each picture the classes that are what it shows, or kinds of it; at least one.
    """
    mask = torch.full(logits.shape, -torch.inf)
    for row, classes in enumerate(correct):
        mask[row, list(classes)] = 0
    log_temperature = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        log_probabilities = (logits / log_temperature.exp()).log_softmax(-1)
        loss = -(log_probabilities + mask).logsumexp(-1).mean()
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType] - it takes tensors
    return float(log_temperature.detach().exp())

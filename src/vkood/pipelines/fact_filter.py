"""Rank and filter documents for a query by the outlier layer, for retrieval-augmented generation.

**Context.** A query is a few weighted vectors of one sentence encoder, and a document another: the layer's mixture is
fitted to the former, and scores the latter. Of a text the vector is its own. (The concepts that it names as further
vectors rank facts worse.) Of a picture the vectors are those of the names of its likeliest concepts, weighted by their
probabilities. Where a query has both, the picture counts half as much as the text.

**Learning.** `fit` starts at projections that are the identity, and minimises the cross-entropy of the gates plus
0.01 |W - I|^2 over all rows by L-BFGS: few labels move it little from what the encoder knows. Gates of rows that were
learnt from are too steep, so a fifth of the queries is held out for the temperature. Targets are not 0 and 1, but what
as many rows allow (Platt 1999): (n+ + 1) / (n+ + 2) and 1 / (n- + 2). Where one row in 21 is relevant, the gate of the
least cross-entropy shuts out many that are. What is to be kept does not hang on how many others there are, so the
threshold is the split-conformal one of the relevant rows that were held out.

Legend: Q queries, M context vectors, N documents, D width of a vector.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any, Protocol, TypedDict, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import NotRequired

from vkood.fields import Optional, Whole, require_fields, require_kind, require_unicode, shown
from vkood.files import FileProblem, complete_files, finish_files, read_json_object, write_text
from vkood.gating import GateOutput, OutlierLayer
from vkood.gating.calibration import Calibration, smallest_count
from vkood.gating.configuration import GateConfig
from vkood.images import PICTURE_ENDINGS, decode_image
from vkood.knowledge import SentenceTower
from vkood.models.loading import LoadingError, problems, require_finite
from vkood.models.towers import SentenceEncoder
from vkood.pipelines.concept_tagger import ConceptTagger
from vkood.pipelines.encoding import FACT_ENCODER, sentence_encoder_folder
from vkood.progress import Bars

Query = str | Path | Image.Image | Mapping[str, Any]
"""A text; a picture, as a `Path` or of PIL; or {"text": ..., "image": ...}, whose picture may be a file's name too."""

UNTRAINED = GateConfig(joint="identity", threshold=-3.0)
"""Half open at a cosine of 0.3: of FVQA's questions 9 in 10 have their own fact's vector nearer than that, and 1 in 25
another's (`python -m benchmarks.fact_filter`)."""

_PICTURE_WEIGHT = 0.5
_PULL = 0.01
_HELD_OUT = 5
_KEEP_RATE = 0.95
_STEPS = 50
_BATCH = 1_024
_NAME = "fact_filter"
_CONFIG, _WEIGHTS = f"{_NAME}.json", f"{_NAME}.safetensors"


class Ranked(TypedDict):
    """A document's place in a ranking, as sentence-transformers has it."""

    corpus_id: int
    score: float
    text: NotRequired[str]


@runtime_checkable
class Tagger(Protocol):
    """Says what a picture shows: a `ConceptTagger`, or `transformers.pipeline("image-classification", top_k=20)`."""

    def __call__(self, image: Image.Image, /) -> Iterable[Any]:
        """Return (concept, probability) pairs, or {"label": concept, "score": probability}."""
        ...


class FactFilter:
    """Ranks documents by how well they belong to a query, and keeps those that do.

    In the form of sentence-transformers' `CrossEncoder`: `rank` and `predict`. Scores are gates, from 0 to 1, and
    **larger = more relevant**, as there; 0.5 and above is what `filter` keeps. (The layer's own scores, larger = more
    outlying, stay inside.) It works untrained with any encoder of sentences; `calibrate` sets what is kept from pairs
    that belong, and `fit` learns from labelled rows. A document's score depends on nothing but the query and itself.

    Args:
        encoder: Folder or hub name of a sentence encoder, the name of the package that carries one, or an object that
            encodes sentences, as `SentenceTower` says.
        gate: The layer that scores; half open at a cosine of 0.3 if None, which is right for the default encoder.
        tagger: Says what a picture shows; "default" for `ConceptTagger.default`; without one, queries are texts.

    Example:
        >>> facts = ["Umbrellas keep you dry.", "A violin has four strings.", "Rain falls from clouds."]
        >>> fact_filter = FactFilter()
        >>> [hit["corpus_id"] for hit in fact_filter.rank("What do you hold over your head when it rains?", facts)]
        [0, 2, 1]
        >>> fact_filter.filter("What do you hold over your head when it rains?", facts)
        ['Umbrellas keep you dry.', 'Rain falls from clouds.']
    """

    def __init__(
        self,
        encoder: str | Path | SentenceTower = FACT_ENCODER,
        *,
        gate: GateConfig | None = None,
        tagger: Tagger | str | None = None,
    ) -> None:
        require_kind("encoder", encoder, (str, Path, SentenceTower))
        require_kind("gate", gate, (GateConfig, NoneType))
        self.encoder = encoder
        self.tagger = _tagger(tagger)
        if isinstance(encoder, str | Path):
            self._tower: SentenceTower = SentenceEncoder(sentence_encoder_folder(str(encoder)))
        else:
            self._tower = encoder
        self._set_layer(gate or UNTRAINED)

    def _set_layer(self, gate: GateConfig) -> None:
        layer = gate.build(self._tower.width, self._tower.width)
        if not isinstance(layer, OutlierLayer):
            raise ValueError(f'`gate` must be of the kind "mixture"; got {gate.kind!r}.')
        self.gate, self.layer = gate, layer.eval()

    def rank(
        self,
        query: Query,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        show_progress_bar: bool | None = None,
    ) -> list[Ranked]:
        """Order documents, the most relevant first.

        Args:
            query: A text, a picture or both, as `Query` says.
            documents: The documents' texts.
            top_k: How many to return; all if None.
            return_documents: Whether each result has its `text`.
            show_progress_bar: Whether to show how many texts are encoded.

        Returns:
            `corpus_id`, the document's place in `documents`, and `score`, from 0 to 1, of each.

        Raises:
            ValueError: The query is none, a picture cannot be read, or there is no `tagger` for it.
        """
        require_fields({"top_k": top_k}, {"top_k": Optional(Whole())})
        documents = _texts(documents)
        score, gate = self._judge([query], [documents], show_progress_bar)
        order = score[0].argsort(stable=True).tolist()[:top_k]
        hits: list[Ranked] = [{"corpus_id": place, "score": float(gate[0, place])} for place in order]
        if return_documents:
            for hit in hits:
                hit["text"] = documents[hit["corpus_id"]]
        return hits

    def predict(self, pairs: Iterable[Any], show_progress_bar: bool | None = None) -> np.ndarray | np.float32:
        """The scores of pairs of a query and a document, from 0 to 1: larger = more relevant.

        Args:
            pairs: (query, document) pairs, or a single one.
            show_progress_bar: Whether to show how many texts are encoded.

        Returns:
            (pairs,) scores, or one number for a single pair.
        """
        single = (
            isinstance(pairs, tuple | list) and len(pairs) == 2 and not isinstance(pairs[0], tuple | list)
        )
        queries, documents, places = _grouped([tuple(pairs)] if single else pairs, 2)
        _, gate = self._judge(queries, documents, show_progress_bar)
        values = gate[places].numpy()
        return values[0] if single else values

    def filter(self, query: Query, documents: Sequence[str]) -> list[str]:
        """Keep the documents whose gates are open, those with a score of at least 0.5, in their order."""
        documents = _texts(documents)
        _, gate = self._judge([query], [documents])
        return [text for text, open_ in zip(documents, gate[0].tolist(), strict=True) if open_ >= 0.5]

    def calibrate(self, pairs: Iterable[Any], keep_rate: float = _KEEP_RATE) -> Calibration:
        """Set what is kept, from (query, document) pairs that belong together and that `fit` has not had.

        Args:
            pairs: The pairs.
            keep_rate: The share of such documents to keep.

        Returns:
            The split-conformal calibration, as of `OutlierLayer.calibrate`.
        """
        queries, documents, places = _grouped(pairs, 2)
        score, _ = self._judge(queries, documents)
        return self.layer.calibrate(score[places], keep_rate)

    def fit(self, triples: Iterable[Any]) -> FactFilter:
        """Learn from labelled rows: a projection that begins as the identity, the concentration and the gate.

        The threshold is then set so that `filter` keeps 95 % of the relevant documents, however many others there are:
        by `calibrate`, on the relevant rows of the fifth of the queries that is held out. If these are fewer than the
        19 that its promise needs, all relevant rows take their place; as most of them were learnt from, less than 95 %
        may be kept, and `calibrate` on further pairs mends that.

        Args:
            triples: (query, document, relevant) rows, relevant or not (true or false, 1 or 0); rows of one query belong
                together. Documents that retrieval ranks high but that are not relevant teach most.

        Raises:
            ValueError: All rows are relevant, or none is; or a row says neither.

        Warns:
            CalibrationWarning: Fewer than 19 rows are relevant; the threshold then keeps them all.
        """
        rows = list(triples)
        queries, documents, places = _grouped(rows, 3)
        labels = torch.tensor([_is_relevant(number, row[2]) for number, row in enumerate(rows)])
        if labels.all() or not labels.any():
            raise ValueError(
                "`triples` must have rows that are relevant and rows that are not; all are alike. Add documents of "
                "other queries as rows that are not."
            )
        vectors = self._vectors(queries, documents)
        relevant = torch.zeros(vectors.present.shape)
        relevant[places] = labels.float()
        late = torch.arange(len(queries)) % _HELD_OUT == _HELD_OUT - 1
        held_out = vectors.present & late[:, None]
        if not 0 < float(relevant[held_out].sum()) < int(held_out.sum()):
            held_out = vectors.present  # too few queries to hold any out
            late[:] = False
        if self.gate.joint == "identity":
            self._set_layer(replace(self.gate, joint="shared", joint_dim=self._tower.width))
            projection = self.layer.joint.candidate_projection
            assert projection is not None
            nn.init.eye_(projection.weight)
            nn.init.zeros_(projection.bias)
        fitted = vectors.present & ~late[:, None]
        self._minimise(list(self.layer.parameters()), vectors, fitted, relevant)
        self._minimise(list(self.layer.gate.parameters()), vectors, held_out, relevant)
        belongs = relevant > 0
        unseen = belongs & late[:, None]
        with torch.no_grad():
            score = self._scored(vectors).score
        enough = int(unseen.sum()) >= smallest_count(_KEEP_RATE)
        self.layer.calibrate(score[unseen if enough else belongs], _KEEP_RATE)
        return self

    def _minimise(
        self,
        parameters: list[nn.Parameter],
        vectors: _Vectors,
        counted: Bool[Tensor, "queries documents"],
        relevant: Float[Tensor, "queries documents"],
    ) -> None:
        """Bring parameters to the least cross-entropy of the gates, near to where projections are now."""
        first = {part: part.detach().clone() for part in self.layer.joint.parameters()}
        labels = relevant[counted]
        positive, negative = float(labels.sum()), float((1 - labels).sum())
        targets = torch.where(labels > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
        optimizer = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            score = self._scored(vectors).score[counted]
            margin = self.layer.gate.log_temperature.exp() * (self.layer.gate.threshold - score)
            loss = functional.binary_cross_entropy_with_logits(margin, targets)
            for part, begin in first.items():
                loss = loss + _PULL * (part - begin).square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)  # pyright: ignore[reportArgumentType] - it takes tensors

    def _judge(
        self, queries: Sequence[Query], documents: Sequence[Sequence[str]], progress: bool | None = None
    ) -> tuple[Float[Tensor, "queries documents"], Float[Tensor, "queries documents"]]:
        """The layer's scores, larger = more outlying, and its gates."""
        with torch.no_grad():
            output = self._scored(self._vectors(queries, documents, progress))
        return output.score, output.gate

    def _scored(self, vectors: _Vectors) -> GateOutput:
        return self.layer(
            vectors.documents,
            context=vectors.context,
            candidate_mask=vectors.present,
            context_mask=vectors.weights,
        )

    def _vectors(
        self, queries: Sequence[Query], documents: Sequence[Sequence[str]], progress: bool | None = None
    ) -> _Vectors:
        contexts = [self._context(query) for query in queries]
        phrases = [[phrase for phrase, _ in context] for context in contexts]
        numbers = {text: n for n, text in enumerate(dict.fromkeys(chain(*phrases, *documents)))}
        for text in numbers:
            require_unicode("queries and documents", text)
        encoded = torch.cat([self._encode(list(numbers), bool(progress)), torch.zeros(1, self._tower.width)])

        def padded(texts: Sequence[Sequence[str]]) -> Tensor:
            longest = max(map(len, texts), default=0)
            rows = [[numbers[text] for text in row] + [-1] * (longest - len(row)) for row in texts]
            return torch.tensor(rows, dtype=torch.long).view(len(texts), longest)

        context, candidates = padded(phrases), padded(documents)
        weights = torch.zeros(context.shape)
        weights[context >= 0] = torch.tensor([weight for row in contexts for _, weight in row])
        return _Vectors(
            context=encoded[context],
            weights=weights,
            documents=encoded[candidates],
            present=candidates >= 0,
        )

    def _encode(self, texts: list[str], progress: bool) -> Float[Tensor, "texts width"]:
        """The vector of each text."""
        parts = [torch.zeros(0, self._tower.width)]
        console = Console(stderr=True, quiet=not progress, force_terminal=None if progress else False)
        with Bars(console=console) as bars:
            task = bars.add_task("Encoding", total=len(texts))
            for first in range(0, len(texts), _BATCH):
                batch = texts[first : first + _BATCH]
                vectors = torch.as_tensor(self._tower(batch), dtype=torch.float32)
                expected = (len(batch), self._tower.width)
                if vectors.shape != expected:
                    raise ValueError(
                        f"`encoder` must return a vector of its width for each text, {expected}; "
                        f"got {tuple(vectors.shape)}."
                    )
                parts.append(vectors)
                bars.update(task, completed=min(first + _BATCH, len(texts)))
        return torch.cat(parts)

    def _context(self, query: Query) -> list[tuple[str, float]]:
        """What a query is about: phrases with weights, which sum to 1."""
        text, picture = _parts(query)
        if picture is None:
            return [(str(text), 1.0)]
        concepts = self._concepts(picture)
        if text is None:
            return concepts
        whole = 1.0 + _PICTURE_WEIGHT
        return [(text, 1.0 / whole), *((name, _PICTURE_WEIGHT * share / whole) for name, share in concepts)]

    def _concepts(self, picture: Any) -> list[tuple[str, float]]:
        """The names of what a picture shows, with weights that sum to 1."""
        if self.tagger is None:
            raise ValueError(
                "the query has a picture, but there is no `tagger` that says what it shows: pass "
                '`tagger="default"`, or a `ConceptTagger` of another model, or ask by text alone.'
            )
        tags = self.tagger(decode_image(picture, name="query"))
        try:
            named = [_named(tag) for tag in tags]
            total = sum(probability for _, probability in named)
            valid = 0 < total < float("inf") and all(probability >= 0 for _, probability in named)
        except (KeyError, TypeError, ValueError):
            named, total, valid = [], 0.0, False
        if not valid:
            raise ValueError(f"`tagger` must return concepts with probabilities; got {shown(tags)}.")
        return [(name, probability / total) for name, probability in named]

    def save_pretrained(self, folder: str | Path) -> None:
        """Save the layer, with the encoder's name or folder; the encoder itself stays where it is.

        Args:
            folder: Created if it is not there. An earlier filter in it is replaced at once; other files stay.

        Raises:
            FileProblem: There is a file of that name.
        """
        name = str(self.encoder) if isinstance(self.encoder, str | Path) else None
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise FileProblem(f"{str(folder)!r} must be a folder, but is a file.") from None
        with complete_files(folder, _NAME) as unfinished:
            values = {
                "encoder": name,
                "fingerprint": self._tower.fingerprint,
                "gate": self.gate.to_dict(),
            }
            write_text(unfinished / _CONFIG, json.dumps(values, indent=2) + "\n")
            # one name for each tensor, as safetensors wants it: a shared projection has two
            weights = {name: part.detach().contiguous() for name, part in self.layer.named_parameters()}
            save_file(weights, unfinished / _WEIGHTS)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        encoder: str | Path | SentenceTower | None = None,
        tagger: Tagger | str | None = None,
    ) -> FactFilter:
        """Load what `save_pretrained` saved.

        Args:
            folder: The folder.
            encoder: Where the encoder is now; by default where it was.
            tagger: Says what a picture shows; it is not saved.

        Raises:
            LoadingError: Something is missing or damaged, or the encoder is another one.
        """
        folder = Path(folder)
        with problems(f"The fact filter in {str(folder)!r} is missing or damaged"):
            finish_files(folder)
            values = read_json_object(folder / _CONFIG, what="configuration")
            encoder = values["encoder"] if encoder is None else encoder
            if encoder is None:
                raise LoadingError(
                    f"The fact filter in {str(folder)!r} has an encoder without a name: pass it as `encoder`."
                )
            fact_filter = cls(encoder, gate=GateConfig.from_dict(values["gate"]), tagger=tagger)
            if fact_filter._tower.fingerprint != values["fingerprint"]:
                raise LoadingError(
                    f"The fact filter in {str(folder)!r} was saved with another encoder than {encoder!s}: pass that "
                    "one as `encoder`."
                )
            weights = load_file(folder / _WEIGHTS)
            require_finite(weights.items(), repr(str(folder / _WEIGHTS)))
            own = dict(fact_filter.layer.named_parameters())
            shapes = {name: tuple(part.shape) for name, part in own.items()}
            if {name: tuple(part.shape) for name, part in weights.items()} != shapes:
                raise ValueError(f"its weights are {sorted(weights)}, where {shapes} should be.")
            for name, part in own.items():
                part.data.copy_(weights[name])
        return fact_filter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vectors:
    """Queries and their documents as the layer takes them."""

    context: Float[Tensor, "queries vectors width"]
    weights: Float[Tensor, "queries vectors"]
    documents: Float[Tensor, "queries documents width"]
    present: Bool[Tensor, "queries documents"]


def _tagger(tagger: Tagger | str | None) -> Tagger | None:
    if not isinstance(tagger, str):
        require_kind("tagger", tagger, (Tagger, NoneType))
        return tagger
    if tagger != "default":
        raise ValueError(
            f'`tagger` must be "default", a tagger or None; got the text {tagger!r}. Load a model by '
            f"`ConceptTagger.from_pretrained({tagger!r})`."
        )
    return ConceptTagger.default()


def _parts(query: Any) -> tuple[str | None, Any]:
    """The text and the picture of a query; one of them may be None."""
    if isinstance(query, str) and query.strip():
        if _is_picture_file(query):
            raise ValueError(
                f"the query {query!r} is a text, but also the name of a picture's file: pass {{'image': {query!r}}} "
                f"for the picture, or {{'text': {query!r}}} for the words."
            )
        return query, None
    if isinstance(query, Path | Image.Image):
        return None, query
    if isinstance(query, Mapping) and query.keys() <= {"text", "image"}:
        text, picture = query.get("text"), query.get("image")
        text = None if isinstance(text, str) and not text.strip() else text
        if isinstance(text, str | None) and (text, picture) != (None, None):
            return text, picture
    raise ValueError(
        "a query must be a text that is not blank, a picture (a `Path` or an image of PIL), or "
        f'{{"text": ..., "image": ...}}; got {shown(query)}.'
    )


def _is_picture_file(text: str) -> bool:
    """Whether a text is the name of a picture's file that is there."""
    return text.lower().endswith(PICTURE_ENDINGS) and "\0" not in text and os.path.isfile(text)


def _named(tag: Any) -> tuple[str, float]:
    """The concept and the probability that a tagger returned, in either of its forms."""
    name, probability = (tag["label"], tag["score"]) if isinstance(tag, Mapping) else tag
    return str(name), float(probability)


def _is_relevant(number: int, label: Any) -> bool:
    """Whether a row's document is relevant; a text, a grade or NaN, all of which are true in Python, say neither."""
    if isinstance(label, str) or label not in (0, 1):
        raise ValueError(
            f"the label of row {number} must be true or false, or 1 or 0; got {shown(label)}. Compare grades with a "
            "least one yourself."
        )
    return bool(label)


def _texts(documents: Any) -> list[str]:
    if isinstance(documents, str):
        raise ValueError("`documents` must be a list of texts. Put a single one into a list.")
    documents = list(documents)
    for place, document in enumerate(documents):
        if not isinstance(document, str):
            raise ValueError(
                f"`documents` must be a list of texts; number {place} is {_not_a_text(document)}"
            )
    return documents


def _not_a_text(document: Any) -> str:
    """What a document is that is no text, and how to pass its text."""
    kind = type(document).__name__
    if isinstance(document, Mapping):
        return f'a {kind}. Pass the texts alone, such as `[document["text"] for document in documents]`.'
    return f"a {kind}. Pass the texts alone."


def _grouped(rows: Iterable[Any], width: int) -> tuple[list[Any], list[list[str]], tuple[Tensor, Tensor]]:
    """The queries of rows, each once, the documents of each, and each row's place: which query, which document."""
    queries: dict[Any, Any] = {}
    documents: dict[Any, list[str]] = {}
    places: list[tuple[Any, int]] = []
    for number, row in enumerate(rows):
        if isinstance(row, tuple | list) and len(row) == width and not isinstance(row[1], str):
            raise ValueError(f"the document of row {number} must be a text, but is {_not_a_text(row[1])}")
        if not isinstance(row, tuple | list) or len(row) != width:
            expected = "(query, document)" if width == 2 else "(query, document, relevant)"
            raise ValueError(f"row {number} must be {expected}; got {shown(row)}.")
        key = row[0] if isinstance(row[0], str | Path) else id(row[0])
        queries.setdefault(key, row[0])
        own = documents.setdefault(key, [])
        places.append((key, len(own)))
        own.append(row[1])
    index = {key: n for n, key in enumerate(queries)}
    query_of = torch.tensor([index[key] for key, _ in places], dtype=torch.long)
    place_of = torch.tensor([place for _, place in places], dtype=torch.long)
    return list(queries.values()), list(documents.values()), (query_of, place_of)

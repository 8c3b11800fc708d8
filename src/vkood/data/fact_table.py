"""The vectors of facts: encoded once, found by their text, kept in a file."""

# B batch, F facts of an example, D features of a fact, S sentences in the table.

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vkood.files import FileProblem, complete_file, open_regular, parse_json

Encode = Callable[[list[str]], Tensor]
"""A text encoder: n sentences to (n, D) vectors."""


class FactTable:
    """The vectors of facts: each sentence is encoded once and found by its text.

    Args:
        sentences: The S sentences, each once.
        features: (S, D) their vectors.

    Raises:
        ValueError: If a sentence comes twice, or there is not one vector for each sentence.

    Example:
        >>> sentences = ["A kite flies.", "A mug breaks."]
        >>> table = FactTable.build(sentences, lambda texts: torch.ones(len(texts), 4))
        >>> table.ids(["A mug breaks."]), table.features.shape
        (tensor([1]), torch.Size([2, 4]))
    """

    def __init__(self, sentences: Sequence[str], features: Float[Tensor, "sentences dim"]) -> None:
        self._row_of: dict[str, int] = {}
        self._rows = torch.zeros(1, features.shape[-1] if features.ndim == 2 else 0)  # row 0 is padding
        self._append(list(sentences), features)

    @classmethod
    def build(cls, sentences: Iterable[str], encode: Encode) -> FactTable:
        """Encode each different sentence once, all in one call.

        Args:
            sentences: At least one sentence; repeats are encoded once.
            encode: The text encoder, a list of n sentences to a (n, D) tensor.

        Raises:
            ValueError: If there is no sentence, or the encoder returns something else than (n, D).
        """
        unique = list(dict.fromkeys(sentences))
        if not unique:
            raise ValueError("`sentences` must have at least one sentence; got none.")
        return cls(unique, _encoded(unique, encode))

    def extend(self, sentences: Iterable[str], encode: Encode) -> None:
        """Encode and add the sentences that are not in the table yet; the others keep their vectors.

        Raises:
            ValueError: If the encoder does not return one vector for each, as wide as the table's.
        """
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._row_of]
        if new:
            self._append(new, _encoded(new, encode))

    def save(self, path: str | Path, *, encoder: str) -> None:
        """Write the table to one safetensors file, with the sentences in its header.

        Args:
            path: The file. It appears under this name, or replaces one, only when it is complete.
            encoder: The name of the encoder that the vectors come from: they mean nothing to any other.
        """
        header = {"encoder": encoder, "sentences": json.dumps(self.sentences)}
        with complete_file(path) as unfinished:
            save_file({"features": self.features.contiguous()}, unfinished, metadata=header)

    @classmethod
    def load(cls, path: str | Path, *, encoder: str) -> FactTable:
        """Read a table that `save` wrote.

        Args:
            path: The file.
            encoder: The name of the encoder that the vectors have to come from.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not such a table, is damaged, or its vectors come from another encoder.

        Example:
            >>> import tempfile
            >>> table = FactTable(["A kite flies."], torch.ones(1, 4))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     table.save(f"{folder}/facts.safetensors", encoder="ones")
            ...     FactTable.load(f"{folder}/facts.safetensors", encoder="ones").sentences
            ('A kite flies.',)
        """
        path = Path(path)
        sentences, features, made_by = _read(path)
        if made_by != encoder:
            raise ValueError(
                f"The fact table {str(path)!r} must hold vectors of the encoder {encoder!r}; they come from "
                f"{made_by!r}. Encode the sentences anew."
            )
        try:
            return cls(sentences, features)
        except ValueError as error:
            raise ValueError(f"The fact table {str(path)!r} is damaged: {error}") from error

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences, in the order of `features`."""
        return tuple(self._row_of)

    @property
    def features(self) -> Float[Tensor, "sentences dim"]:
        """The vectors of the sentences."""
        return self._rows[1:]

    def __len__(self) -> int:
        """How many sentences the table has."""
        return len(self._row_of)

    def __contains__(self, sentence: str) -> bool:
        """Whether the table has this sentence."""
        return sentence in self._row_of

    def ids(self, facts: Sequence[str]) -> Int[Tensor, " facts"]:
        """Return the row of `features` of every fact.

        Raises:
            ValueError: If the table lacks one.
        """
        return torch.tensor(self._rows_of(facts), dtype=torch.long) - 1

    def padded(self, facts: Sequence[Sequence[str]]) -> tuple[Float[Tensor, "batch facts dim"], Tensor]:
        """Gather the vectors of every example's facts, padded with zeros to the longest example.

        Args:
            facts: The facts of every example.

        Returns:
            The vectors (B, F, D) and a mask (B, F), true where there is a fact. F is 0 if no example has
            facts.

        Raises:
            ValueError: If the table lacks a fact.
        """
        lengths = torch.tensor([len(row) for row in facts], dtype=torch.long)
        mask = length_mask(lengths)
        rows = torch.zeros(mask.shape, dtype=torch.long)
        rows[mask] = torch.tensor(self._rows_of([fact for row in facts for fact in row]), dtype=torch.long)
        return self._rows.index_select(0, rows.view(-1)).view(
            *mask.shape, self._rows.shape[1]
        ), mask  # (B, F, D)

    def _rows_of(self, facts: Sequence[str]) -> list[int]:
        try:
            return [self._row_of[fact] + 1 for fact in facts]
        except KeyError as error:
            raise ValueError(
                f"The fact table has no vector for {error.args[0]!r}; add it with "
                "`table.extend(sentences, encode)`."
            ) from None

    def _append(self, sentences: list[str], features: Float[Tensor, "sentences dim"]) -> None:
        if features.ndim != 2 or features.shape != (len(sentences), self._rows.shape[1]):
            raise ValueError(
                f"`features` must be ({len(sentences)}, {self._rows.shape[1] or 'dim'}), a vector for each "
                f"sentence; got {tuple(features.shape)}."
            )
        start = len(self._row_of)
        if len(set(sentences)) != len(sentences):
            raise ValueError(
                f"`sentences` must all differ; got {len(sentences)} with {len(set(sentences))} different."
            )
        self._row_of.update({sentence: start + offset for offset, sentence in enumerate(sentences)})
        self._rows = torch.cat([self._rows, features.detach().to(self._rows)])


def length_mask(lengths: Int[Tensor, " batch"]) -> Bool[Tensor, "batch longest"]:
    """Return which places of rows of these lengths are taken, once all are padded to the longest.

    Example:
        >>> length_mask(torch.tensor([1, 2]))
        tensor([[ True, False],
                [ True,  True]])
    """
    return torch.arange(int(lengths.max()))[None, :] < lengths[:, None]  # (B, longest)


def _encoded(sentences: list[str], encode: Encode) -> Float[Tensor, "sentences dim"]:
    features = encode(sentences)
    if features.ndim != 2 or len(features) != len(sentences):
        raise ValueError(
            f"`encode` must return ({len(sentences)}, dim), a vector for each sentence; "
            f"got {tuple(features.shape)}."
        )
    return features


def _read(path: Path) -> tuple[list[str], Tensor, str]:
    """The sentences, their vectors and the encoder's name, as the file has them."""
    open_regular(path, what="fact table").close()
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            sentences = parse_json(header["sentences"], name=str(path))
            features = file.get_tensor("features")
            made_by = header["encoder"]
    except (OSError, SafetensorError, KeyError, FileProblem) as error:
        raise ValueError(f"{str(path)!r} is not a fact table, or is damaged: {error}") from error
    if not (isinstance(sentences, list) and all(isinstance(sentence, str) for sentence in sentences)):
        raise ValueError(f"The fact table {str(path)!r} is damaged: its sentences are not a list of texts.")
    if not (features.ndim == 2 and features.is_floating_point() and bool(features.isfinite().all())):
        raise ValueError(
            f"The fact table {str(path)!r} is damaged: its vectors are no table of finite numbers."
        )
    return sentences, features, made_by

"""What pictures show by their descriptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from vkood.knowledge.linking.hypernyms import FactLookup, hypernyms_of
from vkood.knowledge.linking.linker import Linker

Likely = tuple[tuple[str, float], ...]
"""Concepts with probabilities, the likeliest first."""


def caption_concepts(captions: Sequence[Sequence[str]], linker: Linker) -> list[tuple[Likely, Likely]]:
    """The concepts that descriptions of pictures name, and those with what they are kinds of.

    A concept has the share of a picture's descriptions that name it, or name a kind of it. What a description denies
    ("no dog") it does not name.

    Args:
        captions: The descriptions of each picture; none are allowed.
        linker: Finds concepts in texts; its store, if it is a `FactStore`, has what they are kinds of.

    Returns:
        For each picture the concepts that are named, and these with their hypernyms; both with the likeliest first.

    Raises:
        ValueError: A description is no text or is too long.

    Example:
        >>> named, every = caption_concepts([["Two dogs.", "A dog on grass."]], Linker())[0]
        >>> named
        (('dog', 1.0), ('grass', 0.5))
        >>> dict(every)["animal"]
        1.0
    """
    linked = iter(linker.link_many(list(chain.from_iterable(captions))))
    of_pictures = [
        [list(dict.fromkeys(concept.entry for concept in next(linked) if not concept.negated)) for _ in own]
        for own in captions
    ]
    entries_of_all = list(dict.fromkeys(chain.from_iterable(chain.from_iterable(of_pictures))))
    store = linker.store
    above = hypernyms_of(entries_of_all, store) if isinstance(store, FactLookup) else {}
    reached = sorted(set(chain.from_iterable(above.values())))
    known = store.known(reached)
    pictures: list[tuple[Likely, Likely]] = []
    for own in of_pictures:
        every = [
            list(
                dict.fromkeys(
                    [*entries, *(up for entry in entries for up in above.get(entry, ()) if up in known)]
                )
            )
            for entries in own
        ]
        pictures.append((_shares(own), _shares(every)))
    return pictures


def _shares(of_captions: Sequence[Sequence[str]]) -> Likely:
    counts = Counter(chain.from_iterable(of_captions))
    return tuple((entry, count / len(of_captions)) for entry, count in counts.most_common())

"""Facts: what is known of a concept, in the vocabulary of ConceptNet."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from dataclasses import asdict, dataclass
from numbers import Real

from vkood.knowledge.language.plain_text import without_invisible
from vkood.knowledge.verbalize.wording import sentence_of
from vkood.spelling import nearest

RELATIONS = (
    "Antonym",
    "AtLocation",
    "CapableOf",
    "Causes",
    "CausesDesire",
    "CreatedBy",
    "DefinedAs",
    "DerivedFrom",
    "Desires",
    "DistinctFrom",
    "EtymologicallyDerivedFrom",
    "EtymologicallyRelatedTo",
    "ExternalURL",
    "FormOf",
    "HasA",
    "HasContext",
    "HasFirstSubevent",
    "HasLastSubevent",
    "HasPrerequisite",
    "HasProperty",
    "HasSubevent",
    "IsA",
    "LocatedNear",
    "MadeOf",
    "MannerOf",
    "MotivatedByGoal",
    "ObstructedBy",
    "PartOf",
    "ReceivesAction",
    "RelatedTo",
    "SimilarTo",
    "SymbolOf",
    "Synonym",
    "UsedFor",
    "NotCapableOf",
    "NotDesires",
    "NotHasA",
    "NotHasProperty",
    "NotIsA",
    "NotMadeOf",
)
"""The 34 relations that ConceptNet 5.7 documents, and six that deny.

A store's file names a relation by its place here: append, never reorder.
"""

RENAMED_RELATIONS = {"ConceptuallyRelatedTo": "RelatedTo", "DesireOf": "Desires", "InstanceOf": "IsA"}
"""Relations of earlier editions of ConceptNet, and what ConceptNet 5.7 calls them."""
DROPPED_RELATIONS = ("HasPainCharacter", "HasPainIntensity", "InheritsFrom", "SimilarSize")
"""Relations of earlier editions whose assertions ConceptNet 5 leaves out: they were experiments."""

MAX_WEIGHT = 1e6

_IS_RELATION = frozenset(RELATIONS)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


_TEXTS = ("subject", "relation", "object", "source")


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact: a subject, a relation, and an object.

    Args:
        subject: Lower-case words separated by single spaces ("fire hydrant"), as `normalise_concept` makes
            them.
        relation: One of `RELATIONS`.
        object: Words, as in `subject`.
        weight: How much the source trusts the fact, from 0.
        source: Where it comes from.

    Raises:
        ValueError: If the relation is unknown, a concept is not normalised, or the weight is no number from 0.

    Example:
        >>> fact = Fact("umbrella", "UsedFor", "keeping dry")
        >>> fact
        Fact(subject='umbrella', relation='UsedFor', object='keeping dry', weight=1.0, source='')
        >>> fact.sentence, fact.id
        ('an umbrella is used for keeping dry.', 'abfef49fa49b22f1')
    """

    subject: str
    relation: str
    object: str
    weight: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        for place, text in enumerate((self.subject, self.relation, self.object, self.source)):
            if not isinstance(text, str):
                raise ValueError(f"`{_TEXTS[place]}` must be a text; got {text!r:.60}.")
        if self.relation not in _IS_RELATION:
            raise ValueError(unknown_relation("`relation`", self.relation))
        _require_normalised("subject", self.subject)
        _require_normalised("object", self.object)
        if type(self.weight) is not float:
            number = isinstance(self.weight, Real) and not isinstance(self.weight, bool)
            object.__setattr__(self, "weight", float(self.weight) if number else math.nan)
        if not 0 <= self.weight <= MAX_WEIGHT:  # also refuses NaN
            raise ValueError(f"`weight` must be a number from 0 to {MAX_WEIGHT:g}; got {self.weight!r}.")

    @property
    def id(self) -> str:
        """The fact's identity in every store and every build: a hash of subject, relation and object.

        Weight and source are not in it: two stores that know the same fact know it by the same id.
        """
        return text_id("\n".join((self.subject, self.relation, self.object)))

    @property
    def sentence(self) -> str:
        """The fact in English, with a full stop and without a capital letter."""
        return sentence_of(self.subject, self.relation, self.object)

    def as_dict(self) -> dict[str, str | float]:
        """The fact as JSON has it: its fields, its id and its sentence."""
        return {"id": self.id, **asdict(self), "sentence": self.sentence}


def text_id(text: str) -> str:
    """Return 16 hexadecimal digits that depend on a text alone.

    Args:
        text: Any text.
    """
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def normalise_concept(text: str) -> str:
    """Return the text as concepts are written: lower-case words separated by single spaces.

    Underscores and control characters count as spaces, letters are brought into their usual form (Unicode's NFKC), and
    what cannot be seen, such as soft hyphens, is left out. The result may be empty.

    Args:
        text: Any text.

    Example:
        >>> normalise_concept("Fire_hydrant ")
        'fire hydrant'
    """
    if not text.isascii():
        text = without_invisible(text)
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    if not text.isprintable():
        text = _UNPRINTABLE.sub(" ", text)
    return " ".join(text.lower().replace("_", " ").split())


def require_relations(argument: str, relations: object) -> frozenset[str] | None:
    """Check names of relations; None stands for all of them.

    Args:
        argument: What the caller knows them by, for the error.
        relations: Any number of names, at least one.

    Raises:
        ValueError: If there is none, a name is unknown, or `relations` is a single text.
    """
    if relations is None:
        return None
    if isinstance(relations, str) or not hasattr(relations, "__iter__"):
        raise ValueError(f"{argument} must be names of relations, such as ['IsA']; got {relations!r}.")
    names = frozenset(relations)  # pyright: ignore[reportArgumentType] - what was checked
    if not names:
        raise ValueError(f"{argument} must name at least one relation; leave it out for all of them.")
    for name in sorted(names, key=str):
        if name not in _IS_RELATION:
            raise ValueError(unknown_relation(argument, name))
    return names


def unknown_relation(argument: str, name: object, *, listed: bool = True) -> str:
    """Return the sentence that refuses a relation, with the nearest name, or else with all if they are to be listed.

    To a name that denies ("IncapableOf") none is near that affirms: with the hint's, its facts would say the opposite.
    """
    name_alone = str(name).rsplit("/", 1)[-1]
    renamed = RENAMED_RELATIONS.get(name_alone)
    near = [renamed] if renamed else nearest(name_alone, RELATIONS, cutoff=0.75)
    others = f" They are {', '.join(RELATIONS)}." if listed else ""
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else others
    return f"{argument} must be one of ConceptNet's {len(RELATIONS)} relations; got {name!r}.{hint}"


def to_thousandths(weight: float) -> int:
    """Return a weight as stores keep it: in thousandths, and at least one where it is not zero.

    Raises:
        ValueError: If it is no number from 0 to `MAX_WEIGHT`.
    """
    if not (math.isfinite(weight) and 0 <= weight <= MAX_WEIGHT):
        raise ValueError(f"`weight` must be a number from 0 to {MAX_WEIGHT:g}; got {weight!r}.")
    return max(round(weight * 1000), 1) if weight else 0


def _require_normalised(argument: str, text: str) -> None:
    normalised = normalise_concept(text)
    if not normalised:
        raise ValueError(f"`{argument}` must have at least one word; got {text!r}.")
    if normalised != text:
        raise ValueError(
            f"`{argument}` must be lower-case words separated by single spaces, as `normalise_concept` makes "
            f"them: {normalised!r}; got {text!r}."
        )

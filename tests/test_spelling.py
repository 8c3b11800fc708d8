"""Hints for misspelt names: the nearest, and never one that says the opposite of what was written."""

import pytest

from vkood.knowledge import RELATIONS, Fact
from vkood.spelling import nearest

KEYS = ["max_grad_norm", "test_only", "freeze_text", "image_size", "data.train", "keep_best"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UsdFor", ["UsedFor"]),
        ("used for", ["UsedFor"]),
        ("isa", ["IsA"]),
        ("IsAn", ["IsA"]),
        ("CapabelOf", ["CapableOf"]),
        ("HasPrerequsite", ["HasPrerequisite"]),
        ("Anonym", ["Antonym", "Synonym"]),
        ("CapabelOf", ["CapableOf"]),
        ("HasPropety", ["HasProperty"]),
        ("not_capabel_of", ["NotCapableOf"]),
        ("NotHasPropety", ["NotHasProperty"]),
        ("NotDesire", ["NotDesires"]),
        ("HasFistSubevent", ["HasFirstSubevent", "HasLastSubevent"]),
    ],
)
def test_misspelt_relations(name, expected):
    assert nearest(name, RELATIONS, cutoff=0.75) == expected


OPPOSITES = """
IncapableOf IsNotA IsntA HasNoProperty HasNotA NonCapableOf NotUsedFor UnusedFor NotCauses DoesNotCause NeverCapableOf
CannotCapableOf NonPartOf NotPartOf UnrelatedTo NotRelatedTo DissimilarTo NotSimilarTo LocationOf CausedBy UsedBy
CreatedFor NotAtLocation NotLocatedNear NotSymbolOf MadeWithoutOf
"""


@pytest.mark.parametrize("name", OPPOSITES.split())
def test_opposite_relations_have_no_hint(name):
    near = nearest(name, RELATIONS, cutoff=0.75)
    assert near == []
    with pytest.raises(ValueError, match="must be one of ConceptNet's 40 relations") as refused:
        Fact("a fish", name, "walk")
    assert "Did you mean" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("max_grad_nrm", ["max_grad_norm"]),
        ("imagesize", ["image_size"]),
        ("min_grad_norm", []),
        ("train_only", []),
        ("unfreeze_text", []),
        ("no_freeze_text", []),
        ("freeze_image", []),
        ("data.test", []),
        ("delete_best", []),
    ],
)
def test_keys(name, expected):
    assert nearest(name, KEYS, cutoff=0.5) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lr", "learning_rate"),
        ("optimisation.lr", "learning_rate"),
        ("batch", "batch_size"),
        ("optimisation.wd", "weight_decay"),
        ("num_train_epochs", "epochs"),
    ],
)
def test_other_words_for_options(name, expected):
    known = [
        f"optimisation.{key}" for key in ("eps", "epochs", "learning_rate", "weight_decay", "batch_size")
    ]
    assert nearest(name, known) == [f"optimisation.{expected}"]
    assert nearest(name, ["betas"]) == []

"""WordNet's files: what synsets say of their words."""

import pytest

from vkood.knowledge import Fact, FactStore, UnreadableSourceError, WordNetSource, build_store

LICENCE = "  1 This software and database is being provided to you  \n  2 WordNet 3.0 Copyright 2006\n"
NOUNS = [
    '00000010 03 n 01 animal 0 001 ~ 00000020 n 0000 | a living thing that moves; "a | in a gloss"',
    "00000020 05 n 02 dog 0 Domestic_dog 0 004 @ 00000010 n 0000 %p 00000030 n 0000 #m 00000010 n 0000 "
    "= 00000070 a 0000 | a pet",
    "00000030 08 n 01 tail 0 001 #p 00000020 n 0000 | at the end of a dog",
    "00000040 06 n 02 dog 1 andiron 0 002 @ 00000050 n 0000 %s 00000060 n 0000 | holds logs",
    "00000050 06 n 01 support 0 000 | holds",
    "00000060 27 n 01 iron 0 001 ! 00000050 n 0101 | a metal",
    "00000080 18 n 01 Rex 0 001 @i 00000020 n 0000 | a certain dog",
]
NOUN_INDEX = [
    "animal n 1 1 ~ 1 1 00000010",
    "dog n 2 3 @ %p = 2 2 00000020 00000040",
    "domestic_dog n 1 3 @ %p = 1 0 00000020",
    "tail n 1 1 #p 1 0 00000030",
    "andiron n 1 2 @ %s 1 0 00000040",
    "support n 1 0 1 0 00000050",
    "iron n 1 1 ! 1 0 00000060",
    "rex n 1 1 @i 1 0 00000080",
]
ADJECTIVES = [
    "00000070 00 a 02 tame(p) 0 docile 0 001 & 00000075 a 0000 | no longer wild",
    "00000075 00 s 01 gentle(ip) 0 001 & 00000070 a 0000 | soft",
]
ADJECTIVE_INDEX = ["tame a 1 1 & 1 0 00000070", "docile a 1 1 & 1 0 00000070", "gentle a 1 1 & 1 0 00000075"]
VERBS = [
    "00000090 30 v 01 move 0 000 01 + 02 00 | go",
    "00000095 30 v 01 trot 0 001 @ 00000090 v 0000 01 + 02 00 | go fast",
]
VERB_INDEX = ["move v 1 0 1 0 00000090", "trot v 1 1 @ 1 0 00000095"]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "dict"
    folder.mkdir()
    files = {
        "data.noun": NOUNS,
        "index.noun": NOUN_INDEX,
        "data.adj": ADJECTIVES,
        "index.adj": ADJECTIVE_INDEX,
        "data.verb": VERBS,
        "index.verb": VERB_INDEX,
    }
    for name, lines in files.items():
        (folder / name).write_text(LICENCE + "".join(f"{line}  \n" for line in lines))
    return folder


def build(folder, **options):
    report = build_store(folder.parent / "facts.db", [WordNetSource(folder, **options)])
    with FactStore.open(folder.parent / "facts.db") as store:
        return set(store.facts()), report


def facts(*rows):
    return {Fact(*row, source="WordNet 3.0") for row in rows}


def test_nouns(folder):
    built, report = build(folder)
    assert built == facts(
        ("dog", "IsA", "animal", 1.0),
        ("domestic dog", "IsA", "animal", 1.0),
        ("dog", "HasA", "tail", 1.0),
        ("domestic dog", "HasA", "tail", 1.0),
        ("dog", "HasProperty", "tame", 1.0),
        ("domestic dog", "HasProperty", "tame", 1.0),
        ("dog", "Synonym", "domestic dog", 1.0),
        ("domestic dog", "Synonym", "dog", 1.0),
        ("tail", "PartOf", "dog", 1.0),
        ("dog", "IsA", "support", 0.5),
        ("andiron", "IsA", "support", 1.0),
        ("dog", "MadeOf", "iron", 0.5),
        ("andiron", "MadeOf", "iron", 1.0),
        ("dog", "Synonym", "andiron", 0.5),
        ("andiron", "Synonym", "dog", 1.0),
        ("iron", "Antonym", "support", 1.0),
        ("rex", "IsA", "dog", 1.0),
    )
    [source] = report.header.sources
    assert (source.name, source.licence) == ("WordNet 3.0", "WordNet 3.0 license (Princeton University)")
    assert source.rebuild == "wordnet dict"
    tally = report.tallies[0]
    assert (tally.num_lines, tally.num_unreadable) == (17, 0)
    assert tally.bytes_read == WordNetSource(folder).size


def test_other_words(folder):
    built, _ = build(folder, parts_of_speech=("verb", "adj"))
    assert built == facts(
        ("trot", "MannerOf", "move", 1.0),
        ("tame", "SimilarTo", "gentle", 1.0),
        ("docile", "SimilarTo", "gentle", 1.0),
        ("gentle", "SimilarTo", "tame", 1.0),
        ("tame", "Synonym", "docile", 1.0),
        ("docile", "Synonym", "tame", 1.0),
    )


def test_filters(folder):
    built, report = build(folder, relations=frozenset({"MadeOf", "HasProperty"}))
    assert {fact.relation for fact in built} == {"MadeOf", "HasProperty"}
    assert report.tallies[0].num_left_out == 13
    assert {fact.weight for fact in build(folder, max_sense=1)[0]} == {1.0}


def test_a_sense_that_the_index_lacks(folder):
    (folder / "index.noun").write_text(LICENCE + "rex n 1 1 @i 1 0 00000080\n")
    built, _ = build(folder)
    assert {fact.weight for fact in built} == {1.0, 0.05}


def test_pointers_to_nothing(folder):
    with (folder / "data.noun").open("a") as file:
        file.write(
            "00000100 03 n 01 ghost 0 003 @ 99999999 n 0000 @ 00000010 n 0900 %p 00000010 n 0009 | x\n"
        )
    assert not {fact for fact in build(folder)[0] if fact.subject == "ghost"}


def test_unreadable_lines(folder):
    many = "".join(
        f"1{number:07} 03 n 01 thing_{number} 0 001 @ 00000010 n 0000 | x\n" for number in range(600)
    )
    bad = ["bad", "00000001 03 n zz x", "00000001 03 n 01 x 0 002 @ 00000010 n 0000 | one is missing"]
    (folder / "data.noun").write_text(LICENCE + many + "\n".join(NOUNS + bad) + "\n")
    with (folder / "index.noun").open("ab") as file:
        file.write(b"dog n 3 0 3 0 00000020\n\xff\n")
    built, report = build(folder)
    assert len(built) > 600
    tally = report.tallies[0]
    assert tally.num_unreadable == 5
    assert [(line.file, line.line, line.reason) for line in tally.first_unreadable] == [
        ("data.noun", 610, "it is not a synset"),
        ("data.noun", 611, "it is not a synset"),
        ("data.noun", 612, "it is not a synset"),
        ("index.noun", 11, "it is not a word with its senses"),
        ("index.noun", 12, "it is not UTF-8"),
    ]


def test_another_kind_of_file(folder):
    (folder / "data.noun").write_text("nothing of the kind\n" * 5000)
    with pytest.raises(UnreadableSourceError, match=r"data.noun, line 1: it is not a synset"):
        build(folder)


def test_folders_that_are_none(folder, tmp_path):
    with pytest.raises(ValueError, match="There is no folder"):
        WordNetSource(tmp_path / "none")
    with pytest.raises(ValueError, match=r"it lacks data.noun, data.adj, index.noun"):
        WordNetSource(tmp_path)
    with pytest.raises(ValueError, match="`parts_of_speech` must be of noun, verb, adj, adv"):
        WordNetSource(folder, ("nouns",))
    with pytest.raises(ValueError, match="`max_sense` must be a whole number of at least 1"):
        WordNetSource(folder, max_sense=0)

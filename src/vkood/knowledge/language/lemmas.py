"""Forms of English words: from a plural to its singular, from a verb to its -ing form, and which article fits.

By a few rules and tables of what breaks them. Where a rule alone cannot tell ("cookies": cooky or cookie?), all
singulars that may be meant come back, the likeliest first; a dictionary then chooses.
"""

from __future__ import annotations

import re
from functools import lru_cache

from vkood.knowledge.language.word_lists import INVARIANT, PLURAL_ONLY, SINGULAR_IN_S, pairs_of, words_of

_IRREGULAR_SINGULARS = pairs_of(
    "people/person men/man women/woman children/child feet/foot teeth/tooth geese/goose mice/mouse "
    "lice/louse oxen/ox knives/knife leaves/leaf loaves/loaf wolves/wolf calves/calf halves/half "
    "shelves/shelf lives/life wives/wife elves/elf thieves/thief scarves/scarf hooves/hoof "
    "sheaves/sheaf selves/self dwarves/dwarf wharves/wharf turves/turf kerchieves/kerchief staves/staff "
    "buses/bus gases/gas lenses/lens axes/axe cacti/cactus fungi/fungus octopi/octopus nuclei/nucleus "
    "radii/radius stimuli/stimulus alumni/alumnus hippopotami/hippopotamus dice/die pence/penny "
    "irises/iris canvases/canvas viruses/virus bacteria/bacterium media/medium crises/crisis "
    "oases/oasis bases/base analyses/analysis theses/thesis phenomena/phenomenon criteria/criterion "
    "vertebrae/vertebra larvae/larva antennae/antenna algae/alga formulae/formula indices/index "
    "matrices/matrix vertices/vertex appendices/appendix quizzes/quiz aches/ache headaches/headache "
    "toothaches/toothache avalanches/avalanche mustaches/mustache niches/niche moustaches/moustache "
    "quiches/quiche caches/cache creches/creche brioches/brioche skis/ski taxis/taxi kiwis/kiwi "
    "bikinis/bikini safaris/safari corgis/corgi saris/sari tsunamis/tsunami emojis/emoji menus/menu "
    "emus/emu gnus/gnu tutus/tutu gurus/guru haikus/haiku shoes/shoe toes/toe hoes/hoe canoes/canoe "
    "oboes/oboe foes/foe does/doe aloes/aloe roes/roe floes/floe horseshoes/horseshoe "
    "snowshoes/snowshoe tiptoes/tiptoe overshoes/overshoe passersby/passerby brethren/brother "
    "zucchinis/zucchini paninis/panini martinis/martini jet-skis/jet-ski yetis/yeti khakis/khakis "
    "chamois/chamois axis/axis cattle/cattle police/police"
)
_ENDING_SINGULARS = (
    ("bacteria", "bacterium"),
    ("children", "child"),
    ("people", "person"),
    ("women", "woman"),
    ("teeth", "tooth"),
    ("geese", "goose"),
    ("feet", "foot"),
    ("knives", "knife"),
    ("wives", "wife"),
    ("shelves", "shelf"),
    ("leaves", "leaf"),
    ("wolves", "wolf"),
    ("loaves", "loaf"),
    ("mice", "mouse"),
)
_NOT_OF_MAN = words_of("specimen omen abdomen ramen semen stamen regimen acumen cyclamen yemen lumen amen")
_IE_NOUNS = words_of(
    "cookie movie pie tie zombie brownie selfie hoodie smoothie birdie calorie genie rookie magpie "
    "bowtie necktie prairie collie hippie veggie goalie auntie doggie kiddie sortie reverie boogie "
    "cabbie junkie pixie oldie foodie newbie talkie eerie die lie cutie sweetie beanie bogie bootie "
    "budgie coolie cowrie dearie laddie lassie menagerie patisserie potpie quickie townie toughie "
    "yuppie zombie stogie walkie onesie sortie rotisserie camaraderie"
)


@lru_cache(maxsize=65_536)
def singulars(word: str) -> tuple[str, ...]:
    """Return the words that this one may be the plural of, the likeliest first, and the word itself.

    The word comes last, unless it is the likeliest: few words in -us and -is are plurals.

    Args:
        word: A word in lower case.

    Example:
        >>> singulars("knives"), singulars("boxes"), singulars("tennis")
        (('knife', 'knives'), ('box', 'boxe', 'boxes'), ('tennis',))
    """
    if word in _IRREGULAR_SINGULARS:
        return _unique(_IRREGULAR_SINGULARS[word], word)
    if word in PLURAL_ONLY or word in SINGULAR_IN_S or word in INVARIANT or len(word) < 3:
        return (word,)
    for plural, singular in _ENDING_SINGULARS:
        if word.endswith(plural):
            return _unique(word.removesuffix(plural) + singular, word)
    if word.endswith("men") and word not in _NOT_OF_MAN:
        return _unique(word[:-2] + "an", word)
    if not word.endswith("s") or word.endswith("ss"):
        return (word,)
    return _unique(*_stripped(word), word)


def _stripped(word: str) -> tuple[str, ...]:
    """Singulars of a word in -s."""
    without_s, without_es = word[:-1], word[:-2]
    if word.endswith("ies") and len(word) > 4:
        return (without_s,) if without_s in _IE_NOUNS else (word[:-3] + "y", without_s)
    if word.endswith(("ches", "shes", "sses", "xes")):
        return (without_es, without_s)
    if word.endswith("oes"):
        return (without_es, without_s)
    if word.endswith(("uses", "ses", "zes")):
        return (without_s, without_es)
    if word.endswith(("us", "is")):
        return (word, without_s)
    return (without_s,)


def singular(word: str) -> str:
    """Return the likeliest singular.

    Example:
        >>> singular("women"), singular("glasses"), singular("bus")
        ('woman', 'glass', 'bus')
    """
    return singulars(word)[0]


def is_plural(word: str) -> bool:
    """Tell whether a noun takes "are".

    Example:
        >>> is_plural("children"), is_plural("scissors"), is_plural("glass"), is_plural("sheep")
        (True, True, False, False)
    """
    return word in PLURAL_ONLY or word in ("cattle", "police", "people") or singular(word) != word


_IRREGULAR_PLURALS = {one: many for many, one in _IRREGULAR_SINGULARS.items() if one != many} | {
    "person": "people",
    "cactus": "cacti",
    "octopus": "octopuses",
    "axe": "axes",
    "base": "bases",
    "die": "dice",
    "brother": "brothers",
    "antenna": "antennas",
    "index": "indexes",
    "staff": "staffs",
    "penny": "pennies",
    "turf": "turf",
    "hippopotamus": "hippopotamuses",
}
_OES = words_of("potato tomato hero echo buffalo mango mosquito volcano tornado torpedo cargo domino veto")


@lru_cache(maxsize=65_536)
def plural(word: str) -> str:
    """Return the plural of a singular noun.

    Example:
        >>> plural("knife"), plural("box"), plural("berry"), plural("egg")
        ('knives', 'boxes', 'berries', 'eggs')
    """
    if word in INVARIANT or word in PLURAL_ONLY:
        return word
    if word in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[word]
    for many, one in _ENDING_SINGULARS:
        if word.endswith(one) and one != "person":
            return word.removesuffix(one) + many
    if word.endswith("man") and word not in (
        "human",
        "german",
        "roman",
        "caiman",
        "talisman",
        "shaman",
        "ottoman",
    ):
        return word[:-2] + "en"
    if word.endswith(("s", "x", "z", "ch", "sh")) and not word.endswith("stomach"):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word in _OES else "s")


# --- Verbs ----------------------------------------------------------------------------------------------------------

_DOUBLING = words_of(
    "bat beg bet bid blot brag bud bug cap chat chip chop clap clip cram crop cut dab dig dim dip dot "
    "drag drip drop drum fan fit flap flip flop fog gag get grab grin grip hem hit hop hug hum jab jam "
    "jet jig jog jot kid knit knot let log man map mop mud mug nag nap net nod pad pat peg pet pin pit "
    "plan plod plot plug pop prop put quit quiz rap rib rid rig rip rob rot rub run sag scan scrub set "
    "shed ship shop shred shrug shut sin sip sit skid skim skin skip slam slap slip slit slog snap snip "
    "sob span spin spit split spot spur stab star step stir stop strap strip strum strut stun sun swap "
    "swim tag tan tap thin throb tip top trap trek trim trip trot tug wag wed wet whip win wrap zap zip "
    "begin forget upset submit admit permit commit regret omit refer prefer occur control patrol propel "
    "compel expel rebel transfer transmit equip unwrap unzip babysit kidnap format program rebut defer "
    "confer deter emit outrun input output overlap unplug reset"
)
_KEEPING_E = {"be": "being", "see": "seeing", "dye": "dyeing", "age": "aging", "singe": "singeing"}


@lru_cache(maxsize=65_536)
def gerund(verb: str) -> str:
    """Return the -ing form of a verb's base form.

    Example:
        >>> gerund("keep"), gerund("make"), gerund("sit"), gerund("lie"), gerund("panic")
        ('keeping', 'making', 'sitting', 'lying', 'panicking')
    """
    if verb in _KEEPING_E:
        return _KEEPING_E[verb]
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    if verb in _DOUBLING:
        return verb + verb[-1] + "ing"
    if verb.endswith("ic"):
        return verb + "king"
    return verb + "ing"


_THIRD_PERSON = {"be": "is", "have": "has", "do": "does", "go": "goes", "undergo": "undergoes", "can": "can"}


def third_person(verb: str) -> str:
    """Return the form of a verb after "it".

    Example:
        >>> third_person("fly"), third_person("catch"), third_person("have"), third_person("play")
        ('flies', 'catches', 'has', 'plays')
    """
    if verb in _THIRD_PERSON:
        return _THIRD_PERSON[verb]
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


# --- Articles -------------------------------------------------------------------------------------------------------

_SILENT_H = re.compile(r"hours?\b|hourglass|hono|hones|heir|herbs?\b")
_CONSONANT_START = re.compile(
    r"uni(?!n|mp|mag|ll|d|a)|unanim|unary|u[bcfhjkqrt][aeiou]|us(?:[aeiou]|$)|uk|eu(?!ler)|ewe|one\b|once|ouija|u\b|ufo|uga"
)
_LETTERS_LIKE_VOWELS = frozenset("aefhilmnorsx")


_READ_AS_WORDS = words_of("FAQ FORTRAN HAZMAT LAN LASER LEM LISP MANPAD NAND NASA NATO NIMBY RAM ROM SAM")
"""Initials that are read as words: "a LISP compiler"."""


@lru_cache(maxsize=65_536)
def article(phrase: str) -> str:
    """Return "a" or "an", by the sound that a phrase begins with.

    Example:
        >>> [article(word) for word in ("apple", "hour", "unicorn", "umbrella", "x-ray", "one-way street")]
        ['an', 'an', 'a', 'an', 'an', 'a']
    """
    initials = re.match(r"[A-Z]{2,}\b", phrase)
    if initials is not None and initials[0] not in _READ_AS_WORDS:
        return "an" if initials[0][0].lower() in _LETTERS_LIKE_VOWELS else "a"
    word = phrase.lower()
    if word.startswith(("8", "11 ", "18 ", "11-", "18-")):
        return "an"
    first = re.match(r"[^\W_]+", word)
    if first is not None and len(first[0]) == 1 and first[0] != "a":
        return "an" if first[0] in _LETTERS_LIKE_VOWELS else "a"
    if _SILENT_H.match(word):
        return "an"
    if word[:1] not in "aeiou":
        return "a"
    return "a" if _CONSONANT_START.match(word) else "an"


def _unique(*words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))

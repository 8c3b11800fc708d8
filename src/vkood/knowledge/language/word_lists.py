"""Closed lists of English words that linking and wording need: what is no thing, what is no plural, what is a mass."""

from __future__ import annotations


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text, as a set.

    Example:
        >>> sorted(words_of("red blue"))
        ['blue', 'red']
    """
    return frozenset(text.split())


def pairs_of(text: str) -> dict[str, str]:
    """Return a table written as words with a slash between.

    Example:
        >>> pairs_of("mice/mouse men/man")
        {'mice': 'mouse', 'men': 'man'}
    """
    return dict(pair.split("/") for pair in text.split())


def phrases_of(text: str) -> frozenset[str]:
    """Return the phrases of a text, written with commas between.

    Example:
        >>> sorted(phrases_of("hot dog, bow tie"))
        ['bow tie', 'hot dog']
    """
    return frozenset(phrase.strip() for phrase in text.split(","))


# --- Words that are never names of things ---------------------------------------------------------------------------

DETERMINERS = words_of(
    "a an the this that these those some any no every each either neither both all another such my your "
    "his her its our their whose which what many much few several most more fewer less enough various "
    "certain"
)
PRONOUNS = words_of(
    "i you he she it we they me him them us who whom someone somebody something anyone anybody anything "
    "everyone everybody everything nobody nothing none myself yourself himself herself itself ourselves "
    "themselves there here mine yours hers ours theirs oneself where when why how"
)
NUMBERS = words_of(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand "
    "million zero dozen"
)
PREPOSITIONS = words_of(
    "of in on at by with without from to into onto over under above below beneath underneath beside "
    "besides between among amongst behind before after through across along around about against near "
    "inside outside toward towards up down off out upon within beyond during for as per via throughout "
    "past opposite amid atop until since despite except like than next alongside"
)
CONJUNCTIONS = words_of("and or but nor so if because while whereas although though yet then & plus")
AUXILIARIES = words_of(
    "is are was were be been being am has have had having do does did doing done can could will would "
    "shall should may might must cannot s t re ve ll d m isn aren wasn weren hasn haven hadn doesn don "
    "didn can't won wouldn shouldn couldn ain mustn needn ca wo sha n't not never"
)
ADVERBS = words_of(
    "very too also just only even still again already always often ever never soon now then well quite "
    "rather almost together apart away back forward outdoors indoors outside inside upside side exactly "
    "there here not really usually currently else instead maybe perhaps about nearby ahead so least most"
)
FUNCTION_WORDS = DETERMINERS | PRONOUNS | PREPOSITIONS | CONJUNCTIONS | AUXILIARIES | NUMBERS
"""Words with which no name of several words begins or ends."""

INSIDE_NAMES = words_of("of in the on and de la at to for o up a")
"""Function words that may stand inside a name ("bird of prey", "jack in the box")."""

NAMES_WITH_AND = phrases_of(
    "bed and breakfast, hide and seek, track and field, rock and roll, lost and found, salt and pepper shaker, "
    "mac and cheese, macaroni and cheese, hammer and sickle, drag and drop"
)
"""Of the names with "and" those that are one thing; in others, both sides are things of their own."""

INITIALS = words_of(
    "tv usa us uk eu uae ussr nyc dvd vcr cd suv rv ufo atm bbq pc led lcd gps dj mp id dna nba nfl mlb nhl bmw bbc "
    "cnn mri"
)
"""Abbreviations that may be written letter by letter; of others ("a m") the letters are words or numbers' units."""

# --- Stop concepts --------------------------------------------------------------------------------------------------

EMPTY_NOUNS = words_of(
    "thing something one item stuff someone way lot bit rest other half kind type sort brand color "
    "colour shape size material name number amount time part use reason purpose case fact sense while "
    "variety matter anything being everyone everything nothing"
)
"""Nouns that name no thing: what is left, or is asked for."""

AMOUNTS = words_of(
    "group bunch pair couple lot piece row set series number variety collection line bit dozen majority "
    "handful plenty array assortment selection part half amount kind type sort hundred thousand ton "
    "load batch range cluster rest quarter third trio most"
)
"""Stop concepts before "of": what follows them is meant."""

PICTURES = words_of(
    "picture image photo photograph photography scene view shot pic snapshot close-up closeup"
)
HANGING = words_of("hang hangs hanging hung frame framed frames wall walls above over")
"""What stands near a picture that is itself in the picture."""

PLACES = words_of(
    "top bottom front back side left right middle center centre corner edge background foreground "
    "distance end inside outside north south east west position direction place spot area location"
)
"""Places in a picture: stop concepts unless they are owned or described ("its back", "a red top")."""

NOT_DENYING = words_of("more fewer less longer doubt one other matter")
"""After these, "no" denies nothing that follows."""

# --- Things that are not named by plain nouns ------------------------------------------------------------------------

COLOURS = words_of(
    "red blue green yellow orange purple pink brown black white gray grey gold silver beige tan "
    "turquoise maroon navy teal violet magenta crimson cyan lavender khaki indigo scarlet"
)
MATERIALS = words_of(
    "wood metal plastic glass brick stone concrete leather steel paper marble straw rubber cotton denim "
    "wool silk linen iron copper bronze brass aluminum aluminium tin cardboard clay ceramic porcelain "
    "granite velvet lace fur wicker bamboo cement adobe tile foam nylon satin felt cloth fabric chrome "
    "wire canvas suede fleece plaster sand snow ice gravel cobblestone mesh"
)
PASTIMES = words_of(
    "surfing skiing snowboarding skateboarding swimming sailing fishing cycling bicycling bowling "
    "boxing camping climbing dancing diving fencing gardening golfing hiking jogging kayaking canoeing "
    "skating sledding snorkeling windsurfing wrestling parasailing paragliding rowing hunting juggling "
    "knitting shopping rafting skydiving kitesurfing wakeboarding weightlifting bodyboarding "
    "parachuting biking motorcycling sunbathing rollerblading horseracing"
)
"""Sports and pastimes: concepts even where they are verbs."""

ING_NOUNS = words_of(
    "building painting drawing ceiling railing clothing string king ring wing spring pudding stuffing "
    "evening morning wedding earring icing frosting topping landing crossing opening meeting awning "
    "bedding parking lighting siding dressing filling sibling duckling gosling thing something anything "
    "nothing being sling swing lightning dumpling writing carving engraving wrapping padding seating "
    "flooring roofing wiring plumbing paving fitting shilling herring starling darling sterling rigging "
    "piping molding moulding covering coating tubing steering helping serving braiding piercing "
    "stocking legging offering packing gathering viking inning outing lining cooking baking housing"
)
"""Nouns in -ing that name things, which a word alone shows."""

# --- Plurals --------------------------------------------------------------------------------------------------------

PLURAL_ONLY = words_of(
    "clothes jeans pants shorts trousers scissors pajamas pyjamas tights overalls suspenders sunglasses "
    "eyeglasses spectacles goggles binoculars pliers tongs tweezers headquarters barracks crossroads "
    "surroundings belongings thanks groceries woods fries molasses billiards oats leggings briefs "
    "boxers khakis slacks dungarees outskirts premises shears clippers knickers panties"
)
"""Plurals with a meaning of their own, or without a singular."""

SINGULAR_IN_S = words_of(
    "rhinoceros thermos news gas lens canvas bus christmas atlas pancreas iris cosmos chaos swiss series species chess "
    "tennis mathematics physics gymnastics aerobics athletics politics electronics economics ethics "
    "bass bias alias pus genius cactus octopus walrus hippopotamus campus virus circus crocus hibiscus "
    "citrus asparagus papyrus platypus minibus trolleybus omnibus bonus chorus census focus fungus "
    "lotus nucleus status sinus stimulus mantis oasis axis basis crisis pelvis penis trellis debris "
    "chassis clematis metropolis dais marquis cannabis texas paris kansas hummus mucus venus bliss "
    "trousers across gallus eucalyptus abacus ficus narcissus us this his yes as is was has does plus "
    "thus always perhaps various less unless towards besides glass grass dress class cross boss mess "
    "press moss floss mass pass brass lass harness mattress fortress waitress actress princess fitness "
    "business witness wilderness darkness happiness compass hourglass eyeglass cutlass wineglass "
    "windlass sunglass hostess goddess seamstress lioness tigress cypress watercress express process "
    "access success address recess abyss albatross lacrosse"
)

INVARIANT = words_of(
    "sheep deer fish moose bison salmon trout squid shrimp aircraft spacecraft hovercraft swine elk "
    "tuna cod offspring series species buffalo"
)
"""Nouns whose plural may look like the singular."""

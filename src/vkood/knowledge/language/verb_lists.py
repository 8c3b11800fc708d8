"""Verbs and adjectives that look like names of things: for guessing a word's kind where there is no parser."""

from __future__ import annotations

from vkood.knowledge.language.word_lists import words_of

VERBS = words_of(
    "hold ride stand sit walk run look play watch eat fly jump catch throw hit swing jump climb drive "
    "cut cook drink bite carry pull push kick wait talk smile laugh cry sleep rest lie lay lean hang "
    "hide turn move stop start show face feature contain display perch park cross enter leave pass land "
    "sail row paddle swim dive surf skate ski graze drag feed pet touch reach point wave hug kiss cover "
    "fill top decorate dress wear fix paint draw write read type use help work travel race chase roll "
    "slide slip float drop fall rise grow open close wash dry brush clean comb blow burn shine glow "
    "sing dance march gather line approach head go come get make take put keep say want need like see "
    "know think seem appear live serve share slice spread pour mix stir bake fry grill boil peel pick "
    "plant dig build break tear fold wrap tie pose perform practice prepare pitch bat field slam serve "
    "swipe bounce balance bend kneel crouch squat stretch lift lower raise load tow tug haul guard "
    "stare gaze peek glance peer sniff lick chew nibble graze roam wander stroll hike jog skip hop leap "
    "trot gallop charge attack fight spray splash soak shake sweep mow rake shovel plow saw check cheer "
    "greet visit attend celebrate enjoy snap shoot film step circle surround border grip grab clutch "
    "stack pile sort store mount attach connect ship sell buy shop pay end rest set let name live "
    "belong mean look match block fence gut hatch heat ice jam lap nest part piece pop pump rock rope "
    "rust scrape scratch screw sign ski slope spin splash sport squeeze stick sting stream string "
    "strike strip suit swarm switch tape taste test tip toast track trail trap trick trim tunnel twist "
    "unload vacuum warm weigh whip wind wink yawn answer ask call cause cost count"
)
"""Base forms of what is done in pictures; many are nouns too."""

VERB_FORMS = words_of(
    "sat stood ran ate flew caught threw hit cut held rode drove hung lay lain fell rose grew made took "
    "put kept said saw seen known thought left built broke broken torn worn wore tied spread shown "
    "showed written wrote drawn drew given gave got gotten gone went came brought bought sold fed led "
    "swum swam swung slid slept sung sang spun stuck struck swept taken thrown eaten ridden driven "
    "flown fallen grown blown frozen hidden bitten beaten woven shaven lit sunk wearing is eat eats "
    "carry carries wear wears go goes come comes get gets make makes take takes put puts say says want "
    "wants know knows think thinks see sees sit sits seem seems appear appears contain contains include "
    "includes belong belongs stand stands live depict depicts describe describes happen happens "
    "become becomes throw throws hold holds see eat sleep sleeps sits "
    "fly kneel kneels lean leans swim swims enjoy enjoys prepare prepares sell "
    "sells buy buys keep keeps feed feeds grow grows"
)
"""Forms that are hardly ever nouns in a caption."""

ADJECTIVES = words_of(
    "little young old small large big long short tall wide narrow high low empty full open closed dark "
    "light bright wild dead left right same different other first second third last next new good bad "
    "best better ready real whole main single double close near far round square flat deep cold hot "
    "warm cool wet dry dirty clean fresh ripe raw rare sweet sour thick thin heavy soft hard rough "
    "smooth sharp dull blond blonde brunette male female front back top bottom upper lower middle fast "
    "slow quick quiet loud calm busy crowded happy sad angry tired asleep awake alone alive plain plaid "
    "fancy modern ancient antique vintage public private electric electronic digital human wooden "
    "woolen golden grassy sandy snowy rocky muddy sunny cloudy rainy foggy misty icy furry fluffy hairy "
    "curly bald bare leafy rusty dusty shiny striped spotted dotted checkered colorful colourful "
    "multicolored beautiful pretty cute lovely nice cozy elegant huge giant tiny enormous massive "
    "tropical military adult elderly overweight fat skinny slim pregnant topless shirtless barefoot "
    "domestic stainless various several many such able upset past present possible common general "
    "special particular likely necessary available visible similar famous popular important free"
)
"""Adjectives, some of which a dictionary also has as nouns."""

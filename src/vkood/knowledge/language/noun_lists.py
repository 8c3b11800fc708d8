"""Nouns that wording treats apart: masses without an article, names, single things, places with "on" or "at"."""

from __future__ import annotations

from vkood.knowledge.language.word_lists import pairs_of, words_of

MASSES = words_of(
    "water milk bread rice food meat beef pork ham bacon fruit cheese butter cream sugar salt flour "
    "dough pasta spaghetti macaroni sauce ketchup mustard mayonnaise vinegar oil honey jam jelly syrup "
    "chocolate coffee tea juice beer wine soda lemonade cider champagne whiskey alcohol broth cocoa "
    "corn wheat barley rye lettuce spinach cabbage celery garlic parsley basil mint cinnamon ginger "
    "broccoli cauliflower asparagus seaweed popcorn cereal granola oatmeal porridge yogurt yoghurt "
    "pastry icing frosting candy toast tofu salami fat gravy salsa guacamole hummus caramel vanilla "
    "fudge dressing relish pesto saffron paprika oregano thyme rosemary coriander cilantro dill rhubarb "
    "kale sushi caviar tuna salmon cod venison mutton veal dessert breakfast lunch dinner supper brunch "
    "seafood poultry yeast batter gelatin sand snow grass wood metal plastic steel iron gold silver "
    "copper bronze brass aluminum aluminium tin paper cardboard leather cotton wool silk linen denim "
    "nylon velvet lace fur felt cloth fabric canvas yarn wax rubber clay ceramic porcelain concrete "
    "cement asphalt tar plaster marble granite limestone gravel dirt mud soil dust ash ice frost fog "
    "mist smoke steam air oxygen gas gasoline petrol fuel electricity sunlight sunshine moonlight rain "
    "hail sleet thunder lightning weather foam soap shampoo toothpaste perfume makeup lotion sunscreen "
    "paint ink glue tape chalk charcoal coal varnish bamboo wicker ivory enamel amber jade straw hay "
    "polyester fleece suede satin tweed corduroy lycra spandex plywood timber lumber sawdust driftwood "
    "firewood cork rust compost pollen nectar venom lava magma quartz fiberglass styrofoam vinyl "
    "acrylic titanium chrome nickel zinc carbon hydrogen helium nitrogen protein starch fibre fiber "
    "caffeine netting mesh insulation stuffing padding bedding thread foil blood sweat saliva "
    "hair skin flesh dung manure moss foliage vegetation ivy plumage wildlife livestock money cash "
    "jewelry jewellery luggage baggage clothing footwear underwear equipment machinery hardware "
    "software cutlery silverware crockery tableware glassware pottery stationery mail traffic transport "
    "transportation trash garbage rubbish litter waste scenery graffiti confetti music art poetry "
    "literature news information knowledge advice evidence help work homework housework fun love hate "
    "anger joy fear hope luck peace strength courage beauty truth wisdom intelligence health pain "
    "hunger thirst sleep rest exercise entertainment education communication protection pleasure "
    "comfort safety danger research progress time space energy gravity motion growth freedom justice "
    "wealth poverty pollution nature heat light nonsense darkness shade noise silence tennis soccer football "
    "baseball basketball hockey golf volleyball badminton cricket rugby chess poker softball lacrosse "
    "polo judo karate yoga gymnastics athletics mathematics physics chemistry biology history geography "
    "ballet jazz opera spring summer autumn winter halloween christmas easter thanksgiving nighttime "
    "daytime armor armour poesy herpes applause"
)
"""Nouns without "a" and without a plural, as captions and facts use them."""

MASSES_OF_KINDS = words_of(
    "fruit dessert cheese wine beer tea salt alcohol oil sauce bread fabric cloth metal wood meat spice juice "
    "grass light noise sugar gas fuel protein paint glue dye perfume soap lotion plastic medicine whiskey "
    "cider soda rubber resin fiber fibre cereal pastry cocktail broth dressing moss weed yarn ink clay "
    "exercise stone rock seafood condiment acid"
)
"""Masses of which something may be one: "an apple is a fruit", "chintz is a fabric"."""

MATERIALS_TOO = words_of(
    "glass brick stone rock tile wire rope lead iron feather fabric chicken turkey lamb fish shrimp "
    "bone crystal cake pepper string"
)
"""Masses where something is made of them, though otherwise one can count them; not all that one can make things of."""

UNIQUE = words_of(
    "sun moon sky sea ocean air ground earth world universe internet countryside future past "
    "environment equator"
)
"""Things of which there is one: they take "the"."""

NO_ARTICLE_PLACES = {
    "home": "at home",
    "school": "at school",
    "church": "in church",
    "work": "at work",
    "bed": "in bed",
    "space": "in space",
    "arctic": "in the Arctic",
    "outside": "outside",
    "outdoors": "outdoors",
    "indoors": "indoors",
    "water": "in water",
    "town": "in town",
    "jail": "in jail",
    "prison": "in prison",
    "college": "at college",
    "heaven": "in heaven",
    "sea": "in the sea",
    "tropics": "in the tropics",
    "wild": "in the wild",
    "halloween": "at Halloween",
    "christmas": "at Christmas",
    "everywhere": "everywhere",
}

ON_PLACES = words_of(
    "t-shirt shirt jacket sweater lap "
    "table desk shelf shelves street road roof floor wall beach farm stage path trail plate counter countertop "
    "stove tray ground lawn grass playground court pad window ship boat train bus plane airplane sidewalk "
    "pavement track tracks highway bridge horse hand finger wrist head neck foot leg face arm shoulder "
    "back bench chair couch sofa carpet rug mat ceiling hill hillside mountain slope coast island pier "
    "platform runway golf course bank board leaf flower branch saucer dice flag ice hook keyring "
    "bicycle motorcycle menu page bookshelf cliff mantelpiece windowsill balcony porch deck barbecue "
    "grill pizza sandwich cake earth moon planet web door shore dock dial pole ranch campus cutting "
    "plain plains savanna"
)
"""A place whose last word is here is one that things are on."""

AT_PLACES = words_of(
    "wedding party picnic concert meeting game match circus zoo market station airport stadium "
    "restaurant gym hotel campground harbour harbor crossing intersection rink museum "
    "funeral site carnival fair parade festival bakery supermarket store "
    "shop theater theatre cinema university pharmacy amusement "
    "rodeo race birthday ceremony alley end corner "
)
"""A place whose last word is here is one that things are at."""

NAMES = words_of(
    "africa america asia europe australia antarctica england britain france germany italy spain "
    "portugal greece ireland scotland wales russia china japan india korea mexico canada brazil egypt "
    "israel sweden norway denmark finland iceland poland austria switzerland hungary "
    "holland belgium london paris rome berlin tokyo york chicago boston california texas florida hawaii "
    "alaska washington god jesus buddha shakespeare santa halloween christmas easter thanksgiving "
    "monday tuesday wednesday thursday friday saturday sunday january february april june july august "
    "september october november december english french spanish german italian chinese japanese russian "
    "latin greek dutch american european african asian mars jupiter saturn uranus neptune "
    "pluto"
)
"""Names of places, people, days and languages: a capital letter and no article."""

CAPITALISED_ONLY = words_of(
    "english french spanish german italian chinese japanese russian latin greek dutch american european "
    "african asian halloween christmas easter thanksgiving monday tuesday wednesday thursday friday "
    "saturday sunday mexican victorian"
)
"""Words with a capital letter wherever they stand; as part of a name they do not end its article."""

FIXED = words_of("tv dna usa uk cd dvd x-ray t-shirt suv atm bbq pc id led gps usb")
"""Short forms that are written in capital letters."""

BASE_VERBS = words_of(
    "jog whisper shout mumble "
    "accept achieve act add admire adjust advertise age amuse apply arrest arrive ask attach attack "
    "attend attract avoid bake bark bathe be beat become beg begin believe belong bend bite bleed blink "
    "blow boil bore borrow bounce break breathe breed bring build burn bury buy buzz calculate call "
    "calm camp carry carve cast catch cause celebrate change chase chat cheat cheer chew chop clap "
    "clean climb cling close collect comb come communicate compete complete compose connect consume "
    "contain control cook cool copy cough count cover crack crash crawl create croak cross crow cry "
    "cure cut dance decide decorate defend deliver destroy dial die dig digest digitize dine direct "
    "discover discuss display dissolve dive divide do drain draw dream drink drip drive drop drown dry "
    "earn eat educate eject enjoy enter entertain escape examine exchange exist expand explain explode "
    "explore express extinguish fail fall fasten feed feel fetch fight fill find finish fit fix flap "
    "float flow fly fold follow forget freeze fry fulfill gain gallop gamble gather get give glow glue "
    "go grab grate graze grind grip groom grow growl guide hang happen harvest hatch have heal hear "
    "help hibernate hit hold hop hover howl hug hunt hurt identify ignite illuminate impress improve "
    "increase inflate inform injure insulate invent invest join jump keep kick kill kiss kneel knit "
    "know laugh lay lead leak lean leap learn leave lend let lick lie lift listen live locate lose "
    "lubricate make march marry measure meet melt meow mix moo move mow neigh nest open operate "
    "organize overheat own paint pay peck peel perch perform pet pick pinch play please plow pollinate "
    "pour praise pray prepare press pretend prevent print produce protect prove provide pull pump "
    "punish purchase purr push put quack race read receive record reduce reflect relax release remember "
    "remove repair represent rescue rest retrieve ride ring ripen rise roar roast roll rotate row run "
    "rust sail satisfy save say scare scoop score scratch scream see seek sell send separate serve set "
    "sew shake share sharpen shave shed shine shoot shout show sift sing sink sit skate sleep slice "
    "slide slither smell smile smoke sneeze snore soak soar solve speak spend spin spit spray spread "
    "squeak squeeze stand stare start stay steal steer stick sting stir stop store stretch strike study "
    "suck sunbathe support survive swallow sweat sweep sweeten swell swim swing take talk taste teach tear "
    "tell test thank think throw tick tickle tie tighten toast toss touch tow train transport travel "
    "treat trot turn tweet twist type understand unlock use visit wag wait wake walk wander wash watch "
    "water wave wear weave weigh win wipe wonder work worship wrap write yawn yell zoom"
)
"""Base forms of verbs with which a phrase may begin; those that are more often nouns are below."""

MOSTLY_NOUNS = words_of(
    "comb peel plow stop "
    "act age bark bath blow break call camp cast change chat control cook cool copy cough count cover "
    "crack crash cross crow cure cut dance display draw dream drink drip drive drop dry escape exchange "
    "express fall feed fight fit fix float flow fly fold freeze glue glow grip groom guide harvest help "
    "hop hug hunt jump kick kiss knit lead leak leap lick lift march measure mix move nest paint pet "
    "pick pinch play press print produce pump purchase race record release repair rescue rest ride ring "
    "rise roar roast roll row run rust sail save score scratch scream set shake share shed shoot show "
    "sink skate sleep slice slide smell smile smoke spin spray spread squeeze stand start stick sting "
    "store stretch strike study support sweat sweep swell swim swing talk taste tear test thank tick "
    "tie toast touch tow train transport travel treat turn twist type use visit wait wake walk wash "
    "watch water wave weave win wonder work wrap"
)
"""Verbs that, alone, are as often the name of a thing."""

IRREGULAR_PARTICIPLES = pairs_of(
    "eat/eaten take/taken make/made build/built buy/bought bring/brought break/broken bite/bitten "
    "blow/blown catch/caught choose/chosen cut/cut draw/drawn drink/drunk drive/driven feed/fed "
    "fight/fought find/found fly/flown fold/folded forget/forgotten freeze/frozen get/got give/given "
    "grind/ground grow/grown hang/hung have/had hear/heard hide/hidden hit/hit hold/held keep/kept "
    "know/known lay/laid lead/led leave/left lend/lent let/let light/lit lose/lost meet/met pay/paid "
    "put/put read/read ride/ridden ring/rung say/said see/seen sell/sold send/sent set/set sew/sewn "
    "shake/shaken shoot/shot show/shown shut/shut sing/sung sink/sunk speak/spoken spend/spent "
    "spin/spun split/split spread/spread steal/stolen stick/stuck sting/stung strike/struck sweep/swept "
    "swing/swung teach/taught tear/torn tell/told think/thought throw/thrown understand/understood "
    "wake/woken wear/worn weave/woven win/won wind/wound write/written do/done go/gone run/run "
    "beat/beaten begin/begun bend/bent burn/burnt dig/dug"
)

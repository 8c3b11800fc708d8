"""Facts as sentences: every relation of ConceptNet, with articles, plurals, masses, names and verbs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vkood.knowledge import RELATIONS, Fact

TABLE = """
dog IsA pet                                 | a dog is a pet.
milk IsA liquid                             | milk is a liquid.
scissors IsA tool                           | scissors are tools.
jeans IsA clothing                          | jeans are clothing.
surfing IsA water sport                     | surfing is a water sport.
paris IsA city                              | Paris is a city.
sun IsA star                                | the sun is a star.
hour IsA unit of time                       | an hour is a unit of time.
unicorn IsA imaginary animal                | a unicorn is an imaginary animal.
red IsA colour                              | red is a colour.
x-ray IsA picture                           | an X-ray is a picture.
wheel PartOf bicycle                        | a wheel is part of a bicycle.
leaves PartOf tree                          | leaves are part of a tree.
crust PartOf bread                          | a crust is part of bread.
bicycle HasA two wheels                     | a bicycle has two wheels.
trousers HasA zipper                        | trousers have a zipper.
umbrella HasA handle                        | an umbrella has a handle.
car HasA an engine                          | a car has an engine.
umbrella UsedFor keep dry                   | an umbrella is used for keeping dry.
umbrella UsedFor keeping dry                | an umbrella is used for keeping dry.
knife UsedFor cut                           | a knife is used for cutting.
scissors UsedFor cut paper                  | scissors are used for cutting paper.
park UsedFor picnic                         | a park is used for a picnic.
racket UsedFor play tennis                  | a racket is used for playing tennis.
pen UsedFor to write                        | a pen is used for writing.
bench UsedFor sit and rest                  | a bench is used for sitting and resting.
bird CapableOf fly                          | a bird can fly.
dog CapableOf barks at cats                 | a dog can bark at cats.
scissors CapableOf cutting paper            | scissors can cut paper.
boat CapableOf drift                        | a boat can drift.
plate AtLocation table                      | a plate can be found on a table.
plates AtLocation kitchen                   | plates can be found in a kitchen.
cloud AtLocation sky                        | a cloud can be found in the sky.
bride AtLocation wedding                    | a bride can be found at a wedding.
bed AtLocation home                         | a bed can be found at home.
tiger AtLocation india                      | a tiger can be found in India.
sand AtLocation beach                       | sand can be found on a beach.
book AtLocation on a shelf                  | a book can be found on a shelf.
lemon HasProperty yellow                    | a lemon is yellow.
scissors HasProperty sharp                  | scissors are sharp.
water HasProperty wet                       | water is wet.
window MadeOf glass                         | a window is made of glass.
omelette MadeOf egg                         | an omelette is made of eggs.
salad MadeOf fresh lettuce                  | a salad is made of fresh lettuce.
salt MadeOf sodium                          | salt is made of sodium.
pizza ReceivesAction eaten                  | a pizza can be eaten.
letter ReceivesAction write                 | a letter can be written.
clothes ReceivesAction be worn              | clothes can be worn.
dog Desires bone                            | a dog wants a bone.
cat Desires eat fish                        | a cat wants to eat fish.
people Desires love                         | people want love.
cake CreatedBy baker                        | a cake is created by a baker.
bread CreatedBy bake dough                  | bread is created by baking dough.
rain Causes flood                           | rain causes a flood.
eat too much Causes get fat                 | eating too much causes getting fat.
hunger CausesDesire eat                     | hunger makes people want to eat.
heat CausesDesire cold drink                | heat makes people want a cold drink.
cook dinner HasSubevent wash vegetables     | cooking dinner involves washing vegetables.
eat HasFirstSubevent open your mouth        | eating begins with opening your mouth.
eat dinner HasLastSubevent wash dishes      | eating dinner ends with washing dishes.
drive a car HasPrerequisite get a licence   | driving a car requires getting a licence.
exercise MotivatedByGoal lose weight        | the goal of exercise is losing weight.
go to bed MotivatedByGoal sleep             | the goal of going to bed is sleep.
sleep ObstructedBy noise                    | sleep can be hindered by noise.
drive ObstructedBy traffic jam              | driving can be hindered by a traffic jam.
jog MannerOf run                            | jogging is a way of running.
whisper MannerOf speak                      | whispering is a way of speaking.
heart SymbolOf love                         | a heart is a symbol of love.
horseshoe SymbolOf luck                     | a horseshoe is a symbol of luck.
triangle DefinedAs shape with three sides   | a triangle is defined as a shape with three sides.
chair LocatedNear table                     | a chair can be found near a table.
sheep DistinctFrom goat                     | a sheep is different from a goat.
mule SimilarTo donkey                       | a mule is similar to a donkey.
broccoli SimilarTo small tree               | broccoli is similar to a small tree.
sofa Synonym couch                          | "sofa" means the same as "couch".
hot Antonym cold                            | "hot" is the opposite of "cold".
dog RelatedTo bone                          | "dog" is related to "bone".
dogs FormOf dog                             | "dogs" is a form of "dog".
painter DerivedFrom paint                   | "painter" is derived from "paint".
piano EtymologicallyDerivedFrom pianoforte  | "piano" comes from the word "pianoforte".
mother EtymologicallyRelatedTo mutter       | "mother" has the same origin as "mutter".
pitch HasContext baseball                   | "pitch" is a word used in the context of baseball.
furniture MadeOf wood                       | furniture is made of wood.
laptop UsedFor writing                      | a laptop is used for writing.
pen UsedFor drawing                         | a pen is used for drawing.
ladder UsedFor climbing                     | a ladder is used for climbing.
water AtLocation river                      | water can be found in a river.
blinds AtLocation window                    | blinds can be found on a window.
stethoscope AtLocation neck of a doctor     | a stethoscope can be found around the neck of a doctor.
bird AtLocation bird feeder                 | a bird can be found at a bird feeder.
tank AtLocation battlefield                 | a tank can be found on a battlefield.
base AtLocation softball field              | a base can be found on a softball field.
cow AtLocation field                        | a cow can be found in a field.
dice AtLocation board game                  | dice can be found in a board game.
spectator AtLocation football game          | a spectator can be found at a football game.
umbrella AtLocation hand                    | an umbrella can be found in a hand.
reindeer AtLocation tundra                  | a reindeer can be found on the tundra.
doctor CapableOf prescribe medicine         | a doctor can prescribe medicine.
bullet CapableOf pierce                     | a bullet can pierce.
kangaroo CapableOf jump far                 | a kangaroo can jump far.
barrel MadeOf oak                           | a barrel is made of oak.
rubber boot MadeOf pvc                      | a rubber boot is made of PVC.
beagle HasProperty british                  | a beagle is British.
hockey stick HasProperty l-shaped           | a hockey stick is L-shaped.
wine bottle HasA cork                       | a wine bottle has a cork.
cardigan HasA open front                    | a cardigan has an open front.
parachute UsedFor landing safely            | a parachute is used for landing safely.
sheet UsedFor dressing as a ghost           | a sheet is used for dressing as a ghost.
sword UsedFor fencing                       | a sword is used for fencing.
iron CapableOf scorch a shirt               | an iron can scorch a shirt.
iron IsA appliance                          | an iron is an appliance.
iron IsA metal                              | iron is a metal.
baseball HasA seams                         | a baseball has seams.
landing gear HasA wheels                    | landing gear has wheels.
black and tan coonhound HasA wet nose       | a black and tan coonhound has a wet nose.
jack russell terrier HasProperty small      | a Jack Russell terrier is small.
chihuahua CapableOf bark                    | a Chihuahua can bark.
french fries HasProperty salty              | French fries are salty.
wind CapableOf blow leaves                  | the wind can blow leaves.
apple IsA fruit                             | an apple is a fruit.
lime IsA citrus fruit                       | a lime is a citrus fruit.
cd HasProperty flat                         | a CD is flat.
iron IsA metal                              | iron is a metal.
star fruit IsA edible fruit                 | star fruit is an edible fruit.
skiing HasA traversal                       | skiing involves a traversal.
photographer CapableOf take pictures        | a photographer can take pictures.
back PartOf chair                           | a back is part of a chair.
vicente lopez IsA city                      | Vicente Lopez is a city.
carmichael IsA songwriter                   | Carmichael is a songwriter.
hull IsA city                               | Hull is a city.
hull PartOf ship                            | a hull is part of a ship.
elbe IsA river                              | the Elbe is a river.
antalya PartOf turkey                       | Antalya is part of Turkey.
turkey IsA bird                             | a turkey is a bird.
brazil HasA amazon                          | Brazil has the Amazon.
france HasA rhine                           | France has the Rhine.
canal HasA bridges                          | a canal has bridges.
king HasA crown                             | a king has a crown.
odocoileus hemionus IsA deer                | Odocoileus hemionus is a deer.
bahamas PartOf caribbean                    | the Bahamas is part of the Caribbean.
capital of tunisia PartOf tunisia           | the capital of Tunisia is part of Tunisia.
us IsA country                              | the US is a country.
us air force IsA agency                     | the US Air Force is an agency.
father's day IsA day                        | Father's Day is a day.
katharevusa IsA modern greek                | Katharevusa is Modern Greek.
airedale IsA terrier                        | an Airedale is a terrier.
barratry IsA fraud                          | barratry is a kind of fraud.
distrust IsA doubt                          | distrust is doubt.
cosmetic dentistry IsA dentistry            | cosmetic dentistry is dentistry.
pathogen IsA microorganism                  | a pathogen is a microorganism.
cooling system HasA radiator hose           | a cooling system has a radiator hose.
bone china IsA china                        | bone china is china.
hockey HasProperty popular in canada        | hockey is popular in Canada.
sushi HasProperty popular in japan          | sushi is popular in Japan.
stocking AtLocation fireplace at christmas  | a stocking can be found in a fireplace at Christmas.
sphinx AtLocation ancient egypt             | a sphinx can be found in ancient Egypt.
dog UsedFor herding sheep                   | a dog is used for herding sheep.
church UsedFor sing and pray together       | a church is used for singing and praying together.
cloud UsedFor bring storm                   | a cloud is used for bringing storm.
jump at chance IsA idiom                    | jumping at chance is an idiom.
sandal HasProperty open                     | a sandal is open.
bull HasA ring in its nose                  | a bull has a ring in its nose.
truck HasA open cargo bed                   | a truck has an open cargo bed.
wasp HasA sting at the end of its body      | a wasp has a sting at the end of its body.
iguana HasA spines along its back           | an iguana has spines along its back.
pedestrian CapableOf cross the street       | a pedestrian can cross the street.
kimono AtLocation japan                     | a kimono can be found in Japan.
engine AtLocation front of an airplane      | an engine can be found at the front of an airplane.
icicle AtLocation edge of a roof            | an icicle can be found on the edge of a roof.
horizon AtLocation where sky and earth meet | a horizon can be found where sky and earth meet.
mole AtLocation underground                 | a mole can be found underground.
zeus IsA greek god                          | Zeus is a Greek god.
cloud PartOf stratosphere                   | a cloud is part of the stratosphere.
nard IsA cream                              | nard is a kind of cream.
edda PartOf taro                            | an edda is part of a taro.
marquis de sade IsA writer                  | the Marquis de Sade is a writer.
liver HasA kupffer's cell                   | a liver has a Kupffer's cell.
hercules'-clubs IsA prickly ash             | Hercules'-clubs are prickly ashes.
gatling gun IsA machine gun                 | a Gatling gun is a machine gun.
complete fracture IsA fracture              | a complete fracture is a fracture.
hit man IsA murderer                        | a hit man is a murderer.
shirt MadeOf shirting                       | a shirt is made of shirting.
twenty percent IsA common fraction          | twenty percent is a common fraction.
roof of the mouth PartOf mouth              | the roof of the mouth is part of a mouth.
swing AtLocation playground                 | a swing can be found on a playground.
swing IsA toy                               | a swing is a toy.
gunnery IsA weaponry                        | gunnery is weaponry.
pa IsA communication system                 | a PA is a communication system.
lucifer IsA spiritual being                 | Lucifer is a spiritual being.
capital of wisconsin PartOf wisconsin       | the capital of Wisconsin is part of Wisconsin.
wisconsin IsA river                         | the Wisconsin is a river.
bath PartOf homer                           | a bath is part of a homer.
brooklyn bridge PartOf new york             | the Brooklyn Bridge is part of New York.
al alamayn PartOf world war ii              | Al Alamayn is part of World War II.
hebrides PartOf scotland                    | the Hebrides are part of Scotland.
british isles IsA island                    | the British Isles are islands.
black hills IsA mountain                    | the Black Hills are mountains.
kneel IsA motion                            | a kneel is a kind of motion.
screening IsA display                       | screening is a kind of display.
oak IsA wood                                | oak is a wood.
cycle per second PartOf kilohertz           | a cycle per second is part of a kilohertz.
1st earl attlee IsA statesman               | the 1st Earl Attlee is a statesman.
man of the world IsA adult                  | a man of the world is an adult.
greenland sea IsA sea                       | the Greenland Sea is a sea.
usb stick HasProperty small                 | a USB stick is small.
polar bear AtLocation arctic                | a polar bear can be found in the Arctic.
middle ages PartOf history                  | the Middle Ages are part of history.
lisp compiler IsA compiler                  | a LISP compiler is a compiler.
unary operation IsA operation               | a unary operation is an operation.
latent diabetes IsA diabetes mellitus       | latent diabetes is diabetes mellitus.
clostridium IsA eubacteria                  | a clostridium is a kind of eubacteria.
graves' disease IsA hyperthyroidism         | Graves' disease is a kind of hyperthyroidism.
pall HasA eyelet                            | a pall has an eyelet.
rigor mortis IsA physical condition         | rigor mortis is a kind of physical condition.
cashmere IsA fabric                         | cashmere is a kind of fabric.
mid-seventies IsA time of life              | the mid-seventies are a time of life.
leopard IsA animal                          | a leopard is an animal.
page PartOf book                            | a page is part of a book.
sleeping beauty IsA sleeper                 | a sleeping beauty is a sleeper.
phleum pratense HasA timothy                | Phleum pratense has timothy.
pons IsA neural structure                   | a pons is a neural structure.
triazolam IsA benzodiazepine                | triazolam is a kind of benzodiazepine.
sofa Synonym tianjin                        | "sofa" means the same as "Tianjin".
dog ExternalURL http://example.org/dog      | "dog" is described at http://example.org/dog.
penguin NotCapableOf fly                    | a penguin cannot fly.
scissors NotCapableOf cutting glass         | scissors cannot cut glass.
boat NotCapableOf drift                     | a boat cannot drift.
machine NotCapableOf happiness              | a machine is not capable of happiness.
cats NotCapableOf happiness                 | cats are not capable of happiness.
person NotDesires be ill                    | a person does not want to be ill.
people NotDesires pain                      | people do not want pain.
cat NotDesires bath                         | a cat does not want a bath.
person NotDesires stub their toe            | a person does not want to stub their toe.
person NotDesires hair in their food        | a person does not want hair in their food.
person NotDesires their pet to die          | a person does not want their pet to die.
whale NotIsA fish                           | a whale is not a fish.
scissors NotIsA toy                         | scissors are not toys.
tin foil NotIsA silver                      | tin foil is not silver.
barratry NotIsA fraud                       | barratry is not a kind of fraud.
bottle NotIsA glassware                     | a bottle is not a kind of glassware.
paris NotIsA country                        | Paris is not a country.
wisconsin NotIsA river                      | the Wisconsin is not a river.
oak NotIsA wood                             | oak is not a wood.
black hills NotIsA mountain                 | the Black Hills are not mountains.
spider NotHasA wings                        | a spider does not have wings.
scissors NotHasA handle                     | scissors do not have a handle.
antarctica NotHasA elbe                     | Antarctica does not have the Elbe.
skiing NotHasA ball                         | skiing does not involve a ball.
paper NotHasProperty waterproof             | paper is not waterproof.
shoes NotHasProperty edible                 | shoes are not edible.
vampire NotHasProperty be real              | a vampire is not real.
house NotMadeOf egg                         | a house is not made of eggs.
jeans NotMadeOf leather                     | jeans are not made of leather.
you NotHasA wings                           | you do not have wings.
i HasProperty happy                         | I am happy.
i IsA chemical element                      | I is a chemical element.
they CapableOf happiness                    | they are capable of happiness.
apple HasA same shape                       | an apple has the same shape.
"""


def rows():
    for line in TABLE.strip().splitlines():
        fact, sentence = (part.strip() for part in line.split("|"))
        relation = next(word for word in fact.split() if word in RELATIONS)
        subject, object_ = fact.split(f" {relation} ")
        yield pytest.param(Fact(subject, relation, object_), sentence, id=fact)


@pytest.mark.parametrize(("fact", "sentence"), list(rows()))
def test_sentence(fact, sentence):
    assert fact.sentence == sentence


def test_the_table_has_every_relation():
    assert {row.values[0].relation for row in rows()} == set(RELATIONS)


CONCEPTS = st.sampled_from(
    [
        "dog",
        "eat",
        "water",
        "scissors",
        "keep dry",
        "a",
        "of",
        "ing",
        "sing",
        "s",
        "x",
        "8 ball",
        "日本",
        "😀",
        "to",
        "the sun",
        "and",
    ]
) | st.text("abcdefgs ing", min_size=1, max_size=12).map(lambda text: " ".join(text.split()) or "x")


@settings(max_examples=300, deadline=None)
@given(CONCEPTS, st.sampled_from(RELATIONS), CONCEPTS)
def test_any_fact_has_a_sentence(subject, relation, object_):
    sentence = Fact(subject, relation, object_).sentence
    assert sentence.endswith(".") and "  " not in sentence and sentence == sentence.strip()
    assert not sentence.startswith(("a a ", "an a ", "the the "))


@pytest.mark.parametrize(
    ("fact", "sentence"),
    [
        (("bermuda shorts", "IsA", "short pants"), "Bermuda shorts are short pants."),
        (("growing pains", "IsA", "pain"), "growing pains are pain."),
        (("the states", "HasA", "ohio"), "the States have Ohio."),
        (("inside caliper", "IsA", "caliper"), "an inside caliper is a caliper."),
        (("dominican order", "IsA", "order"), "the Dominican order is an order."),
        (("nebn", "IsA", "compass point"), "NEbN is a compass point."),
        (("cape cod canal", "PartOf", "massachusetts"), "the Cape Cod Canal is part of Massachusetts."),
        (("clothespin", "AtLocation", "clothesline"), "a clothespin can be found on a clothesline."),
    ],
)
def test_plurals_names_and_counted_nouns_of_wordnet(fact: tuple[str, str, str], sentence: str) -> None:
    assert Fact(*fact).sentence == sentence

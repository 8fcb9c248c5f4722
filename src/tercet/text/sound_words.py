"""What captions call a sound: AudioSet's display names -> the words that people put into brackets.

A table and how a user changes it. Which sounds are shown, and when, is `sdh.py`'s business.
"""

import functools
from collections.abc import Mapping

from tercet.errors import OptionError
from tercet.text.labels import audioset_labels, label_languages

# Names that say it as captions do need no entry: they are lower-cased up to their first comma or bracket.
_WORDS = {
    "Dog": "dog barking",
    "Bark": "dog barking",
    "Bow-wow": "dog barking",
    "Yip": "dog yelping",
    "Howl": "howling",
    "Whimper (dog)": "dog whimpering",
    "Cat": "cat meowing",
    "Purr": "cat purring",
    "Meow": "cat meowing",
    "Caterwaul": "cat yowling",
    "Hiss": "hissing",
    "Horse": "horse neighing",
    "Neigh, whinny": "horse neighing",
    "Clip-clop": "hooves clopping",
    "Cattle, bovinae": "cow mooing",
    "Moo": "cow mooing",
    "Pig": "pig grunting",
    "Oink": "pig grunting",
    "Goat": "goat bleating",
    "Bleat": "bleating",
    "Sheep": "sheep bleating",
    "Chicken, rooster": "chicken clucking",
    "Cluck": "chicken clucking",
    "Crowing, cock-a-doodle-doo": "rooster crowing",
    "Duck": "duck quacking",
    "Quack": "duck quacking",
    "Goose": "goose honking",
    "Turkey": "turkey gobbling",
    "Gobble": "turkey gobbling",
    "Roar": "roaring",
    "Roaring cats (lions, tigers)": "lion roaring",
    "Bird": "birds chirping",
    "Bird vocalization, bird call, bird song": "birds chirping",
    "Chirp, tweet": "birds chirping",
    "Squawk": "bird squawking",
    "Pigeon, dove": "pigeon cooing",
    "Coo": "pigeon cooing",
    "Crow": "crow cawing",
    "Caw": "crow cawing",
    "Owl": "owl hooting",
    "Hoot": "owl hooting",
    "Bird flight, flapping wings": "wings flapping",
    "Insect": "insects buzzing",
    "Cricket": "crickets chirping",
    "Mosquito": "mosquito buzzing",
    "Fly, housefly": "fly buzzing",
    "Bee, wasp, etc.": "bee buzzing",
    "Frog": "frog croaking",
    "Croak": "frog croaking",
    "Snake": "snake hissing",
    "Shout": "shouting",
    "Yell": "yelling",
    "Bellow": "bellowing",
    "Whoop": "whooping",
    "Babbling": "babbling",
    "Baby laughter": "baby laughing",
    "Giggle": "giggling",
    "Snicker": "snickering",
    "Belly laugh": "laughter",
    "Chuckle, chortle": "chuckling",
    "Crying, sobbing": "crying",
    "Baby cry, infant cry": "baby crying",
    "Whimper": "whimpering",
    "Wail, moan": "wailing",
    "Sigh": "sighs",
    "Choir": "choir singing",
    "Groan": "groans",
    "Grunt": "grunts",
    "Gasp": "gasps",
    "Pant": "panting",
    "Snort": "snorts",
    "Wheeze": "wheezing",
    "Cough": "coughing",
    "Throat clearing": "clears throat",
    "Sneeze": "sneezes",
    "Sniff": "sniffs",
    "Run": "running",
    "Walk, footsteps": "footsteps",
    "Chewing, mastication": "chewing",
    "Burping, eructation": "burps",
    "Hiccup": "hiccups",
    "Heart sounds, heartbeat": "heartbeat",
    "Crowd": "crowd chatter",
    "Hubbub, speech noise, speech babble": "crowd chatter",
    "Wind": "wind blowing",
    "Wind noise (microphone)": "wind blowing",
    "Rustling leaves": "leaves rustling",
    "Thunderstorm": "thunder",
    "Water": "water running",
    "Raindrop": "rain",
    "Rain on surface": "rain",
    "Stream": "water running",
    "Ocean": "waves",
    "Waves, surf": "waves",
    "Fire": "fire crackling",
    "Crackle": "crackling",
    "Gurgling": "water gurgling",
    "Water tap, faucet": "water running",
    "Pour": "pouring",
    "Drip": "dripping",
    "Boiling": "water boiling",
    "Vehicle horn, car horn, honking": "car horn",
    "Toot": "car horn",
    "Car": "car engine",
    "Truck": "truck engine",
    "Bus": "bus engine",
    "Motorcycle": "motorcycle engine",
    "Tire squeal": "tires squealing",
    "Skidding": "tires squealing",
    "Air horn, truck horn": "truck horn",
    "Police car (siren)": "siren",
    "Ambulance (siren)": "siren",
    "Fire engine, fire truck (siren)": "siren",
    "Emergency vehicle": "siren",
    "Civil defense siren": "siren",
    "Traffic noise, roadway noise": "traffic",
    "Rail transport": "train rumbling",
    "Train": "train rumbling",
    "Fixed-wing aircraft, airplane": "airplane",
    "Engine": "engine running",
    "Idling": "engine idling",
    "Accelerating, revving, vroom": "engine revving",
    "Dental drill, dentist's drill": "drill",
    "Door": "door",
    "Slam": "door slams",
    "Knock": "knocking",
    "Tap": "tapping",
    "Squeak": "squeaking",
    "Creak": "creaking",
    "Dishes, pots, and pans": "dishes clattering",
    "Toilet flush": "toilet flushing",
    "Keys jangling": "keys jangling",
    "Computer keyboard": "typing",
    "Typewriter": "typing",
    "Telephone": "phone ringing",
    "Telephone bell ringing": "phone ringing",
    "Ringtone": "phone ringing",
    "Alarm": "alarm ringing",
    "Alarm clock": "alarm clock ringing",
    "Smoke detector, smoke alarm": "smoke alarm",
    "Clock": "clock ticking",
    "Tick": "clock ticking",
    "Tick-tock": "clock ticking",
    "Church bell": "church bells",
    "Bell": "bell ringing",
    "Doorbell": "doorbell rings",
    "Ding-dong": "doorbell rings",
    "Sawing": "sawing",
    "Hammer": "hammering",
    "Drill": "drilling",
    "Gunshot, gunfire": "gunshots",
    "Firecracker": "fireworks",
    "Burst, pop": "pop",
    "Boom": "boom",
    "Glass": "glass clinking",
    "Chink, clink": "glass clinking",
    "Shatter": "glass breaking",
    "Breaking": "breaking",
    "Splash, splatter": "splashing",
    "Thump, thud": "thud",
    "Smash, crash": "crash",
    "Beep, bleep": "beeping",
    "Buzz": "buzzing",
    "Hum": "humming",
    "Rumble": "rumbling",
    "Rustle": "rustling",
    "Clatter": "clattering",
    "Mouse": "mouse squeaking",
}
# Somebody speaks: that is the text's business.
SPEECH = (
    "Speech",
    "Male speech, man speaking",
    "Female speech, woman speaking",
    "Child speech, kid speaking",
    "Conversation",
    "Narration, monologue",
    "Speech synthesizer",
)
# Where the microphone stands, and what no viewer needs to know.
_UNSAID = (
    "Silence",
    "Inside, small room",
    "Inside, large room or hall",
    "Inside, public space",
    "Outside, urban or manmade",
    "Outside, rural or natural",
    "Reverberation",
    "Echo",
    "Sidetone",
    "Sound effect",
    "Field recording",
)
# Kinds of sounds: worth a word only where no sound of a kind is heard at the same time.
GENERAL = frozenset(
    {
        "Animal",
        "Domestic animals, pets",
        "Livestock, farm animals, working animals",
        "Wild animals",
        "Musical instrument",
        "Vehicle",
        "Motor vehicle (road)",
        "Mechanisms",
        "Tools",
        "Liquid",
        "Noise",
        "Environmental noise",
    }
)
Names = Mapping[str, str]


@functools.cache
def _never_shown() -> frozenset[str]:
    """Names, case-folded, of labels that are no cue; speech in every language that labels have names in."""
    english = [name.casefold() for name in audioset_labels()]
    places = [english.index(name.casefold()) for name in (*SPEECH, *_UNSAID)]
    languages = map(audioset_labels, label_languages())
    return frozenset(names[place].casefold() for names in languages for place in places)


@functools.cache
def _own_words() -> Mapping[str, str]:
    table = {name.casefold(): _shortened(name).lower() for name in audioset_labels()}
    return table | {name.casefold(): words for name, words in _WORDS.items()}


def words_for(label: str, names: Names | None = None) -> str | None:
    """What a caption calls the sound, without brackets; None: nothing, since speech is no cue.

    A label that is not AudioSet's English one (the user's own, or in another language) keeps its spelling, up
    to its first comma or bracket.

    Args:
        label: The display name.
        names: The user's own words by display name, in any case; "" leaves a sound out, speech may be named.
    """
    key = label.casefold()
    for name, words in (names or {}).items():
        if name.strip().casefold() == key:
            return " ".join(words.split()) or None
    if key in _never_shown():
        return None
    return _own_words().get(key) or _shortened(label)


def check_names(names: object) -> Names | None:
    """The user's own words, checked.

    Raises:
        OptionError: they are no dictionary of texts.
    """
    if names is None:
        return None
    if not isinstance(names, Mapping) or not all(
        isinstance(part, str) for pair in names.items() for part in pair
    ):
        raise OptionError(
            f"sound_names is {names!r}; give a dictionary of sounds' names and the words for them"
        )
    return names


def _shortened(name: str) -> str:
    short = name.partition(",")[0].partition("(")[0]
    return " ".join(short.split()) or " ".join(name.split())

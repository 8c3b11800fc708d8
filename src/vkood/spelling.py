"""The known name that a misspelt one may stand for, for hints in error messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

_NEGATIONS = ("not", "non", "never", "no", "cannot", "cant", "isnt", "doesnt", "hasnt", "without", "lack")
_NEGATIVE_PREFIXES = (*_NEGATIONS, "un", "dis", "incapable", "isnot", "isno", "hasno", "doesno", "dono")
_CONTRARY_WORDS = """
first/last first/final begin/end start/end start/stop before/after min/max low/high train/test train/valid train/val
train/evaluat include/exclude enable/disable keep/drop keep/delete save/delete save/load read/write input/output
source/target subject/object image/text question/answer left/right true/false antonym/synonym similar/distinct
cause/obstruct skip/only skip/run
"""
_SYNONYMS = {
    "lr": "learningrate",
    "batch": "batchsize",
    "bs": "batchsize",
    "trainbatchsize": "batchsize",
    "perdevicetrainbatchsize": "devicebatchsize",
    "wd": "weightdecay",
    "decay": "weightdecay",
    "epoch": "epochs",
    "numepochs": "epochs",
    "numtrainepochs": "epochs",
    "maxepochs": "epochs",
    "maxsteps": "steps",
    "numsteps": "steps",
    "warmupratio": "warmup",
    "warmupsteps": "warmup",
    "lrschedule": "schedule",
    "lrscheduler": "schedule",
    "lrschedulertype": "schedule",
    "clip": "maxgradnorm",
    "gradclip": "maxgradnorm",
    "earlystopping": "patience",
    "gpus": "numgpus",
    "numworkers": "workers",
    "outputdir": "output",
    "resolution": "imagesize",
    "imgsize": "imagesize",
}
"""What else names of options are called elsewhere, by their letters alone."""
_OPPOSITES = [tuple(pair.split("/")) for pair in _CONTRARY_WORDS.split()]
_DIRECTION = re.compile(r"(?:of|by|for|to|from|at)$")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Return the known name that is nearest to another, unless the two are opposites.

    A user who follows a hint must not end up with the opposite of what was meant. Where the two nearest names
    are opposites of each other, and neither is of the name, both are returned.

    A name that is another word for a known one ("lr") is answered with that.

    Args:
        name: The misspelt name; upper and lower case, underscores, hyphens and spaces make no difference.
        known: The names that there are.
        cutoff: The minimum similarity, from 0 to 1, by `difflib.SequenceMatcher.ratio`.

    Example:
        >>> nearest("usd_for", ["UsedFor", "PartOf"])
        ['UsedFor']
        >>> nearest("NotCapableOf", ["CapableOf"]), nearest("LocationOf", ["AtLocation"])
        ([], [])
        >>> nearest("CapabelOf", ["CapableOf", "NotCapableOf"])
        ['CapableOf']
        >>> nearest("anonym", ["Antonym", "Synonym"])
        ['Antonym', 'Synonym']
    """
    known = list(known)
    meant = _SYNONYMS.get(_last(name))
    if same := [known_name for known_name in known if _last(known_name) == meant]:
        return same[:1]
    by_letters = {_letters(known_name): known_name for known_name in known}
    near = difflib.get_close_matches(_letters(name), by_letters, n=3, cutoff=cutoff)
    best = [by_letters[letters] for letters in near]
    if not best or _are_opposed(name, best[0]):
        return []
    best = [known_name for known_name in best if not _are_opposed(name, known_name)][:2]
    return best if len(best) == 2 and _are_opposed(*best) else best[:1]


def require_known(names: Collection[str], known: Collection[str], rule: str) -> None:
    """Refuse a name that is not known, with the nearest one that is.

    Args:
        names: The names.
        known: Those that may be.
        rule: What the error says first, such as "`options` must be fields of `VkoodConfig`".

    Raises:
        ValueError: If there is one.
    """
    if unknown := sorted(set(names).difference(known), key=str):
        near = nearest(str(unknown[0]), known)
        hint = f"; did you mean `{'` or `'.join(near)}`?" if near else "."
        raise ValueError(f"{rule}; got `{unknown[0]}`{hint}")


def _last(name: str) -> str:
    """The letters of what stands behind the last dot."""
    return _letters(name.rpartition(".")[2])


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def _are_opposed(name: str, other: str) -> bool:
    """Whether two names may be opposites, or the two directions of one relation ("caused by")."""
    first, second = _letters(name), _letters(other)
    if first == second:
        return False
    if any(first.startswith(prefix) != second.startswith(prefix) for prefix in _NEGATIVE_PREFIXES):
        return True
    words = [{word.lower() for word in _WORD.findall(text)} for text in (name, other)]
    if any((word in words[0]) != (word in words[1]) for word in _NEGATIONS):
        return True
    if any(_differ_by(first, second, *pair) or _differ_by(second, first, *pair) for pair in _OPPOSITES):
        return True
    ends = [match[0] if (match := _DIRECTION.search(text)) else "" for text in (first, second)]
    return ends[0] != ends[1] and bool(ends[0])


def _differ_by(first: str, second: str, word: str, opposite: str) -> bool:
    return word in first and opposite in second and word not in second and opposite not in first

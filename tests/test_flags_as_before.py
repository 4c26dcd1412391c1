"""What the flags of every flagfile, and of every command in the docs, come to: as it was before.

    PYTHONPATH=. python tests/test_flags_as_before.py

makes the list anew, for new flagfiles and commands, and for a default that is meant to change: see
then that the list changes in nothing else.
"""

import json
import re
import shlex
from pathlib import Path

import pytest
from absl import flags
from words import parse

from vie_tf import device
from vie_tf.commands.flags import given, loss, names, settings
from vie_tf.evaluation import readout
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.runs import workdir
from vie_tf.settings import made, text
from vie_tf.training.defaults import complete

ROOT = Path(__file__).parent.parent
LIST = ROOT / "tests" / "golden" / "flags.json"
PLAIN = "vie_tf --data=videos --workdir=run"
VIDEOS = (100, 30_000)  # of a small data set and of a large one
# What a read-out takes from the run that it reads.
READ = made({"loss": "ir", "colour_noise": (0.1, 0.2, 0.3, 0.4, 0.5), "flip": False}, OBJECTIVES)


def resolved(words, patch):
    """All flags by name after parsing, and what then becomes of those that were not given.

    This function alone knows where the code of the flags is: the values are texts as in a run's
    flags.txt, so that equal ones let a run go on.
    """
    patch.chdir(ROOT)  # flagfiles name others from there
    patch.setattr(device, "on_gpu", lambda: False)
    patch.setattr(device, "has_bfloat16", lambda: False)

    def settled(complete):
        before = workdir.kept(settings())
        now, told = complete(settings(), given())
        changed = {
            name: text(x) for name, x in now.values().items() if text(before[name]) != text(x)
        }
        return changed | ({"told": " ".join(told)} if told else {})

    parse(*words)
    found = {"parsed": {name: text(flags.FLAGS[name].value) for name in names()}}
    found["parsed"]["loss"] = loss()
    mode = flags.FLAGS.mode
    if mode in ("pretrain", "finetune", "look"):
        found |= {str(n): settled(lambda *asked, n=n: complete(*asked, n)) for n in VIDEOS}
    elif mode == "readout":
        for name, stills in (("videos", False), ("images", True)):
            found[name] = settled(
                lambda *asked, stills=stills: (readout.settled(*asked, READ, 112, stills), None)
            )
    return found


def commands():
    """Of each flagfile, and of the docs."""
    for path in sorted(ROOT.glob("flags/**/*.flags")):
        yield f"{PLAIN} --flagfile={path.relative_to(ROOT)}"
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))):
        # In a block, perhaps of several lines and with a comment, or in a sentence.
        text = path.read_text().replace("\\\n", " ")
        for found in re.findall(r"^ {4,}(vie_tf +--.+)|`(vie_tf\s+--[^`]+)`", text, re.MULTILINE):
            # Dots stand for what the reader adds.
            words = shlex.split("".join(found).replace("…", "--workdir=run"), comments=True)
            if not {"--help", "--version"} & set(words):
                yield shlex.join(words)


def found(command, patch, plain):
    """As `resolved`, but of what was parsed only that which is not the plain default."""
    stages = resolved(shlex.split(command)[1:], patch)
    parsed = {name: x for name, x in stages["parsed"].items() if x != plain.get(name)}
    # The second number of videos is seldom another.
    first, second = map(str, VIDEOS)
    if first in stages and stages[first] == stages[second]:
        del stages[second]
    return {**stages, "parsed": parsed}


KEPT = json.loads(LIST.read_text()) if LIST.exists() else {}


@pytest.mark.parametrize("command", KEPT, ids=[x.removeprefix(PLAIN)[:90] for x in KEPT])
def test_flags_come_to_what_they_did(command, monkeypatch):
    plain = {} if command == PLAIN else KEPT[PLAIN]["parsed"]
    assert found(command, monkeypatch, plain) == KEPT[command]


def test_every_command_is_in_the_list():
    assert {PLAIN, *commands()} == KEPT.keys()


def main():
    with pytest.MonkeyPatch.context() as patch:
        every = {PLAIN: found(PLAIN, patch, {})}
        for command in commands():
            every[command] = found(command, patch, every[PLAIN]["parsed"])
    lines = [f"{json.dumps(command)}: {json.dumps(x)}" for command, x in every.items()]
    LIST.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()

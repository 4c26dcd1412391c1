"""The command, run in the test's process."""

import shutil

from absl import flags

from vie_tf import main
from vie_tf.commands import command, rules
from vie_tf.commands.flags import names

TRAIN = ("--image_size=32", "--batch_size=8", "--seed=3", "--precision=float32")  # small


def parse(*words: str) -> None:
    """Reads flags as a new process would: none is left over from the test before."""
    flags.FLAGS.unparse_flags()
    for name in names():
        flags.FLAGS[name].unparse()
    command.parse("vie_tf", rules.check, ["vie_tf", *words])


def vie_tf(*words: str) -> None:
    """Runs the command in this process, as `vie_tf` would."""
    parse(*words)
    main.mode_module().run()


def rewound(run, step, copy):
    """A copy of a run that has lost its checkpoints after a step, from which it goes on."""
    shutil.copytree(run, copy)
    for file in (copy / "checkpoints").glob("ckpt-*"):
        if int(file.name.split("-")[1].split(".")[0]) > step:
            file.unlink()
    return copy

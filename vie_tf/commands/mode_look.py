"""--mode=look: draws the first clips that training would see."""

from __future__ import annotations

from vie_tf.commands.flags import FLAGS, given, settings
from vie_tf.data.look import first_looks
from vie_tf.drawing.contact_sheet import contact_sheet
from vie_tf.output import whole, writable
from vie_tf.training.defaults import augmentation, complete
from vie_tf.training.run import clips_of, opened, training_videos


def run() -> None:
    """Draws the first clips that training would see with these flags."""
    out, asked = writable(FLAGS.out), settings()
    sampling = clips_of(asked)
    train, _, said = training_videos(asked, opened(asked.data, skips=True), sampling)
    print(said)
    asked, _ = complete(asked, given(), len(train))
    recipe = augmentation(asked.clips, asked.evaluation)
    looks = first_looks(train, sampling, asked.clips.image_size, asked.start.seed, recipe)
    with whole(out) as part:
        contact_sheet(str(part), looks)
    print(f"picture: {out}")

"""Copies a prepared set into an S3 store, and reads four frames from there; see test_remote.py."""

import os
import sys

import numpy as np
import tensorflow as tf

sys.path.insert(0, os.getcwd())

import s3fs  # noqa: E402

from vie_tf.data import files  # noqa: E402
from vie_tf.data.videos import open_videos  # noqa: E402


def clip(videos, row, frames):
    box = tf.constant([0, 0, *videos.sizes[row]], tf.int32)
    read = tf.function(lambda row: videos.read(row, tf.constant(frames, tf.int64), box))
    return read(tf.constant(row, tf.int64)).numpy()


here, there = sys.argv[1], "s3://bucket/set"
s3fs.S3FileSystem().mkdir("bucket")
for name in os.listdir(here):
    with files.whole(f"{there}/{name}") as part, open(part, "wb") as file:
        files.copy_into(f"{here}/{name}", file)
local, remote = open_videos(here), open_videos(there)
assert remote.fingerprint == local.fingerprint
for row, frames in ((3, [5]), (2, [1, 7, 9])):
    np.testing.assert_array_equal(clip(remote, row, frames), clip(local, row, frames))

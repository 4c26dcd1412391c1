"""Copies a prepared set into an S3 store, and reads four frames from there; see test_remote.py."""

import os
import sys

import numpy as np

sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), "tests")]

import s3fs  # noqa: E402
from pixels import clip_of  # noqa: E402

from vie_tf.data import files  # noqa: E402
from vie_tf.data.videos import open_videos  # noqa: E402

here, there = sys.argv[1], "s3://bucket/set"
s3fs.S3FileSystem().mkdir("bucket")
for name in os.listdir(here):
    with files.whole(f"{there}/{name}") as part, open(part, "wb") as file:
        files.copy_into(f"{here}/{name}", file)
local, remote = open_videos(here), open_videos(there)
assert remote.fingerprint == local.fingerprint
for row, frames in ((3, [5]), (2, [1, 7, 9])):
    np.testing.assert_array_equal(clip_of(remote, row, frames), clip_of(local, row, frames))

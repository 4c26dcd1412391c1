"""Entry point of the Bazel tests: runs pytest on the file named as argument."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-p", "no:cacheprovider", *sys.argv[1:]]))

"""Packaging of vie_tf. TensorFlow comes with an extra, `cpu` or `gpu`: exactly one of them.

Python up to 3.11 gets TensorFlow 2.15, the last with tensorflow-io and tensorflow-addons; later
ones get TensorFlow 2.21, and so do 3.10 and 3.11 by the extras `cpu-newest` and `gpu-newest`.
"""

from setuptools import find_packages, setup

INTEL = "in 'x86_64 AMD64'"  # tensorflow-cpu has no wheels for ARM
OLD, NEW = "python_version < '3.12'", "python_version >= '3.12'"
TF_IO = "tensorflow-io==0.36.0"
# tf-keras needs `tensorflow`, which computes on processors too, and not the smaller tensorflow-cpu.
NEWEST = ["tf-keras==2.21.*", "tensorboard==2.21.*"]
NEWEST_CPU = ["tensorflow==2.21.*", *NEWEST]
NEWEST_GPU = ["tensorflow[and-cuda]==2.21.*", *NEWEST]

setup(
    name="vie_tf",
    version="0.2.0",
    description="Video embeddings without labels, in TensorFlow",
    license="Apache-2.0",
    packages=[*find_packages(include=["vie_tf*", "data_prep*"]), "vie_tf.flags"],
    package_dir={"vie_tf.flags": "flags"},  # where an installed command finds them by name
    package_data={"vie_tf": ["report/paper.csv"], "vie_tf.flags": ["**/*.flags"]},
    python_requires=">=3.9,<3.14",
    install_requires=[
        "absl-py>=1.4,<3",
        "av>=15,<20",
        "google-crc32c>=1.5,<2",
        "matplotlib>=3.7,<4",
        "numpy>=1.23.5,<3",
        "pillow>=9.5,<14",
        "requests>=2.28,<3",
        "scikit-learn>=1.3,<2",
        "scipy>=1.9,<2",
    ],
    extras_require={
        "cpu": [
            f"tensorflow-cpu==2.15.1; {OLD} and platform_machine {INTEL}",
            f"tensorflow==2.15.1; {OLD} and platform_machine not {INTEL}",
            f"{TF_IO}; {OLD}",
            *[f"{name}; {NEW}" for name in NEWEST_CPU],
        ],
        "gpu": [
            f"tensorflow[and-cuda]==2.15.1; {OLD}",
            f"{TF_IO}; {OLD}",
            *[f"{name}; {NEW}" for name in NEWEST_GPU],
        ],
        "cpu-newest": NEWEST_CPU,
        "gpu-newest": NEWEST_GPU,
        "addons": [f"tensorflow-addons==0.23.0; {OLD} and platform_machine != 'aarch64'"],
        "beam": ["apache-beam>=2.60,<3"],
        "s3": ["s3fs>=2024.2,<2027"],
        "test": ["pytest>=7.4,<10", "ruff>=0.17.6"],
    },
    entry_points={"console_scripts": ["vie_tf = vie_tf.main:run"]},
)

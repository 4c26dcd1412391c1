"""Packaging of vie_tf. TensorFlow comes with an extra, `cpu` or `gpu`: exactly one of them."""

from setuptools import find_packages, setup

INTEL = "in 'x86_64 AMD64'"  # tensorflow-cpu has no wheels for ARM

setup(
    name="vie_tf",
    version="0.1.0",
    description="Video embeddings without labels, in TensorFlow",
    license="Apache-2.0",
    packages=find_packages(include=["vie_tf*", "data_prep*"]),
    package_data={"vie_tf": ["report/paper.csv"]},
    python_requires=">=3.9,<3.12",
    install_requires=[
        "absl-py>=1.4",
        "av>=15",
        "google-crc32c>=1.5",
        "keras==2.15.0",
        "matplotlib>=3.7",
        "numpy>=1.23.5,<2",
        "pillow>=9.5",
        "requests>=2.28",
        "scikit-learn>=1.3",
        "scipy>=1.9",
        "tensorflow-io==0.36.0",
    ],
    extras_require={
        "cpu": [
            f"tensorflow-cpu==2.15.1; platform_machine {INTEL}",
            f"tensorflow==2.15.1; platform_machine not {INTEL}",
        ],
        "gpu": ["tensorflow[and-cuda]==2.15.1"],
        "addons": ["tensorflow-addons==0.23.0; platform_machine != 'aarch64'"],
        "beam": ["apache-beam>=2.60"],
        "s3": ["s3fs>=2024.2"],
        "test": ["pytest>=7.4", "pytest-xdist>=3.7", "ruff>=0.8"],
    },
    entry_points={"console_scripts": ["vie_tf = vie_tf.main:run"]},
)

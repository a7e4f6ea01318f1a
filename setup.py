"""Which packages a wheel holds: the folder `jobs` of a clone is `raypipe.jobs` in it, and takes no name of its own."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["raypipe*"]), *(f"raypipe.{name}" for name in find_packages(include=["jobs*"]))],
    package_dir={"raypipe.jobs": "jobs"},
)

"""What pyproject.toml cannot say: `runs/*.toml` travel in the wheel as `nas/recipes/*.toml`."""

from setuptools import find_packages, setup

ROOMS = ("nas", "search_spaces", "predictors")

setup(
    packages=[
        *find_packages(include=[*ROOMS, *(f"{room}.*" for room in ROOMS)]),
        "nas.recipes",
    ],
    package_dir={"nas.recipes": "runs"},
    package_data={
        "nas.recipes": ["*.toml"],
        "nas.report": ["page/*"],
        "": ["py.typed", "*.json"],
    },
)

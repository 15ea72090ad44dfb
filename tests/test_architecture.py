"""Rooms import downwards only, in no circle; and what the user's card fixes is where it says."""

from graphlib import TopologicalSorter

from tests import architecture
from tests.architecture import PAGE, PICTURE, ROOMS, ROOT


def test_a_room_imports_only_rooms_below_it():
    floor = {name: number for number, name in enumerate(ROOMS)}
    assert [pair for pair in sorted(architecture.arrows()) if floor[pair[1]] > floor[pair[0]]] == []


def test_no_modules_import_each_other_in_a_circle():
    list(TopologicalSorter(architecture.imports()).static_order())  # raises CycleError, with the circle


def test_every_module_is_in_a_room_and_packages_say_nothing():
    found = architecture.modules()
    assert {architecture.room(name) for name in found if "." in name} == set(ROOMS)
    assert [file for file in found.values() if file.name == "__init__.py" and file.stat().st_size] == []


def test_the_picture_shows_the_imports_as_they_are():
    assert PICTURE.search(PAGE.read_text(encoding="utf-8"))[0] == architecture.picture()


def test_the_tests_follow_the_rooms():
    beside = {"benchmarks", "workflow", "__pycache__"}
    assert {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()} - beside <= set(ROOMS)


def test_the_top_level_is_the_users():
    for name in (
        "Snakefile",
        "config.yaml",
        "README.md",
        "workflow/rules",
        "workflow/scripts",
        "envs",
        "reports",
        "tests",
    ):
        assert (ROOT / name).exists(), name

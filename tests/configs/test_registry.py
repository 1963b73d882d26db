"""Names come from files; classes are imported when asked for."""

import sys

import pytest

from configs import registry
from configs.registry import GROUPS, Registry
from configs.settings import UserError

FILES = {
    "first.py": 'class Config:\n    name: str = "first"\n\n\nclass First:\n    Config = Config\n',
    "second.py": 'class Config:\n    name: str = "second"\n    size: int = 3\n\n\nclass Base:\n    pass\n\n\n'
    "class Second(Base):\n    Config = Config\n",
    "base.py": "class Config:\n    name: str\n",  # a shared base: no name of its own
    "copied.py": 'class Config:\n    name: str = "first"\n',  # another file's name
    "helper.py": "WORDS = 3\n",
    "broken.py": "class Config(\n",
    "wanting.py": 'import no_such_module\n\n\nclass Config:\n    name: str = "wanting"\n',
    "lonely.py": 'class Config:\n    name: str = "lonely"\n',  # no class has this Config
}


@pytest.fixture
def package(tmp_path, monkeypatch) -> str:
    """A package of such files."""
    folder = tmp_path / "made_up_rows"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_a_file_with_a_config_of_its_own_name_is_an_entry(package):
    found = Registry(package, order=("second", "missing"))
    assert list(found) == ["second", "broken", "first", "lonely", "wanting"]
    assert len(found) == 5
    assert not [name for name in sys.modules if name.startswith(f"{package}.")]  # none was imported for that
    assert "first" in found
    assert "helper" not in found


def test_the_class_is_the_one_with_that_config(package):
    found = Registry(package)
    assert found["second"].__name__ == "Second"
    assert found["second"].Config.size == 3
    assert found["first"] is found["first"]
    with pytest.raises(KeyError):
        found["helper"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lonely", r"lonely\.py has a Config named lonely, and no class whose `Config` it is"),
        ("broken", r"made_up_rows/broken\.py cannot be imported: '\(' was never closed \(broken\.py, line 1\)"),
        ("wanting", r"made_up_rows/wanting\.py cannot be imported: No module named 'no_such_module'"),
    ],
)
def test_a_file_that_gives_no_class_is_named_when_it_is_asked_for(package, name, said):
    with pytest.raises(UserError, match=rf"{said}$"):
        Registry(package)[name]


@pytest.mark.parametrize("group", GROUPS)
def test_every_entry_of_the_project_can_be_imported(group):
    for name, member in GROUPS[group].items():
        assert member.Config.name == name

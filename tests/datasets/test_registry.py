"""Data sets are found by name, each registered once with what commands and reports need."""

import pytest

from replab import datasets
from replab.datasets import registry
from replab.datasets.availability import require
from replab.datasets.fetch import entries
from replab.datasets.registry import Dataset, register, registered
from replab.errors import UserError


def test_sets_by_their_kind():
    assert datasets.names("images") == ["cifar10", "generated-shapes"]
    assert datasets.names("files") == ["imagenet"]
    assert datasets.names("poses") == [
        *("coco-val2017", "coco-train2017", "coco-val2017-estimated"),
        *("lspet-train", "lspet-test", "people-train", "people-test"),
    ]
    assert set(datasets.names("images", "files", "poses")) == set(datasets.names())


def test_what_is_opened_has_a_fingerprint_and_says_whose_it_is():
    for name in datasets.names():
        assert len(datasets.fingerprint(name)) == 16
        about = registered()[registry.whole(name)]
        assert all((about.what, about.licence, about.citation))
        assert registry.is_generated(name) == (about.fetch is None)


def test_what_is_fetched_can_be_asked_for(data_dir):
    for name in entries():
        with pytest.raises(UserError, match="not on this machine"):
            require(name)


def test_parts_are_of_sets_that_exist():
    parts = {name: known.part_of for name, known in registered().items() if known.part_of}
    assert set(parts) == {"lspet-train", "lspet-test", "people-train", "people-test"}
    assert set(parts.values()) <= set(registered())
    assert registry.whole("lspet-test") == "lspet"
    assert registry.whole("mine-test") == registry.title("mine-test") == "mine-test"


@pytest.mark.parametrize("name", ["cifar100", "CIFAR10"])
@pytest.mark.parametrize(
    "ask", [datasets.open_set, datasets.open_poses, datasets.fingerprint, require]
)
def test_unknown_names_are_answered_by_the_nearest(ask, name):
    with pytest.raises(UserError, match=r"nearest names are .*cifar10") as error:
        ask(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["people", "lsp", "coco"])
def test_names_that_only_reports_use(name):
    for ask in (datasets.open_set, datasets.fingerprint, require):
        with pytest.raises(UserError, match=f"no data set '{name}'"):
            ask(name)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="cifar10 is registered already"):
        register(Dataset(name="cifar10"))


def test_incomplete_or_doubled_registrations_are_refused():
    twin = Dataset(name="twin")
    for sets, said in (((), "no data set"), ((twin, twin), "twin is registered already")):
        with pytest.raises(ValueError, match=said):
            register(*sets)
    with pytest.raises(ValueError, match="takes load and fingerprint"):
        Dataset(name="toy", kind="images")

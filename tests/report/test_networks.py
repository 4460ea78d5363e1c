"""Networks keep their name and their look through all figures."""

from matplotlib.colors import to_rgb

from replab.report import networks


def test_one_name_for_all_that_variants_and_files_call_a_network():
    assert networks.NAMES["w32"] == networks.NAMES["hrnet-w32"] == "HRNet-W32"
    assert networks.NAMES["sb-r50"] == networks.NAMES["simplebaseline-r50"] == "SimpleBaseline-50"
    assert networks.NAMES["hrnet"] == "HRNet"


def test_a_label_has_the_look_of_the_longest_name_it_begins_with():
    assert networks.look("HRNet-W32, 256×192, from scratch") == networks.look("HRNet")
    assert networks.look("HRNet-W48, 384×288") != networks.look("HRNet")
    assert networks.look("SimpleBaseline-152") != networks.look("SimpleBaseline-50")
    assert networks.look("SimpleBaseline-50") == networks.look("SimpleBaseline")
    assert networks.look("1×") is None


def test_no_two_networks_share_a_colour_or_a_shape():
    names = ("HRNet-W32", "HRNet-W48", "SimpleBaseline-50", "SimpleBaseline-101", "CPM")
    found = networks.looks((*names, "SimpleBaseline-152"))
    assert len({to_rgb(look["color"]) for look in found.values()}) == len(found) == 6
    assert len({look["marker"] for look in found.values()}) == 6


def test_other_labels_take_what_is_left():
    found = networks.looks(["ours", "HRNet", "theirs"])
    assert list(found) == ["ours", "HRNet", "theirs"]
    assert found["HRNet"] == networks.look("HRNet")
    assert len({look["color"] for look in found.values()}) == 3
    # One network's labels have its colour and markers of their own.
    ours = networks.looks(["HRNet-W32", "HRNet-W32 trained here", "HRNet from scratch"])
    assert {look["color"] for look in ours.values()} == {networks.look("HRNet")["color"]}
    assert len({look["marker"] for look in ours.values()}) == 3
    many = networks.looks([f"line {i}" for i in range(7)])
    assert len({look["color"] for look in many.values()}) == 5
    assert networks.looks([]) == {}

"""The score that records answer by, and its axis."""

from dataclasses import replace

import pytest

from made_records import made_record
from replab.report import measures


def run(test_data="", **metrics):
    recipe = {"test_data": test_data} if test_data else {}
    return replace(made_record({}, 0, metrics=metrics), recipe=recipe)


@pytest.mark.parametrize(
    ("metrics", "name"),
    [
        ({"ap": 1.0, "pck": 2.0}, "ap"),
        ({"pck": 2.0, "pck@0.1": 1.0}, "pck"),
        ({"loss": 1.0}, "ap"),
    ],
)
def test_the_first_known_score_stands_for_all(metrics, name):
    assert measures.measure([run(**metrics)]) == name


def test_no_records_still_have_an_axis():
    assert measures.measure([]) == "ap"
    assert measures.axis_label([], "ap") == "AP (%)"


def test_an_axis_names_measure_people_and_unit():
    assert measures.axis_label([run("people-test")] * 2, "ap") == "AP on generated people (%)"
    assert measures.axis_label([run("lspet-test")], "pck") == "PCK@0.2 on LSP Extended (%)"
    assert measures.axis_label([run("mine")], "other") == "other on mine (%)"
    both = measures.axis_label([run("people-test"), run("lspet-test")], "ap")
    assert both == "AP on generated people and LSP Extended (%)"

"""Figures of pose machines: gradients by layer, beliefs by stage, scores by receptive field."""

import matplotlib as mpl
import numpy as np
import pytest

import dotted_people
from replab import datasets
from replab.report import beliefs, fields, gradients
from replab.runs.record import Record
from replab.training.gradients import LEVELS, Spreads, report

mpl.use("Agg")
NETS = {"with": {"supervision": "all"}, "without": {"supervision": "last"}}
STAGES = [1, 1, 1, 1, 2, 2, 3]


@pytest.fixture(autouse=True)
def closed():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def record(seed=0, metrics=None, series=None, **variant):
    recipe = {
        "test_data": "people-test",
        "input": [48, 64],
        "sigma": 1.0,
        "nets": {
            f"kernel{side}": {"model": "cpm", "head_kernel": side, "stage_kernel": side}
            for side in (1, 9)
        },
    }
    return Record(
        *("id", "cpm", "scaled", 1, "cpm", variant, seed, "quick"),
        data={"name": "people-train", "fingerprint": "", "split": ""},
        recipe=recipe,
        iterations=2,
        precision="fp32",
        device="cpu",
        threads=1,
        metrics=metrics or {},
        series=series or {},
        provenance={},
    )


def watched(supervision, seed, first):
    """A record whose layer 1 spreads by `first` and all others by 1."""
    sizes = [first, *[1.0] * (len(STAGES) - 1)]
    normal = np.random.default_rng(seed).normal(size=(len(STAGES), 4000))
    points = np.quantile(normal * np.array(sizes)[:, None], LEVELS, axis=1).T
    shown = [0, 2, 3, 4, 5, 6]
    found = [Spreads(done, STAGES, sizes, points[shown].tolist()) for done in (50, 600)]
    metrics, series = report(found)
    return record(seed, metrics, series, supervision=supervision)


def runs():
    strong = [watched("all", seed, 1.0) for seed in range(3)]
    return [*strong, *(watched("last", seed, 10.0 ** -(3 + seed)) for seed in range(3))]


class TestGradients:
    def test_ratios_are_taken_by_seed(self):
        figure = gradients.ratios(runs(), NETS, bound=3)
        (axis,) = figure.axes
        first, second = axis.containers
        assert first.lines[0].get_ydata() == pytest.approx([4, 0, 0, 0, 0, 0, 0])
        bars = first.lines[2][0].get_segments()
        assert bars[0][:, 1].tolist() == pytest.approx([4 - 2.484, 4 + 2.484], abs=0.01)
        assert second.get_label() == "after 600 iterations"
        assert axis.get_ylabel().endswith("with / without")
        line = next(line for line in axis.lines if line.get_label() == "ratio 3")
        assert line.get_ydata()[0] == pytest.approx(np.log10(3))

    def test_histograms_are_in_units_of_the_first_net(self):
        figure = gradients.histograms(runs(), NETS)
        assert len(figure.axes) == 6 * 2
        panel = figure.axes[0]
        wide, _, narrow, _ = (patch.get_data() for patch in panel.patches)
        width = np.diff(wide.edges)[0]
        # Unit variance: what lies within one deviation is 68 %; the peak's mass is in one bar.
        inside = np.abs((wide.edges[1:] + wide.edges[:-1]) / 2) < 1
        assert (wide.values * width)[inside].sum() == pytest.approx(0.68, abs=0.03)
        assert narrow.values.max() * width == pytest.approx(0.98, abs=0.001)
        assert narrow.edges[narrow.values.argmax()] == pytest.approx(-width / 2)
        assert narrow.values.max() > panel.get_ylim()[1] > wide.values.max()
        assert [axis.get_title() for axis in figure.axes[:2]] == [
            "after 50 iterations",
            "after 600 iterations",
        ]
        assert figure.axes[2].get_ylabel() == "stage 1\nlayer 3"

    def test_one_net_alone_is_no_comparison(self):
        for figure in (gradients.ratios, gradients.histograms):
            (axis,) = figure(runs()[:3], NETS).axes
            assert "kept no gradients" in axis.texts[0].get_text()


class TestBeliefs:
    @pytest.fixture
    def people(self, monkeypatch):
        known = dotted_people.people(5, truth=True)
        monkeypatch.setattr(datasets, "open_poses", lambda name: known)
        monkeypatch.setattr(datasets, "fingerprint", lambda name: known.fingerprint)
        return known

    def record(self, supervision, top=0.6):
        maps = {"belief_map": {"x": [12.0], "y": [16.0]}}
        for person in (1, 3):
            for stage in (1, 2):
                place = 12.0 * 5 + 6 + stage
                maps[f"belief_{person}_9_stage{stage}"] = {"x": [0.0, place], "y": [top / 9, top]}
        return record(0, {}, maps, supervision=supervision)

    def test_a_row_a_person_and_a_column_a_stage(self, people):
        figure = beliefs.sheet([self.record("all"), self.record("last", 0.01)], NETS)
        assert len(figure.axes) == 2 * (1 + 2 + 2)
        titles = [axis.get_title(loc="left") for axis in figure.axes[1:5]]
        assert titles == ["with\nstage 1", "\nstage 2", "without\nstage 1", "\nstage 2"]
        _, cross = figure.axes[1].lines
        assert cross.get_xydata().tolist() == [[7 * 4, 5 * 4]]
        assert [text.get_text() for text in figure.axes[1].texts] == ["0.60"]
        # Hardly anything is hardly seen.
        assert figure.axes[1].images[1].get_array().max() == pytest.approx(1)
        assert figure.axes[3].images[1].get_array().max() == pytest.approx(0.1 / 1, rel=0.01)
        # The ring is where the joint is in the crop, which shows the dots.
        crop = figure.axes[0].images[0].get_array()
        (spot,) = figure.axes[0].lines
        column, row = spot.get_xydata()[0].round().astype(int)
        assert people.visible[1, 9]
        assert crop[row - 1 : row + 2, column - 1 : column + 2].max() > 0.2

    def test_photographs_stay_away(self, people):
        shown = self.record("all")
        shown.recipe["test_data"] = "lspet-test"
        people.visible[1] = 2
        people.visible[1, people.skeleton.joints.index("left_ankle")] = 0
        figure = beliefs.sheet([shown], {"with": {"supervision": "all"}})
        assert np.ptp(figure.axes[0].images[0].get_array()) == 0
        # In their place the annotated limbs, of the right arm those in the colour of its side.
        assert figure.axes[0].get_title() == "annotated"
        (limbs,) = figure.axes[0].collections
        drawn = [limb for limb in people.skeleton.limbs if 15 not in limb]
        assert len(limbs.get_segments()) == len(drawn) == len(people.skeleton.limbs) - 1
        (ring,) = figure.axes[0].lines
        wrist = ring.get_xydata()[0]
        ends = [ends for limb, ends in zip(drawn, limbs.get_segments(), strict=True) if 9 in limb]
        assert any(np.allclose(place, wrist) for place in ends[0])
        assert len({tuple(colour) for colour in limbs.get_colors()}) == 3

    def test_nothing_kept(self):
        (axis,) = beliefs.sheet([record(supervision="all")], NETS).axes
        assert axis.texts[0].get_text() == beliefs.NOT_KEPT


class TestFields:
    def test_scores_stand_over_their_fields(self):
        records = [
            record(
                seed,
                {"pck_far": 10.0 * side + seed, "params": 12e6},
                net=f"kernel{side}",
                stages=2,
            )
            for side in (1, 9)
            for seed in range(3)
        ]
        figure = fields.against_field(
            records, ("kernel1", "kernel9"), metric="pck_far", ylabel="PCK (%)"
        )
        (axis,) = figure.axes
        means = next(line for line in axis.lines if line.get_label() == "mean, 95 % interval")
        assert means.get_xydata().tolist() == [[103, 11], [359, 91]]
        assert [text.get_text() for text in axis.texts][:2] == ["12.0 M", "12.0 M"]

    def test_not_run(self):
        (axis,) = fields.against_field([], ("kernel1",), metric="pck_far", ylabel="PCK").axes
        assert axis.texts

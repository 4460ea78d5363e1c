"""Several processes compute what one does: gradients, statistics, histories, checkpoints."""

import pytest
import torch

import dotted_people
import landscapes
import ranked_jobs as ranked
import tiny_imagenet
from replab.datasets import imagenet
from replab.errors import UserError
from replab.keypoints.augmentation import Augmentation
from replab.keypoints.codecs import codec
from replab.options import RunOptions
from replab.training import distributed, loop
from replab.training.batches import EpochOrder
from replab.training.distributed import Ranks
from replab.training.image_folders import Augmentation as FolderAugmentation
from replab.training.image_folders import FolderBatches
from replab.training.poses import PoseTraining, make_batches
from replab.training.recipe import TrainingRecipe
from replab.training.sharing import _group_of

GRADIENTS = (
    "whole batch",
    "ghosts within ranks",
    "ghost across all ranks",
    "heads",
    "stages",
)
# Double precision, sums in another order. The objectives of poses add up in single precision.
EXACT = 1e-12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which one process has left the checkpoint of a training half way."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "alone").mkdir()
    ranked.interrupted(folder / "alone")
    return folder


@pytest.fixture(scope="module")
def two(place):
    """What each of two ranks has found, by job."""
    names = (
        *GRADIENTS,
        "without exchange",
        "training",
        "phases",
        "not a number",
        "interrupted@together",
        "resumed@alone",
    )
    return ranked.start(2, place, names)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """An undisturbed training of one process."""
    return ranked.trained(tmp_path_factory.mktemp("training"))


def apart(one, other):
    """The largest difference of two sets of tensors, and the largest value."""
    assert one.keys() == other.keys()
    assert one
    differences = [float((one[k].double() - other[k].double()).abs().max()) for k in one]
    return max(differences), max(float(value.double().abs().max()) for value in one.values())


def assert_near(one, other, tolerance):
    difference, size = apart(one, other)
    assert difference <= tolerance * size


@pytest.mark.parametrize("name", GRADIENTS)
def test_two_ranks_have_the_gradients_of_one(two, name, tmp_path):
    alone = ranked.JOBS[name](tmp_path)
    for rank in two:
        assert_near(alone["gradients"], rank[name]["gradients"], EXACT)
        assert rank[name]["loss"] == pytest.approx(alone["loss"], rel=1e-6)
    # Each has seen its own half of the batch.
    assert abs(two[0][name]["own_loss"] - two[1][name]["own_loss"]) > 1e-4


@pytest.mark.parametrize("name", [name for name in GRADIENTS if name != "stages"])
def test_two_ranks_have_the_running_statistics_of_one(two, name, tmp_path):
    alone = ranked.JOBS[name](tmp_path)
    for rank in two:
        assert_near(alone["buffers"], rank[name]["buffers"], EXACT)
        assert rank[name]["norms_afterwards"] == alone["norms_afterwards"]


def test_without_the_exchange_of_statistics_gradients_differ(two, tmp_path):
    alone = ranked.of_classifier(tmp_path)
    for part in ("gradients", "buffers"):
        difference, size = apart(alone[part], two[0]["without exchange"][part])
        assert difference > 0.05 * size


def test_ghosts_that_span_some_of_the_ranks(tmp_path):
    """Four ranks of two images each, statistics of four: two groups of two."""
    name = "ghosts across ranks"
    four = ranked.start(4, tmp_path, [name])
    alone = ranked.JOBS[name](tmp_path)
    whole = ranked.of_classifier(tmp_path)
    assert apart(alone["gradients"], whole["gradients"])[0] > 0.01
    for rank in four:
        assert_near(alone["gradients"], rank[name]["gradients"], EXACT)
        assert rank[name]["norms_afterwards"] == alone["norms_afterwards"]
    # The others' running statistics are those of other ghosts, until a training ends.
    assert_near(alone["buffers"], four[0][name]["buffers"], EXACT)
    assert_near(alone["buffers"], four[1][name]["buffers"], EXACT)
    assert apart(alone["buffers"], four[2][name]["buffers"])[0] > 0.01


class TestTraining:
    def test_two_ranks_have_the_history_of_one(self, two, training):
        for rank in (found["training"] for found in two):
            assert rank["loss"] == pytest.approx(training["loss"], rel=1e-10)
            assert rank["error"] == pytest.approx(training["error"], abs=1e-7)
            assert [at for at, _ in rank["tests"]] == [5, 10, 12]
            for mine, theirs in zip(rank["tests"], training["tests"], strict=True):
                assert mine == pytest.approx(theirs, rel=1e-10)
            assert_near(training["state"], rank["state"], EXACT)
        # The net has learned: what is compared is not a constant.
        assert training["loss"][-1] < 0.5 * training["loss"][0]

    def test_the_first_rank_alone_is_asked_for_tests(self, two):
        assert two[0]["training"]["asked"] == ["BatchNorm2d"] * 3
        assert two[1]["training"]["asked"] == []

    def test_phases(self, two, tmp_path):
        alone = ranked.in_phases(tmp_path)
        for rank in (found["phases"] for found in two):
            # Losses are taken in single precision.
            assert rank["loss"] == pytest.approx(alone["loss"], rel=1e-6)
            # Shares of joints are means over ranks, of as many joints as happen to be there.
            assert rank["error"] == pytest.approx(alone["error"], abs=0.1)
            assert_near(alone["state"], rank["state"], 1e-9)

    def test_divergence_of_one_rank_ends_both_with_one_line(self, two):
        assert [rank["not a number"] for rank in two] == [
            {
                "diverged": "the loss is nan at iteration 0 (learning rate 0.02, fp32); "
                "lower the rate or train in fp32"
            }
        ] * 2

    def test_two_ranks_go_on_from_the_checkpoint_of_one(self, two, training):
        for rank in (found["resumed@alone"] for found in two):
            assert rank["loss"] == pytest.approx(training["loss"], rel=1e-10)
            assert_near(training["state"], rank["state"], EXACT)
        assert len(two[0]["resumed@alone"]["asked"]) < 3

    def test_one_goes_on_from_the_checkpoint_of_two_ranks(self, two, place, training):
        assert [rank["interrupted@together"] for rank in two] == [{"stopped": 6}] * 2
        found = ranked.trained(place / "together", resumed=True)
        assert found["loss"] == pytest.approx(training["loss"], rel=1e-10)
        assert_near(training["state"], found["state"], EXACT)
        assert len(found["asked"]) < 3


def test_each_rank_drops_elsewhere_and_the_first_as_one_alone():
    seeds = [loop._seed_of(7, 3, rank) for rank in range(4)]
    assert len(set(seeds)) == 4
    # Of trainings that were begun before there were ranks.
    import numpy as np

    state = np.random.SeedSequence((7, 3)).generate_state(1, np.uint64)
    assert seeds[0] == int(state[0] >> 1)


@pytest.fixture
def as_rank(monkeypatch):
    """Make this process one of several, as torchrun would."""

    def become(rank, size):
        values = (rank, size, rank, size, "127.0.0.1", 29500)
        for name, value in zip(distributed.VARIABLES, values, strict=True):
            monkeypatch.setenv(name, str(value))

    return become


class TestShares:
    """What ranks draw, one after the other, is the batch of one process."""

    def joined(self, make, as_rank, iteration, size=2):
        parts = []
        for rank in range(size):
            as_rank(rank, size)
            parts.append(make().batch(iteration))
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    def assert_shared_out(self, make, as_rank, *, exact=True):
        # The last of these batches lies across two epochs.
        for iteration in (0, 1, 2):
            whole = make_alone(make, iteration)
            shares = self.joined(make, as_rank, iteration)
            for one, other in zip(whole, shares, strict=True):
                assert one.shape == other.shape
                assert torch.equal(one, other) or not exact
                assert torch.allclose(one.double(), other.double(), atol=1e-5)

    def test_orders(self, as_rank):
        self.assert_shared_out(lambda: EpochOrder(10, 4, 3, augment=True), as_rank)

    @pytest.mark.parametrize("streamed", [False, True])
    def test_people(self, as_rank, streamed):
        people = landscapes.people() if streamed else dotted_people.people(10)
        training = PoseTraining(
            model="pose_resnet50",
            size=(48, 64),
            codec=codec("released", sigma=1.0),
            augmentation=Augmentation(0.3, 30.0),
            recipe=TrainingRecipe(
                iterations=1, batch_size=4, optimiser="adam", lr=0.1, schedule="cosine"
            ),
            streamed=streamed,
        )
        made = []

        def make():
            made.append(make_batches(training, people, seed=3, device="cpu"))
            return made[-1]

        # Warps of another number of crops may round otherwise.
        self.assert_shared_out(make, as_rank, exact=False)
        if streamed:
            for batches in made:
                batches.close()

    def test_folders(self, as_rank, tmp_path):
        folder = tiny_imagenet.write(tmp_path)
        images = imagenet.load(folder, extent=tiny_imagenet.EXTENT).train
        how = {"batch_size": 4, "seed": 0, "augmentation": FolderAugmentation((36, 48), 32)}
        self.assert_shared_out(lambda: FolderBatches(images, **how), as_rank)

    def test_a_batch_that_does_not_divide(self, as_rank):
        as_rank(0, 3)
        with pytest.raises(UserError) as error:
            EpochOrder(10, 4, 0, augment=True)
        assert str(error.value) == (
            "a batch of 4 cannot be shared out evenly among 3 processes; start as many as "
            "divide it"
        )


def make_alone(make, iteration):
    """A batch of a process that torchrun has not started."""
    with pytest.MonkeyPatch.context() as patch:
        for name in distributed.VARIABLES:
            patch.delenv(name, raising=False)
        return make().batch(iteration)


class TestEnvironment:
    def test_alone(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "8")
        assert distributed.current() == Ranks()
        assert distributed.begin("cuda:3") == "cuda:3"
        assert distributed.from_first(lambda: 5) == 5
        values = torch.rand(3)
        assert distributed.mean(values) is values
        assert not distributed.has_begun()

    def test_one_process_of_torchrun_s_is_alone(self, as_rank):
        as_rank(0, 1)
        assert distributed.current().alone

    def test_ranks(self, as_rank):
        as_rank(3, 4)
        found = distributed.current()
        assert (found.rank, found.size, found.local_rank, found.local_size) == (3, 4, 3, 4)
        assert not found.first
        assert found.rows(12) == slice(9, 12)

    def test_no_numbers(self, as_rank, monkeypatch):
        as_rank(0, 2)
        monkeypatch.setenv("LOCAL_RANK", "first")
        with pytest.raises(UserError, match=r"are not all numbers; start with torchrun, which"):
            distributed.current()

    def test_devices_that_cannot_be_shared(self, as_rank):
        as_rank(0, 2)
        with pytest.raises(UserError, match="several processes train on CUDA GPUs or the CPU"):
            distributed.begin("mps")
        if torch.cuda.device_count() < 2:
            with pytest.raises(
                UserError, match=r"2 processes were started on a machine of \d GPU"
            ):
                distributed.begin("cuda")

    @pytest.mark.parametrize(
        ("batch", "ghost", "fits"),
        [
            (8, None, True),
            (8, 2, True),
            (8, 4, True),
            (8, 3, False),
            (12, 4, False),
            (12, 5, False),
        ],
    )
    def test_ghosts_that_do_not_fit_the_shares(self, as_rank, batch, ghost, fits):
        as_rank(0, 2)
        if fits:
            exchanged, group = _group_of(batch, ghost)
            assert exchanged == (ghost is None)
            assert group is None
            return
        with pytest.raises(UserError, match=rf"batch statistics of {ghost} images cannot be"):
            _group_of(batch, ghost)

    def test_networks_are_not_compiled(self, as_rank, monkeypatch):
        as_rank(0, 2)
        monkeypatch.setattr(distributed, "begin_training", lambda device: device)
        with pytest.raises(UserError, match="networks eagerly"):
            loop.train(
                torch.nn.Linear(2, 2),
                None,
                {"iterations": 1, "batch_size": 2},
                seed=0,
                options=RunOptions(engine="compiled"),
            )

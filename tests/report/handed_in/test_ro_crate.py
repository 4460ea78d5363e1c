"""The crate: complete, each file and reference true; whatever is changed is found."""

import io
import json
import zipfile

import pytest

from replab.files import sha256_bytes
from replab.report import handed_in
from replab.report.handed_in import ro_crate
from replab.report.handed_in.ro_crate import METADATA

PAPER = "simplebaseline"


@pytest.fixture
def crate(made, own):
    """The dossier, the crate's files, and its metadata as values that may be changed."""
    dossier, files = made(PAPER, "quick")
    content = own(files, "ro-crate")
    return dossier, content, json.loads(content[METADATA])


def verdict(dossier, content, document=None):
    if document is not None:
        content = {**content, METADATA: json.dumps(document).encode()}
    files = {f"ro-crate/{k}": v for k, v in content.items()}
    return "; ".join(handed_in.problems(dossier, ["ro-crate"], files))


def entity(document, name):
    return next(e for e in document["@graph"] if e["@id"] == name)


def action(document):
    return next(e for e in document["@graph"] if e["@type"] == "CreateAction")


def test_it_holds_what_a_replication_is(crate):
    dossier, content, document = crate
    records = {f"results/{PAPER}/runs/{run}.json" for run in dossier.records}
    assert records < set(content)
    assert {
        "LICENSE",
        f"notebooks/{PAPER}.ipynb",
        f"replications/{PAPER}/claims.csv",
        f"results/{PAPER}/quick/accepted.json",
        f"results/{PAPER}/quick/{PAPER}.html",
    } < set(content)
    assert any(path.endswith(".png") for path in content)
    assert not any("__pycache__" in path for path in content)
    runs = [e for e in document["@graph"] if e["@type"] == "CreateAction"]
    assert {e["result"]["@id"] for e in runs} == records
    assert all(e["startTime"].endswith("+00:00") for e in runs)
    commit = next(iter(dossier.records.values())).provenance["commit"]
    assert runs[0]["instrument"]["@id"].startswith("swh:1:rev:")
    assert entity(document, f"swh:1:rev:{commit}")["version"].endswith(commit)


def test_data_stay_where_they_are_with_licence_and_page(made, own):
    _, files = made("resnet", "quick")
    document = json.loads(own(files, "ro-crate")[METADATA])
    data = entity(document, "#data-cifar10")
    assert data["url"].startswith("https://www.cs.toronto.edu/")
    assert data["license"]
    assert data["identifier"] == "fd954a475fd911fa"
    assert not any("cifar-10" in e["@id"] for e in document["@graph"] if e["@type"] == "File")


def test_the_archive_holds_the_crate(crate):
    dossier, content, _ = crate
    packed = ro_crate.zipped(dossier, content)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == content
        assert archive.infolist()[0].date_time[:3] == tuple(map(int, dossier.date.split("-")))
    assert packed == ro_crate.zipped(dossier, dict(reversed(content.items())))


class TestFiles:
    def test_a_missing_file_is_found(self, crate):
        dossier, content, _ = crate
        less = {k: v for k, v in content.items() if k != "LICENSE"}
        assert "LICENSE is described, but there is no such file" in verdict(dossier, less)

    def test_a_foreign_file_is_found(self, crate):
        dossier, content, _ = crate
        assert "is not described" in verdict(dossier, {**content, "more.txt": b"x"})

    def test_a_changed_file_is_found(self, crate):
        dossier, content, _ = crate
        assert "another sha256" in verdict(dossier, {**content, "LICENSE": b"x"})
        assert "bytes, not" in verdict(dossier, {**content, "LICENSE": b"x"})

    def test_a_record_s_changed_number_is_found_though_its_checksum_fits(self, crate):
        dossier, content, document = crate
        path = next(k for k in content if "/runs/" in k)
        record = json.loads(content[path])
        name = next(iter(record["metrics"]))
        record["metrics"][name] += 1
        data = json.dumps(record).encode()
        described = entity(document, path)
        described |= {"sha256": sha256_bytes(data), "contentSize": str(len(data))}
        found = verdict(dossier, {**content, path: data}, document)
        assert found == f"ro-crate: {path} is not the record that was accepted"

    def test_a_record_that_is_left_out_is_found(self, crate):
        dossier, content, document = crate
        path = next(k for k in content if "/runs/" in k)
        less = {k: v for k, v in content.items() if k != path}
        document["@graph"] = [e for e in document["@graph"] if e["@id"] != path]
        found = verdict(dossier, less, document)
        assert f"record {path[-21:-5]} of the accepted ledger is missing" in found
        assert f"refers to {path}, which is not in the crate" in found

    def test_another_ledger_is_found(self, crate):
        dossier, content, document = crate
        path = f"results/{PAPER}/quick/accepted.json"
        data = content[path].replace(b'"reproduced"', b'"not reproduced"', 1)
        described = entity(document, path)
        described |= {"sha256": sha256_bytes(data), "contentSize": str(len(data))}
        found = verdict(dossier, {**content, path: data}, document)
        assert found == f"ro-crate: {path} is not the accepted ledger"


class TestMetadata:
    def test_without_it_there_is_no_crate(self, crate):
        dossier, content, document = crate
        assert "is missing" in verdict(
            dossier, {k: v for k, v in content.items() if k != METADATA}
        )
        assert "is not JSON" in verdict(dossier, {**content, METADATA: b"{"})
        assert "context" in verdict(dossier, content, document | {"@context": "x"})
        assert "@graph" in verdict(dossier, content, document | {"@graph": [{"@id": "./"}]})

    @pytest.mark.parametrize("field", ["name", "description", "datePublished", "license"])
    def test_the_root_needs_its_fields(self, crate, field):
        dossier, content, document = crate
        del entity(document, "./")[field]
        assert f"./ (Dataset) lacks {field}" in verdict(dossier, content, document)

    @pytest.mark.parametrize("field", ["instrument", "result", "object", "startTime"])
    def test_an_action_needs_its_fields(self, crate, field):
        dossier, content, document = crate
        del action(document)[field]
        assert f"(CreateAction) lacks {field}" in verdict(dossier, content, document)

    def test_a_dangling_reference_is_found(self, crate):
        dossier, content, document = crate
        action(document)["object"] = {"@id": "#data-nobody-has"}
        assert "refers to #data-nobody-has, which is not" in verdict(dossier, content, document)

    def test_a_reference_to_the_wrong_kind_is_found(self, crate):
        dossier, content, document = crate
        action(document)["instrument"] = {"@id": "LICENSE"}
        assert "its instrument LICENSE is a File" in verdict(dossier, content, document)

    def test_times_that_run_backwards_or_are_none_are_found(self, crate):
        dossier, content, document = crate
        action(document)["endTime"] = "2001-01-01T00:00:00+00:00"
        assert "ends before it starts" in verdict(dossier, content, document)
        action(document)["endTime"] = "yesterday"
        assert "has no ISO times" in verdict(dossier, content, document)

    def test_an_action_that_nobody_mentions_is_found(self, crate):
        dossier, content, document = crate
        root, name = entity(document, "./"), action(document)["@id"]
        root["mentions"] = [m for m in root["mentions"] if m["@id"] != name]
        assert f"{name} is not mentioned" in verdict(dossier, content, document)

    def test_what_the_context_does_not_know_is_found(self, crate):
        dossier, content, document = crate
        entity(document, "./")["licence"] = "x"
        assert "does not know: licence" in verdict(dossier, content, document)
        entity(document, "./")["@type"] = "Datensatz"
        assert "unknown type Datensatz" in verdict(dossier, content, document)

    def test_a_nested_entity_is_found(self, crate):
        dossier, content, document = crate
        entity(document, "./")["author"] = {"@id": "#authors", "name": "x"}
        assert "the graph must be flat" in verdict(dossier, content, document)

    def test_two_entities_of_one_id_are_found(self, crate):
        dossier, content, document = crate
        document["@graph"].append(dict(entity(document, "LICENSE")))
        assert "stands for two entities" in verdict(dossier, content, document)

    def test_a_file_outside_the_crate_is_found(self, crate):
        dossier, content, document = crate
        entity(document, "LICENSE")["@id"] = "../LICENSE"
        found = verdict(dossier, content, document)
        assert "../LICENSE is no path inside the crate" in found
        assert "../LICENSE is not among the parts" in found

    def test_the_descriptor_and_the_profile_are_demanded(self, crate):
        dossier, content, document = crate
        entity(document, METADATA)["about"] = {"@id": "LICENSE"}
        entity(document, "./")["conformsTo"] = {"@id": "LICENSE"}
        entity(document, "./")["datePublished"] = "soon"
        found = verdict(dossier, content, document)
        assert "being about ./" in found
        assert "does not say that it conforms to" in found
        assert "no ISO date" in found

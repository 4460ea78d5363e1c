"""Whether the weights that are committed are those of the records beside them.

They lie in `results/<folder>/weights/`: NAME.safetensors, and NAME.json, the record of the run
that trained them. The folder is a paper's, or that of trainings that answer no claim.
"""

from collections.abc import Sequence
from pathlib import Path

from replab import paths
from replab.errors import UserError
from replab.files import sha256_file
from replab.runs import record as records

FOLDER = "weights"


def shipped(folders: Sequence[str] = ()) -> list[Path]:
    """All committed files of weights, or those of some folders of `results/`."""
    found = (paths.root() / "results").glob(f"*/{FOLDER}/*.safetensors")
    return sorted(file for file in found if not folders or file.parents[1].name in folders)


def problems(folders: Sequence[str] = ()) -> list[str]:
    """What is wrong with the committed weights, a line each; empty if all is well.

    Args:
        folders: names of folders under `results/` to look at; all if none is given.
    """
    files = shipped(folders)
    found = [line for file in files for line in _of(file)]
    known = {file.with_suffix(".json") for file in files}
    for folder in sorted((paths.root() / "results").glob(f"*/{FOLDER}")):
        if not folders or folder.parent.name in folders:
            alone = set(folder.glob("*.json")) - known
            found += [f"{_shown(file)}: a record without its weights" for file in sorted(alone)]
    return found


def _of(file: Path) -> list[str]:
    # Reading weights takes torch, which a checkout without any need not load.
    from replab.models import own_weights

    size, most = file.stat().st_size, own_weights.COMMITTED_BYTES
    found = []
    if size > most:
        found.append(f"{size:,} bytes; weights of more than {most:,} are not committed")
    try:
        about = own_weights.read_description(file)
        record = records.read(file.with_suffix(".json"))
    except UserError as error:
        return [f"{_shown(file)}: {line}" for line in (*found, str(error))]
    if record.weights is None:
        found.append("the record beside it says nothing of weights")
    elif record.weights != {"sha256": sha256_file(file), "bytes": size}:
        found.append("not the file that the record beside it tells of")
    if (about.run, about.paper) != (record.id, record.paper):
        found.append(f"of run {about.run} of {about.paper}, the record beside it is {record.id}")
    elif record.paper != file.parents[1].name:
        found.append(f"of {record.paper}; it belongs under results/{record.paper}/{FOLDER}")
    for name, value in about.scores.items():
        if record.metrics.get(name) != value:
            found.append(f"says {name} = {value}, the record {record.metrics.get(name)}")
    return [f"{_shown(file)}: {line}" for line in found]


def _shown(file: Path) -> str:
    return str(file.relative_to(paths.root()))

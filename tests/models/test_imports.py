"""A bare machine with torch can import the networks."""

import subprocess
import sys

CODE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torchvision", "safetensors", "requests", "pooch", "scipy",
                                      "pydantic", "pandas", "matplotlib", "cv2", "yaml"}:
            raise ImportError(f"{name} is not on this machine")
sys.meta_path.insert(0, Refuse())
import torch
import replab.models.counting, replab.models.folding, replab.models.loading
import replab.models.own_weights, replab.models.saving
from replab import models
print(tuple(models.create("cifar_resnet8")(torch.zeros(1, 3, 32, 32)).shape))
"""


def test_only_torch_and_light_packages_are_needed():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 10)"

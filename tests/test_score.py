"""The command `score`: the numbers it prints, and what it says of files that cannot be scored."""

import json

import numpy as np
import pytest
import torch
from pck_made import *  # noqa: F403

from replab.cli import main

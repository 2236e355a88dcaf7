import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import model_zoo
from torchvision import models

from receptive.models.adapters import timm_classifier, torchvision_classifier
from tests.models.conftest import StepOfTraining


def test_libraries_load_only_when_a_model_is_built():
    source = "import sys, receptive.models.adapters; print({'timm', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", source], env={"PYTHONPATH": "src"}, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr

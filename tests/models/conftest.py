"""A network whose every weight matters, as a file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lsbatch.models import cards, unet
from lsbatch.models.training.spatial_split import Source
from tests.models import discs

BANDS = ("preVV", "postVV", "dNDVI")


def make_network(depth: int, width: int, seed: int = 0) -> unet.UNet:
    """Random, with batch statistics that are not 0 and 1, so that nothing cancels."""
    torch.manual_seed(seed)
    network = unet.UNet(len(BANDS), depth, width)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, 0, 0.1)
    return network.eval()


def make_card(depth: int, width: int, bands: tuple[str, ...] = BANDS) -> cards.Card:
    """Card of such a network, with a normalisation that does something."""
    return unet.card(
        bands, depth, width, 0.1, means=(-12.0, -11.0, 0.05)[: len(bands)], stds=(3.0, 2.5, 0.2)[: len(bands)]
    )


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of depth 3, whose halo is 48 px."""
    path = tmp_path_factory.mktemp("weights") / "unet.safetensors"
    cards.save(path, unet.state(make_network(3, 4), np.float32), make_card(3, 4))
    return path


@pytest.fixture(scope="session")
def country() -> dict[str, np.ndarray]:
    """Bands of 512 x 512 px with a hole and a stripe of nodata that cross tile borders."""
    dice = np.random.default_rng(5)
    found = {name: dice.normal(-12 if "VV" in name else 0, 2, (512, 512)).astype(np.float32) for name in BANDS}
    found["preVV"][100:180, 200:300] = np.nan
    found["dNDVI"][:, 250:258] = np.nan
    return found


@pytest.fixture(scope="session")
def disc_source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Discs that are 1.5 times the noise darker in dNDVI; a threshold on one pixel finds few of them."""
    return discs.source(tmp_path_factory.mktemp("discs"))

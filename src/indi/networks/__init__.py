"""Networks: one file each, listed here. What a network is: networks/network.py."""

from indi.networks.base import Network
from indi.networks.mlp import MLP
from indi.networks.unet import UNet

NETWORKS: dict[str, type[Network]] = {"unet": UNet, "mlp": MLP}  # add a network here

__all__ = ["MLP", "NETWORKS", "Network", "UNet"]

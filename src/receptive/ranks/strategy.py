"""Lightning's part of a run on several devices: gradients are averaged over processes that it has not started."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric.plugins import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy

from receptive.ranks.place import Place


class RankEnvironment(ClusterEnvironment):
    """The place of this process, whoever started it: Lightning looks for no variables of torchrun's or Slurm's.

    Args:
        place: of this process.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts none."""
        return True

    @property
    def main_address(self) -> str:
        """Not used: the processes have met before."""
        return ""

    @property
    def main_port(self) -> int:
        """Not used."""
        return 0

    @staticmethod
    def detect() -> bool:
        """It is chosen, never found."""
        return False

    def world_size(self) -> int:
        """The number of processes."""
        return self._place.ranks

    def set_world_size(self, size: int) -> None:
        """It is given."""

    def global_rank(self) -> int:
        """Which of all."""
        return self._place.rank

    def set_global_rank(self, rank: int) -> None:
        """It is given."""

    def local_rank(self) -> int:
        """Which of those on this node."""
        return self._place.local_rank

    def node_rank(self) -> int:
        """Which node."""
        return self._place.node


class RankStrategy(DDPStrategy):
    """DistributedDataParallel over processes of one device each, whose group is there already.

    Args:
        place: of this process.
        device: of this process.
    """

    def __init__(self, place: Place, device: torch.device) -> None:
        super().__init__(parallel_devices=[device], cluster_environment=RankEnvironment(place))

    @property
    def root_device(self) -> torch.device:
        """The one device that this process knows."""
        assert self.parallel_devices is not None
        return self.parallel_devices[0]

    def _configure_launcher(self) -> None:
        """Nobody is started."""

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own: through DistributedDataParallel processes with fewer batches would be waited for."""
        assert self.lightning_module is not None
        with self.precision_plugin.val_step_context():
            return self.lightning_module.validation_step(*args, **kwargs)

"""Which of the processes that train one net together this one is."""

import os
from dataclasses import dataclass

from lightning_fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from configs.schema import RunConfig
from configs.settings import UserError

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Place:
    """One of the `count` processes of a run: number `rank` of all, `local_rank` of those on its machine.

    environment: what tells Lightning the same. port: where the first process of this machine's is found; None where
    torchrun or Slurm started the processes, and the environment variables say it."""

    rank: int = 0
    local_rank: int = 0
    count: int = 1
    environment: ClusterEnvironment | None = None
    port: int | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes, prints and tests."""
        return self.rank == 0


ALONE = Place()


def place_of(config: RunConfig) -> Place:
    """The place of this process, which the user, torchrun or Slurm started. UserError where they started another number
    of processes than `devices` and `num_nodes` ask for."""
    count = config.devices * config.num_nodes
    environment: ClusterEnvironment
    if count == 1:
        return ALONE
    if TorchElasticEnvironment.detect():
        name, environment = "torchrun", TorchElasticEnvironment()
    elif os.environ.get("SLURM_NTASKS", "1") != "1" and SLURMEnvironment.detect():
        try:
            name, environment = "Slurm", SLURMEnvironment(auto_requeue=False)
        except RuntimeError as error:
            raise UserError(" ".join(str(error).split())) from error
    elif config.num_nodes == 1:
        return Place(count=count)
    else:
        raise UserError(
            f"num_nodes={config.num_nodes} needs a process for each device, started by torchrun or Slurm "
            "(training/README.md has the commands)"
        )
    if environment.world_size() != count:
        raise UserError(
            f"{name} started {environment.world_size()} processes, and devices={config.devices} with "
            f"num_nodes={config.num_nodes} needs {count}"
        )
    return Place(environment.global_rank(), environment.local_rank(), count, environment)


class OneMachine(LightningEnvironment):
    """Tells Lightning of processes that `together` started."""

    def __init__(self, local_rank: int, port: int) -> None:
        super().__init__()
        self._local_rank, self._main_port = local_rank, port

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return HOST

    def local_rank(self) -> int:
        return self._local_rank

    def node_rank(self) -> int:
        return 0

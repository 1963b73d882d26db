"""Several processes that train together. They are forked from a server that has loaded everything and computed nothing:
torch refuses gradients in a process whose parent had compiled ones."""

import multiprocessing
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import cloudpickle
import torch
import torch.distributed as dist

from configs.schema import register
from training.place import OneMachine, Place
from training.processes import leave


def in_processes(folder, work: Callable[[Place], Any], count: int = 2) -> list[Any]:
    """What `work` returns, or the exception that it raises, in each of `count` processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.train", "tests.training.processes"])
    store = folder / "store"
    store.unlink(missing_ok=True)
    pipes, processes = [], []
    for rank in range(count):
        ours, theirs = context.Pipe(duplex=False)
        place = Place(rank, rank, count)
        process = context.Process(target=_work, args=(theirs, str(store), place, cloudpickle.dumps(work)))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    results = [pickle.loads(pipe.recv_bytes()) for pipe in pipes]
    for process in processes:
        process.join()
    return results


def _work(pipe, store: str, place: Place, pickled: bytes) -> None:
    torch.set_num_threads(1)
    try:
        register()
        work = cloudpickle.loads(pickled)
        dist.init_process_group(
            "gloo", store=dist.FileStore(store, place.count), rank=place.rank, world_size=place.count
        )
        result = work(Place(place.rank, place.local_rank, place.count, OneMachine(place.local_rank, 1)))
    except Exception as error:
        traceback.print_exc()
        result = error
    pipe.send_bytes(pickle.dumps(result))  # multiprocessing's own pickles share tensors, which end with this process
    leave()

"""What float32 products are computed in while a run lasts, and where TF32 is refused."""

import pytest
import pytorch_lightning as pl
import torch

from configs.settings import UserError
from training.precision import check_precision, float32_products
from training.train import train


def settings() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.fixture(params=[("highest", True), ("high", False)], ids=str)
def before(request):
    """Torch's settings as a caller may have them: its defaults, and the opposite."""
    at_first = settings()
    torch.set_float32_matmul_precision(request.param[0])
    torch.backends.cudnn.allow_tf32 = request.param[1]
    yield request.param
    torch.set_float32_matmul_precision(at_first[0])
    torch.backends.cudnn.allow_tf32 = at_first[1]


@pytest.mark.parametrize(
    ("precision", "within"), [("32", ("highest", False)), ("tf32", ("high", True)), ("bf16", ("highest", False))]
)
def test_settings_hold_within_and_are_restored(precision, within, before):
    with float32_products(precision):
        assert settings() == within
    assert settings() == before
    with pytest.raises(KeyError), float32_products(precision):
        raise KeyError
    assert settings() == before


def test_a_run_has_them_and_gives_them_back(configure, before):
    class Look(pl.Callback):
        seen = None

        def on_train_batch_end(self, *_):
            Look.seen = settings()

    train(configure("epochs=1", "limit_train=100"), [Look()])
    assert Look.seen == ("highest", False)
    assert settings() == before


def test_tf32_is_refused_where_there_is_no_cuda(configure):
    run = configure("precision=tf32")
    with pytest.raises(UserError, match=r"^precision=tf32 needs device=cuda, and this run is on cpu: use 32 or bf16$"):
        train(run)
    assert not run.record_path.exists()
    assert not run.failed_path.exists()
    check_precision("tf32", torch.device("cuda"))
    for precision in ("32", "bf16"):
        check_precision(precision, torch.device("cpu"))

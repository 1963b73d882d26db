"""What every method shares: losses, the tally of an epoch, schedules of the configuration."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from configs.settings import UserError
from methods import METHODS
from methods.base import Tally, squared_hinge
from methods.nets import NETS


def test_squared_hinge_is_the_mean_over_batch_and_classes():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(0, 2, (6, 4)), rng.integers(0, 4, 6)
    logits[0] = [1, -1, 0, 2]  # on the margin, and inside it
    expected = 0.0
    for row, label in zip(logits, target, strict=True):
        for c, y in enumerate(row):
            t = 1 if c == label else -1
            expected += max(0.0, 1 - t * y) ** 2
    expected /= logits.size
    assert squared_hinge(torch.from_numpy(logits), torch.from_numpy(target)).item() == pytest.approx(
        expected, rel=1e-12
    )


def test_squared_hinge_gradient():
    logits = torch.tensor([[0.5, -2.0, 1.5]], dtype=torch.float64, requires_grad=True)
    squared_hinge(logits, torch.tensor([0])).backward()
    # 2·max(0, 1 − t·y)·(−t) / 3: class 0 has t = 1, the others −1; class 1 is beyond the margin
    assert logits.grad.tolist() == [pytest.approx([-2 * 0.5 / 3, 0, 2 * 2.5 / 3])]


def test_tally_weighs_batches_by_their_size():
    tally = Tally()
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0]])
    tally.add(torch.tensor(2.0), logits, torch.tensor([0, 0, 0]))  # one of three is wrong
    tally.add(torch.tensor(6.0), logits[:1], torch.tensor([1]))  # one of one
    assert tally.take() == {"loss": pytest.approx((3 * 2 + 6) / 4), "error": pytest.approx(50.0), "examples": 4}
    tally.add(torch.tensor(1.0), logits[:1], torch.tensor([0]))
    assert tally.take() == {"loss": 1.0, "error": 0.0, "examples": 1}


def test_tally_of_nothing_is_told_in_one_line():
    with pytest.raises(UserError, match="smaller than one batch"):
        Tally().take()


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_hinge"])
def test_the_loss_is_the_configured_one(loss):
    method = METHODS["real"](METHODS["real"].Config(), NETS["mlp"].Config(width=8, depth=1), (1, 4, 4), 3, loss)
    x, y = torch.randn(9, 1, 4, 4), torch.arange(9) % 3
    method.eval()
    logits = method(x)
    expected = {"cross_entropy": F.cross_entropy, "squared_hinge": squared_hinge}[loss](logits, y)
    method.train()
    method.net.eval()
    assert method.training_step((x, y), 0).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("every", ["step", "epoch"])
def test_learning_rate_of_every_step(every, fit, rates):
    config = METHODS["ste"].Config(lr=1e-2, lr_end=1e-4, lr_schedule="exponential", schedule_every=every)
    method = METHODS["ste"](config, NETS["mlp"].Config(width=4, depth=1), (1, 4, 4), 3, "cross_entropy")
    fit(method, torch.randn(30, 1, 4, 4), torch.arange(30) % 3, epochs=4, batch_size=10, callbacks=[rates])
    t = [step if every == "step" else step // 3 * 3 for step in range(12)]
    assert rates.seen == pytest.approx([1e-2 * (1e-4 / 1e-2) ** (step / 12) for step in t], rel=1e-9)


def test_a_schedule_that_cannot_be_is_told_by_its_name_before_training():
    config = METHODS["ste"].Config(lr_schedule="exponential", lr_end=0.0)
    with pytest.raises(UserError, match=r"^method\.lr_schedule=exponential: "):
        METHODS["ste"](config, NETS["tiny"].Config(), (1, 8, 8), 10, "cross_entropy")

"""What every optimizer keeps to, eager and compiled: its rule above all. A row of ROWS puts one under these tests."""

import copy
import doctest
import io
import math
from collections import defaultdict
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from methods import optim
from tests.contract.optimizer_rows import ROWS, Row

STEPS, RESUMED_AT = 24, 11

LARGE = 129 * 128  # elements; from 2**14 on a parameter is stepped by compiled code
# shape → the same values as they lie in memory; the large ones are two a group, so that one compilation serves both
LAYOUTS = [
    [
        ((129, 128), lambda x: x),
        ((43, 8, 8, 6), lambda x: x.to(memory_format=torch.channels_last)),
        ((5, 3), lambda x: x),
        ((), lambda x: x),
    ],
    [
        ((128, 129), lambda x: torch.cat([x, x], dim=1)[:, :129]),  # a slice, flat only as a copy
        ((129, 128), lambda x: x.t().contiguous().t()),
        ((0, 3), lambda x: x),
        ((4, 3), lambda x: torch.stack([x, x], dim=-1).flatten(1)[:, ::2]),  # flat with a stride
        ((2, 3, 2, 2), lambda x: x.to(memory_format=torch.channels_last)),
    ],
]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2}
RESOLVED = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 1e-5}  # a decision nearer to its border is open


@pytest.fixture(params=ROWS, ids=str)
def row(request) -> Row:
    return request.param


def test_every_optimizer_has_a_row():
    assert {row.optimizer.__name__ for row in ROWS} == set(optim.__all__)


def test_the_example_of_its_docstring_holds(row):
    (test,) = [t for t in doctest.DocTestFinder(recurse=False).find(row.optimizer) if t.examples]
    test.globs |= {"torch": torch}
    assert doctest.DocTestRunner().run(test) == (0, len(test.examples))


class Weights:
    """The parameters of LAYOUTS beside their float64 twins, which follow the row's rule."""

    def __init__(self, row: Row, dtype: torch.dtype) -> None:
        self.row, self.dtype = row, dtype
        self.rng = np.random.default_rng(7)
        self.values = [[row.start(self.rng, shape) for shape, _ in group] for group in LAYOUTS]
        self.memories = [[defaultdict(float) for _ in group] for group in LAYOUTS]
        self.clear = [[np.full(shape, True) for shape, _ in group] for group in LAYOUTS]
        self.params = [self._laid_out(i, group) for i, group in enumerate(self.values)]
        self.ties = self.changes = 0

    def _laid_out(self, i, values):
        layouts = [layout for _, layout in LAYOUTS[i]]
        tensors = [torch.as_tensor(x).to(self.dtype, copy=True) for x in values]
        return [torch.nn.Parameter(layout(x)) for layout, x in zip(layouts, tensors, strict=True)]

    def renew(self) -> None:
        """Parameters of their own for another optimizer, with the present values in the same layouts."""
        values = [[p.detach().clone(memory_format=torch.contiguous_format) for p in group] for group in self.params]
        self.params = [self._laid_out(i, group) for i, group in enumerate(values)]

    def groups(self, step: int):
        return [{"params": group, **self.row.at(step + i)} for i, group in enumerate(self.params)]

    def flat(self):
        return [p for group in self.params for p in group]

    def draw_gradients(self, step: int) -> None:
        """On a coarse grid with zeros for one half of the weights, normal and of many sizes for the other."""
        for p in self.flat():
            grid = self.rng.integers(-8, 9, size=p.shape) * (self.rng.random(p.shape) < 0.8) / 8
            normal = self.rng.normal(size=p.shape) * 2.0 ** self.rng.integers(-6, 2, size=p.shape)
            on_grid = np.arange(p.numel()).reshape(p.shape) % 2 == 0
            g = torch.tensor(np.where(on_grid, grid, normal)).to(p.dtype)
            p.grad = g if step % 2 else torch.empty_like(p).copy_(g)  # also where it lies otherwise than p

    def follow_the_rule(self, step: int) -> None:
        for i, group in enumerate(self.params):
            for j, p in enumerate(group):
                before = self.values[i][j]
                hyper = {**self.row.at(step + i), **self.row.options}
                after, margin = self.row.rule(before, p.grad.double().numpy(), self.memories[i][j], **hyper)
                if self.dtype == torch.bfloat16:
                    after = torch.tensor(after).to(self.dtype).double().numpy()
                self.values[i][j] = after
                self.changes += (after != before).sum()
                if margin is not None:
                    self.ties += (margin == 0).sum()
                    self.clear[i][j] &= (margin == 0) | (abs(margin) > RESOLVED[self.dtype])

    def assert_equal_to(self, optimizer) -> None:
        tolerance = TOLERANCE[self.dtype]
        for i, group in enumerate(self.params):
            for j, p in enumerate(group):
                clear = self.clear[i][j]
                assert clear.mean() > 0.99 if clear.size else True
                moments = [(optimizer.state[p][name], self.memories[i][j][name]) for name in optimizer.moments]
                for actual, expected in [(p.detach(), self.values[i][j]), *moments]:
                    expected = np.broadcast_to(expected, p.shape)
                    np.testing.assert_allclose(
                        actual.double().numpy()[clear], expected[clear], rtol=tolerance, atol=tolerance
                    )


def everything(optimizer, params):
    """All that a step may change, copied."""
    return [p.detach().clone() for p in params], copy.deepcopy([dict(optimizer.state.get(p, {})) for p in params])


def assert_same(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def live(row: Row, dtype: torch.dtype, compiled: bool):
    """Many steps under schedules, each compared with the rule; midway a refused gradient, a checkpoint and a new start.

    Returns the weights and the state at the end."""
    weights = Weights(row, dtype)
    optimizer = row.make(weights.groups(0), compiled=compiled)
    for step in range(STEPS):
        for group, values in zip(optimizer.param_groups, weights.groups(step), strict=True):
            group.update({name: values[name] for name in row.hyper})
        weights.draw_gradients(step)
        if step == RESUMED_AT:
            assert_refuses_nan(optimizer, weights.flat())
            gradients = [p.grad for p in weights.flat()]
            file = io.BytesIO()
            torch.save(optimizer.state_dict(), file)
            file.seek(0)
            weights.renew()
            saved_groups, optimizer = optimizer.param_groups, row.make(weights.groups(0), compiled=compiled)
            optimizer.load_state_dict(torch.load(file, weights_only=True))
            for a, b in zip(optimizer.param_groups, saved_groups, strict=True):
                assert {k: v for k, v in a.items() if k != "params"} == {k: v for k, v in b.items() if k != "params"}
            for p, g in zip(weights.flat(), gradients, strict=True):
                p.grad = g
        strides = [p.stride() for p in weights.flat()]
        with torch.compiler.set_stance("fail_on_recompile") if step else nullcontext():
            optimizer.step()
        assert [p.stride() for p in weights.flat()] == strides
        weights.follow_the_rule(step)
        weights.assert_equal_to(optimizer)
    for p in weights.flat():
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        assert all(optimizer.state[p][name].dtype == wide for name in optimizer.moments)
    assert weights.changes > 50_000
    assert weights.ties > 500 if row.ties else weights.ties == 0
    return everything(optimizer, weights.flat())


def assert_refuses_nan(optimizer, params):
    before = everything(optimizer, params)
    last = params[-1].grad
    params[-1].grad = last.clone()
    params[-1].grad[1, 2, 0, 1] = math.nan
    with pytest.raises(FloatingPointError, match="parameter 4 of group 1"):
        optimizer.step()
    assert_same(everything(optimizer, params), before)
    params[-1].grad = last


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_eager_steps_follow_the_rule(row, dtype):
    if dtype == torch.bfloat16 and not row.half:
        pytest.skip("takes no weights in half precision")
    live(row, dtype, compiled=False)


def assert_compiled_follows_the_rule(row, dtype):
    weights, states = live(row, dtype, compiled=True)
    eager_weights, eager_states = live(row, dtype, compiled=False)
    assert_same(states, eager_states)
    # compiled and eager square roots may differ in their last bit
    torch.testing.assert_close(weights, eager_weights, rtol=0, atol=1e-6)


FIRST = {row.optimizer: row for row in reversed(ROWS)}.values()  # of each optimizer
COMPILED = [
    pytest.param(row, marks=() if any(row is one for one in FIRST) else pytest.mark.slow, id=str(row)) for row in ROWS
]


@pytest.mark.parametrize("row", COMPILED)
def test_compiled_steps_follow_the_rule(row):
    assert_compiled_follows_the_rule(row, torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_compiled_steps_follow_the_rule_in_other_dtypes(row, dtype):
    if dtype == torch.bfloat16 and not row.half:
        pytest.skip("takes no weights in half precision")
    assert_compiled_follows_the_rule(row, dtype)


def parameters(row, *shapes):
    rng = np.random.default_rng(0)
    return [torch.nn.Parameter(torch.tensor(row.start(rng, shape), dtype=torch.float32)) for shape in shapes]


def steps(optimizer, params, count):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()


def test_a_large_tensor_is_stepped_like_its_parts(row):
    if not row.elementwise:
        pytest.skip("the weights of a tensor depend on one another")
    (whole,) = parameters(row, 200_000)  # several chunks and a rest
    parts = [torch.nn.Parameter(x.clone()) for x in whole.detach().split(1013)]
    a, b = row.make([whole]), row.make(parts)
    for seed in range(2):
        whole.grad = torch.randn(200_000, generator=torch.Generator().manual_seed(seed))
        for part, g in zip(parts, whole.grad.split(1013), strict=True):
            part.grad = g
        a.step()
        b.step()
    assert torch.equal(whole, torch.cat(parts))
    for name in a.moments:
        assert torch.equal(a.state[whole][name], torch.cat([b.state[p][name] for p in parts]))


def test_a_parameter_without_gradient_is_skipped_and_a_closure_is_called(row):
    stepped, skipped = parameters(row, 20, 20)
    before, start = skipped.detach().clone(), stepped.detach().clone()
    optimizer = row.make([stepped, skipped])
    target = torch.linspace(-1, 1, 20)

    def closure():
        optimizer.zero_grad()
        loss = (stepped * target).sum()
        loss.backward()
        return loss

    assert torch.equal(optimizer.step(closure).detach(), (start * target).sum())
    assert (stepped != start).any()
    assert torch.equal(skipped, before)
    assert skipped not in optimizer.state


def test_a_sparse_gradient_is_refused(row):
    (p,) = parameters(row, (4, 2))
    p.grad = torch.eye(4, 2).to_sparse()
    with pytest.raises(RuntimeError, match="does not support sparse"):
        row.make([p]).step()


def test_a_hyperparameter_out_of_range_is_refused_at_any_time(row):
    params = parameters(row, 4, 4)
    (name,) = row.out_of_range
    with pytest.raises(ValueError, match=f"{row.optimizer.__name__}: {name} must be"):
        row.make(params, **row.out_of_range)
    optimizer = row.make(params[:1])
    with pytest.raises(ValueError, match=f"{name} must be"):
        optimizer.add_param_group({"params": params[1:], **row.out_of_range})
    assert len(optimizer.param_groups) == 1
    steps(optimizer, params[:1], 1)
    before = everything(optimizer, params)
    optimizer.param_groups[0].update(row.out_of_range)
    with pytest.raises(ValueError, match=f"{name} must be"):
        optimizer.step()
    assert_same(everything(optimizer, params), before)


def test_unfit_weights_are_refused_before_any_change(row):
    good, bad = parameters(row, 4)[0], torch.nn.Parameter(row.unfit.clone())
    optimizer = row.make([good, bad])
    good.grad, bad.grad = torch.ones_like(good), torch.ones_like(bad)
    before = everything(optimizer, [good, bad])
    with pytest.raises(ValueError, match=r"parameter 1 of group 0 \(shape \(2,\)\) must"):
        optimizer.step()
    assert_same(everything(optimizer, [good, bad]), before)


def test_a_copy_of_an_optimizer_steps_like_it(row):
    params = parameters(row, 20)
    optimizer = row.make(params, check_finite=False)
    steps(optimizer, params, 3)
    twin = copy.deepcopy(optimizer)
    twins = twin.param_groups[0]["params"]
    steps(optimizer, params, 1)
    steps(twin, twins, 1)
    assert twin.check_finite is False
    assert_same(everything(twin, twins), everything(optimizer, params))

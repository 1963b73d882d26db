"""What holds for every optimizer that acts on moving averages of the gradient."""

import copy
import io
import math

import pytest
import torch

from methods.optim import Bop, Bop2ndOrder, PBop


def bop(params, **options):
    return Bop(params, **{"gamma": 0.125, "threshold": 0.05} | options)


def bop2nd(params, **options):
    return Bop2ndOrder(params, **{"gamma": 0.125, "sigma": 0.03, "threshold": 0.2, "correction": "adam"} | options)


def pbop(params, **options):
    return PBop(params, **{"gamma": 0.125, "sigma": 0.03, "scaler": 0.05} | options)


makers = pytest.mark.parametrize("make", [bop, bop2nd, pbop])


def parameters(make, *shapes, dtype=torch.float32, seed=0):
    rng = torch.Generator().manual_seed(seed)
    draws = [torch.rand(shape, generator=rng) for shape in shapes]
    if make is not pbop:
        draws = [torch.where(d < 0.5, -1.0, 1.0) for d in draws]
    return [torch.nn.Parameter(d.to(dtype)) for d in draws]


def steps(optimizer, params, seeds):
    for seed in seeds:
        rng = torch.Generator().manual_seed(1000 + seed)
        for p in params:
            p.grad = torch.randn(p.shape, generator=rng).to(p.dtype)
        optimizer.step()


def tensors(optimizer, params):
    """Everything that a step may change."""
    states = [optimizer.state.get(p, {}) for p in params]
    return [p.detach().clone() for p in params], copy.deepcopy([dict(s) for s in states])


def assert_same(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "dtype"),
    [(m, torch.float32) for m in (bop, bop2nd, pbop)] + [(m, torch.bfloat16) for m in (bop, bop2nd)],
)
def test_resumed_run_is_the_uninterrupted_run(make, dtype):
    whole = parameters(make, (8, 3, 3), (5,), dtype=dtype)
    optimizer = make(whole)
    steps(optimizer, whole, range(20))
    file = io.BytesIO()
    torch.save({"params": [p.detach() for p in whole], "optimizer": optimizer.state_dict()}, file)
    steps(optimizer, whole, range(20, 40))

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = [torch.nn.Parameter(p) for p in saved["params"]]
    other = make(resumed, gamma=0.9)
    other.load_state_dict(saved["optimizer"])
    assert other.param_groups[0]["gamma"] == 0.125
    assert other.state[resumed[0]]["m"].dtype == torch.float32
    steps(other, resumed, range(20, 40))
    assert_same(tensors(other, resumed), tensors(optimizer, whole))


@makers
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_gradient_that_is_not_finite_changes_nothing(make, bad):
    params = parameters(make, (4, 4), (6,))
    optimizer = make(params)
    for warm in (False, True):  # before the first step, and later
        if warm:
            steps(optimizer, params, [0])
        before = tensors(optimizer, params)
        for p in params:
            p.grad = torch.ones_like(p)
        params[1].grad[3] = bad
        with pytest.raises(FloatingPointError, match=r"parameter 1 of group 0 \(shape \(6,\)\)"):
            optimizer.step()
        assert_same(tensors(optimizer, params), before)


def test_infinities_of_both_signs_do_not_hide_each_other():
    (p,) = parameters(bop, (4,))
    p.grad = torch.tensor([math.inf, -math.inf, 0.0, 1.0])
    with pytest.raises(FloatingPointError):
        bop([p]).step()


def test_error_tells_the_name_of_a_named_parameter():
    first, second = parameters(bop, (2,), (2,))
    optimizer = bop([{"params": [("conv.weight", first)]}, {"params": [("linear.weight", second)]}])
    second.grad = torch.full((2,), math.nan)
    with pytest.raises(FloatingPointError, match=r"'linear\.weight' of group 1"):
        optimizer.step()


def test_check_can_be_left_out():
    (p,) = parameters(bop, (2,))
    p.grad = torch.full((2,), math.nan)
    bop([p], check_finite=False).step()
    assert p.abs().eq(1).all()


@makers
def test_gradients_whose_sum_overflows_are_accepted(make):
    (p,) = parameters(make, (4,))
    p.grad = torch.full((4,), 3e38)
    optimizer = make([p], gamma=1e-30)
    optimizer.step()
    torch.testing.assert_close(optimizer.state[p]["m"], torch.full((4,), 3e8))


@makers
def test_large_tensor_is_stepped_like_its_parts(make):
    n = 200_000  # several chunks and a rest
    (whole,) = parameters(make, (n,))
    whole.grad = torch.randn(n, generator=torch.Generator().manual_seed(1))
    parts = [torch.nn.Parameter(x.clone()) for x in whole.detach().split(1013)]
    for part, g in zip(parts, whole.grad.split(1013), strict=True):
        part.grad = g.clone()
    a, b = make([whole], gamma=0.9), make(parts, gamma=0.9)
    for _ in range(2):
        a.step()
        b.step()
    assert torch.equal(whole, torch.cat(parts))
    for name in a.moments:
        assert torch.equal(a.state[whole][name], torch.cat([b.state[p][name] for p in parts]))


@makers
@pytest.mark.parametrize("layout", ["channels last", "slice of a wider tensor", "scalar", "empty"])
def test_memory_layout_does_not_matter(make, layout):
    shape = {"scalar": (), "empty": (0, 3)}.get(layout, (4, 6, 3, 2))
    (plain,) = parameters(make, shape)
    data = plain.detach().clone()
    if layout == "channels last":
        data = data.to(memory_format=torch.channels_last)
    elif layout == "slice of a wider tensor":
        data = torch.cat([data, data], dim=-1)[..., :2]
    other = torch.nn.Parameter(data)
    a, b = make([plain]), make([other])
    steps(a, [plain], range(5))
    steps(b, [other], range(5))
    assert other.stride() == data.stride()
    assert_same(tensors(b, [other]), tensors(a, [plain]))


@makers
def test_groups_have_their_own_values_and_can_be_added(make):
    grouped, single = parameters(make, (50,), (50,)), parameters(make, (50,), (50,))
    optimizer = make([{"params": [grouped[0]], "gamma": 0.5}])
    optimizer.add_param_group({"params": [grouped[1]], "gamma": 0.25})
    steps(optimizer, grouped, range(10))
    others = [make([single[0]], gamma=0.5), make([single[1]], gamma=0.25)]
    for seed in range(10):
        rng = torch.Generator().manual_seed(1000 + seed)
        for p, o in zip(single, others, strict=True):
            p.grad = torch.randn(50, generator=rng)
            o.step()
    assert_same([p.detach() for p in grouped], [p.detach() for p in single])


@makers
def test_parameter_without_gradient_is_skipped_and_closure_is_called(make):
    stepped, skipped = parameters(make, (20,), (20,))
    before = skipped.detach().clone()
    optimizer = make([stepped, skipped])
    target = torch.randn(20)

    def closure():
        optimizer.zero_grad()
        loss = (stepped * target).sum()
        loss.backward()
        return loss

    expected = (stepped.detach() * target).sum()
    assert torch.equal(optimizer.step(closure).detach(), expected)
    assert torch.equal(skipped, before)
    assert skipped not in optimizer.state
    optimizer.zero_grad()
    assert stepped.grad is None


@makers
def test_sparse_gradient_is_refused(make):
    (p,) = parameters(make, (4, 2))
    p.grad = torch.eye(4, 2).to_sparse()
    with pytest.raises(RuntimeError, match="does not support sparse"):
        make([p]).step()


@makers
@pytest.mark.parametrize("value", [-1e-3, 1.5, math.nan, math.inf])
def test_rate_out_of_range_is_refused_at_any_time(make, value):
    params = parameters(make, (4,), (4,))
    with pytest.raises(ValueError, match="gamma must be"):
        make(params, gamma=value)
    optimizer = make(params[:1])
    with pytest.raises(ValueError, match="gamma must be"):
        optimizer.add_param_group({"params": params[1:], "gamma": value})
    assert len(optimizer.param_groups) == 1
    steps(optimizer, params[:1], [0])
    before = tensors(optimizer, params)
    optimizer.param_groups[0]["gamma"] = value
    with pytest.raises(ValueError, match="gamma must be"):
        optimizer.step()
    assert_same(tensors(optimizer, params), before)


@pytest.mark.parametrize("make", [bop, bop2nd])
@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_threshold_out_of_range_is_refused(make, value):
    with pytest.raises(ValueError, match="threshold must be"):
        make(parameters(make, (4,)), threshold=value)


@pytest.mark.parametrize("make", [bop, bop2nd])
def test_weights_that_are_not_binary_are_refused_before_any_change(make):
    good, bad = parameters(make, (4,), (4,))
    bad.data[2] = 0.5
    optimizer = make([good, bad])
    before = tensors(optimizer, [good, bad])
    with pytest.raises(ValueError, match=r"parameter 1 .* exactly -1 and \+1"):
        steps(optimizer, [good, bad], [0])
    assert_same(tensors(optimizer, [good, bad]), before)


@makers
def test_copy_of_an_optimizer_steps(make):
    params = parameters(make, (20,))
    optimizer = make(params, check_finite=False)
    steps(optimizer, params, range(3))
    twin = copy.deepcopy(optimizer)
    twins = twin.param_groups[0]["params"]
    steps(optimizer, params, [3])
    steps(twin, twins, [3])
    assert twin.check_finite is False
    assert_same(tensors(twin, twins), tensors(optimizer, params))


@pytest.mark.parametrize(
    ("make", "dtype"), [(bop, torch.float32), (bop2nd, torch.float32), (bop2nd, torch.bfloat16), (pbop, torch.float32)]
)
def test_compiled_equals_eager_and_follows_a_schedule_without_recompiling(make, dtype):
    shapes = (150, 151), (1 << 14,), (9,)
    plain, fast = parameters(make, *shapes, dtype=dtype), parameters(make, *shapes, dtype=dtype)
    start = [p.detach().clone() for p in plain]
    a, b = make(plain), make(fast, compiled=True)
    steps(a, plain, [0])
    steps(b, fast, [0])
    with torch.compiler.set_stance("fail_on_recompile"):
        for k in range(1, 6):
            for optimizer, params in ((a, plain), (b, fast)):
                optimizer.param_groups[0]["gamma"] = 0.5 / k
                steps(optimizer, params, [k])
    assert any((p != s).any() for p, s in zip(plain, start, strict=True))
    for p, q in zip(plain, fast, strict=True):
        # eager code calls a square root that may be off by its last bit: it moves a probability, but flips nothing here
        torch.testing.assert_close(q, p, rtol=0, atol=1e-6 if make is pbop else 0)
        assert_same(dict(b.state[q]), dict(a.state[p]))

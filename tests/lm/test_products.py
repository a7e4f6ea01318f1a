import pytest
import torch

from raypipe.lm.decoder import Decoder
from raypipe.lm.products import (
    FLOAT8,
    LARGEST,
    Float8Product,
    MatrixProduct,
    check_float8,
    quantise,
    same_in_bfloat16,
    scaled_product,
)
from tests.tiny import CONFIGS, random_documents, tiny_model

from .test_decoder import HEADS, losses_of


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_row_keeps_its_largest_number_and_the_others_to_a_sixteenth():
    x = random(5, 64) * torch.tensor([1e-3, 1.0, 1e3, 1e-20, 7.0])[:, None]
    values, scale = quantise(x)
    assert values.dtype == FLOAT8
    assert scale.dtype == torch.float32
    back = values.float() * scale
    torch.testing.assert_close(back.abs().amax(1), x.abs().amax(1), rtol=1e-6, atol=0)
    large = x.abs() > 2**-6 * scale  # below it e4m3 numbers are evenly spaced
    assert ((back - x).abs() / x.abs())[large].max() <= 2**-4
    assert (back - x).abs().max(1).values.le(2**-10 * scale[:, 0] + x.abs().amax(1) * 2**-4).all()


def test_a_row_of_zeros_stays_zero():
    values, scale = quantise(torch.zeros(2, 16))
    assert (values.float() * scale == 0).all()


@pytest.mark.parametrize("has_bias", [False, True])
def test_the_devices_own_8_bit_product_and_the_same_in_bfloat16_agree(has_bias):
    rows, weight = quantise(random(7, 96)), quantise(random(48, 96, seed=1) * 0.1)
    bias = random(48, seed=2).bfloat16() if has_bias else None
    exact_rows, exact_weight = (each.values.double() * each.scale.double() for each in (rows, weight))
    exact = exact_rows @ exact_weight.T
    exact = exact if bias is None else exact + bias.double()
    for multiply in (scaled_product, same_in_bfloat16):
        found = multiply(rows, weight, bias)
        assert found.dtype == torch.bfloat16
        assert (found.double() - exact).abs().max() <= 2**-7 * exact.abs().max()


def test_a_large_token_does_not_cost_its_neighbours_their_precision():
    product = MatrixProduct(random(32, 64, seed=1).bfloat16(), None)
    tokens = random(2, 3, 64).bfloat16()
    loud = tokens.clone()
    loud[0, 1] *= 1e4
    quiet, with_loud = (Float8Product(product)(x) for x in (tokens, loud))
    assert quiet.shape == (2, 3, 32)
    others = [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert all(torch.equal(quiet[at], with_loud[at]) for at in others)


def test_sizes_that_a_gpu_would_refuse_are_refused_at_once():
    with pytest.raises(ValueError, match=r"multiples of 16, got .*24"):
        Float8Product(MatrixProduct(torch.ones(24, 32), None))


@pytest.mark.parametrize(("capability", "is_refused"), [((8, 0), True), ((8, 9), False), ((9, 0), False)])
def test_an_older_gpu_is_refused(monkeypatch, capability, is_refused):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A100")
    if is_refused:
        with pytest.raises(ValueError, match=r"8\.9 or newer, got A100 \(8\.0\); use bfloat16"):
            check_float8(torch.device("cuda"))
    else:
        check_float8(torch.device("cuda"))
    check_float8(torch.device("cpu"))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_runs_in_8_bits_close_to_itself(name):
    documents = random_documents([37, 2, 90])
    decoders = {
        "exact": Decoder(tiny_model(name), max_tokens=128),
        "half": Decoder(tiny_model(name).bfloat16(), max_tokens=128),
        "float8": Decoder(tiny_model(name).bfloat16(), max_tokens=128, float8=range(4)),
    }
    losses = {at: torch.cat([torch.cat(x) for x in losses_of(one, documents, [HEADS])]) for at, one in decoders.items()}
    error = {at: float((losses[at] - losses["exact"]).abs().mean() / losses["exact"].mean()) for at in losses}
    assert 0 < error["half"] < 0.02
    assert error["half"] < error["float8"] < 0.1


def test_only_the_layers_asked_for_are_in_8_bits():
    decoder = Decoder(tiny_model().bfloat16(), max_tokens=128, float8=(1, 2))
    kinds = [{type(part) for part in (layer.qkv, layer.out, layer.gate_up, layer.down)} for layer in decoder.layers]
    assert kinds == [{MatrixProduct}, {Float8Product}, {Float8Product}, {MatrixProduct}]
    assert decoder.layers[1].down.weight.dtype == FLOAT8
    assert decoder.layers[1].down.weight.float().abs().max() == LARGEST


def test_neutralised_heads_are_uniform_in_8_bits_too():
    """A zeroed query is zero in every format, so that losses before a changed later token stay as they are."""
    decoder = Decoder(tiny_model().bfloat16(), max_tokens=128, float8=range(4))
    document, changed = random_documents([40])[0], random_documents([40])[0].clone()
    changed[30] = (changed[30] + 1) % 200
    before, after = (losses_of(decoder, [one], [HEADS]) for one in (document, changed))
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one[0][:29], other[0][:29], rtol=0, atol=0)


@pytest.mark.slow
def test_compiled_8_bit_layers_are_the_same_model():
    documents = random_documents([37, 2, 90])
    plain, compiled = (
        losses_of(Decoder(tiny_model().bfloat16(), max_tokens=128, float8=range(4), compiler=compiler), documents)
        for compiler in (None, "aot_eager")
    )
    torch.testing.assert_close(torch.cat(plain[0]), torch.cat(compiled[0]), rtol=0.02, atol=0.02)

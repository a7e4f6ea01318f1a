import numpy as np
import pytest
import torch
from transformers import GPT2Config, LlamaConfig, MistralConfig, Qwen2Config

from raypipe.lm.decoder import Decoder
from raypipe.lm.loss import token_losses
from raypipe.lm.packing import pack
from raypipe.models.architecture import check_architecture
from tests.tiny import CONFIGS, SIZES, random_documents, reference_losses, tiny_model

CPU = torch.device("cpu")
HEADS = [(1, 0), (1, 3), (3, 2)]


@torch.inference_mode()
def losses_of(decoder, documents, neutralised=(), *, size=None):
    """[variant][document] -> token losses."""
    batch = pack([document.numpy() for document in documents], device=CPU, size=size)
    hidden = decoder(batch, neutralised)
    lengths = [len(document) - 1 for document in documents]
    return [token_losses(h[batch.sources], decoder.head, batch.targets).split(lengths) for h in hidden]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_equals_transformers_and_explicit_uniform_weights(name):
    documents = random_documents([37, 2, 90, 1, 64])
    expected = [[reference_losses(tiny_model(name), one, heads) for one in documents] for heads in ([], HEADS)]
    found = losses_of(Decoder(tiny_model(name), max_tokens=128), documents, [HEADS])
    for fast, slow in zip(found, expected, strict=True):
        for one, other in zip(fast, slow, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_compiled_layers_are_the_same_model(name):
    """Traced as for any compiler, run as they are: what is checked is the graph, not a code generator."""
    documents = random_documents([37, 2, 90])
    plain = losses_of(Decoder(tiny_model(name), max_tokens=128), documents, [HEADS])
    compiled = losses_of(Decoder(tiny_model(name), max_tokens=128, compiler="aot_eager"), documents, [HEADS])
    for one, other in zip(plain, compiled, strict=True):
        torch.testing.assert_close(torch.cat(one), torch.cat(other), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_layers_are_compiled_once_and_not_again_for_other_lengths():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    decoder, stats = Decoder(tiny_model(), max_tokens=128, compiler="aot_eager"), torch._dynamo.utils.counters
    losses_of(decoder, random_documents([12, 5]), [HEADS])
    graphs = stats["stats"]["unique_graphs"]
    assert 0 < graphs <= 5  # before and after attention, of one and of two variants, with and without neutralised heads
    for sizes in ([40, 33, 2], [90], [1, 1, 1, 70]):
        losses_of(decoder, random_documents(sizes), [HEADS])
    assert stats["stats"]["unique_graphs"] == graphs
    assert not stats["graph_break"]


def test_neutralising_heads_changes_the_losses():
    intact, masked = losses_of(Decoder(tiny_model(), max_tokens=128), random_documents([60]), [HEADS])
    assert (intact[0] - masked[0]).abs().max() > 1e-3


def test_no_head_neutralised_is_exactly_the_intact_model():
    intact, masked = losses_of(Decoder(tiny_model(), max_tokens=128), random_documents([60, 20]), [[]])
    assert all(torch.equal(one, other) for one, other in zip(intact, masked, strict=True))


def test_layers_below_the_lowest_neutralised_head_run_once():
    decoder = Decoder(tiny_model(), max_tokens=128)
    losses_of(decoder, random_documents([30]), [[(2, 0)], [(3, 1)], []])
    assert decoder.layer_calls == 4 + (4 - 2) + (4 - 3) + 0


def test_variants_do_not_depend_on_each_other():
    decoder, documents = Decoder(tiny_model(), max_tokens=128), random_documents([50, 41])
    together = losses_of(decoder, documents, [[(3, 1)], HEADS, [(0, 0)]])
    for at, heads in enumerate(([(3, 1)], HEADS, [(0, 0)]), start=1):
        alone = losses_of(decoder, documents, [heads])
        for one, other in zip(together[at], alone[1], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change", ["a later token", "a packed neighbour", "a pad"])
def test_nothing_later_or_beside_changes_an_earlier_loss(change):
    decoder = Decoder(tiny_model(), max_tokens=128)
    documents, size = random_documents([40, 33]), 80
    before = losses_of(decoder, documents, [HEADS], size=size)
    changed = [document.clone() for document in documents]
    if change == "a later token":
        changed[0][30:] = 7
    elif change == "a packed neighbour":
        changed[1] = 199 - changed[1]
    after = losses_of(decoder, changed, [HEADS], size=size + 50 if change == "a pad" else size)
    kept = 29 if change == "a later token" else 39
    for variant in range(2):
        torch.testing.assert_close(before[variant][0][:kept], after[variant][0][:kept], rtol=1e-6, atol=1e-6)


def test_a_head_that_the_model_lacks_is_refused():
    decoder = Decoder(tiny_model(), max_tokens=128)
    with pytest.raises(ValueError, match=r"within 4 layers x 4 heads, got \(4, 0\)"):
        losses_of(decoder, random_documents([5]), [[(4, 0)]])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GPT2Config(), "one of llama, mistral, qwen2, qwen3, olmo2, got 'gpt2'"),
        (LlamaConfig(**SIZES, hidden_act="gelu"), "SwiGLU"),
        (LlamaConfig(**{**SIZES, "max_position_embeddings": 64}), "at most the 64 tokens"),
        (MistralConfig(**SIZES, sliding_window=32), "at most the 32 tokens"),
        (
            Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=16, max_window_layers=2),
            "at most the 16 tokens",
        ),
        (LlamaConfig(**SIZES, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}), "'dynamic'"),
    ],
    ids=[
        "other architecture",
        "other activation",
        "short context",
        "window",
        "window in some layers",
        "dynamic rotary",
    ],
)
def test_models_that_would_not_be_computed_exactly_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        check_architecture(config, max_tokens=128)


def test_a_window_as_long_as_the_documents_is_accepted():
    check_architecture(MistralConfig(**SIZES, sliding_window=128), max_tokens=128)


def test_a_batch_of_documents_without_a_target_has_no_losses():
    (intact,) = losses_of(Decoder(tiny_model(), max_tokens=128), random_documents([1, 1]))
    assert [len(one) for one in intact] == [0, 0]


def test_observers_see_the_intact_models_queries_and_keys():
    decoder, seen = Decoder(tiny_model(), max_tokens=128), {}
    batch = pack([random_documents([9])[0].numpy()], device=CPU)
    with torch.inference_mode():
        decoder(batch, [HEADS], observe=lambda layer, q, k: seen.update({layer: (q.shape, k.shape)}))
    assert seen == dict.fromkeys(range(4), ((9, 4, 8), (9, 2, 8)))
    assert np.array_equal(batch.lengths, [9])

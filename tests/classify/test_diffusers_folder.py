"""Folders of diffusers: what their files say, and tiny random models of both kinds through the classifier."""

import json
from pathlib import Path

import numpy as np
import pytest

from raypipe.classify.denoiser import signal_shares
from raypipe.classify.diffusers_folder import class_numbers, digest_of, kind_of_folder, signal_shares_of
from raypipe.classify.diffusion_classifier import DiffusionClassifier, noise_of

SCHEDULER = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02, "num_train_timesteps": 1000}
DIT = {"transformer": ["diffusers", "DiTTransformer2DModel"], "vae": [], "scheduler": []}
STABLE = {"unet": [], "vae": [], "text_encoder": [], "tokenizer": [], "scheduler": []}


def write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_shares_follow_the_scheduler_s_file():
    np.testing.assert_allclose(signal_shares_of(SCHEDULER), signal_shares())
    stable = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    found = signal_shares_of(stable)
    assert found[0] == pytest.approx(1 - 0.00085)
    assert found[-1] == pytest.approx(0.0047, abs=1e-4)  # as the authors' of Stable Diffusion say: not all is noise
    np.testing.assert_allclose(signal_shares_of({"trained_betas": [0.5, 0.5]}), [0.5, 0.25])
    with pytest.raises(ValueError, match="beta_schedule must be one of linear, scaled_linear, got 'cosine'"):
        signal_shares_of({"beta_schedule": "cosine"})
    with pytest.raises(ValueError, match="must tell one of epsilon, v_prediction, got 'sample'"):
        signal_shares_of({"prediction_type": "sample"})


def test_kinds_classes_and_wrong_folders(tmp_path):
    write(tmp_path / "sd/model_index.json", STABLE)
    assert kind_of_folder(f"{tmp_path}/sd") == "text"
    write(tmp_path / "dit/model_index.json", {**DIT, "id2label": {"0": "tench, Tinca tinca", "1": "goldfish"}})
    write(tmp_path / "dit/transformer/config.json", {"num_embeds_ada_norm": 10})
    assert kind_of_folder(f"{tmp_path}/dit") == "class"
    assert class_numbers(f"{tmp_path}/dit", ["goldfish", "Tinca tinca", "7"]) == [1, 0, 7]
    with pytest.raises(ValueError, match="must be the model's names or numbers below 10, got 'shark'"):
        class_numbers(f"{tmp_path}/dit", ["shark"])
    write(tmp_path / "other/model_index.json", {"unet": [], "prior": []})
    with pytest.raises(ValueError, match=r"its model_index\.json has prior, unet"):
        kind_of_folder(f"{tmp_path}/other")
    with pytest.raises(FileNotFoundError, match=r"must have model_index\.json, but .*nowhere"):
        kind_of_folder(f"{tmp_path}/nowhere")
    before = digest_of(f"{tmp_path}/dit")
    write(tmp_path / "dit/transformer/config.json", {"num_embeds_ada_norm": 11})
    assert digest_of(f"{tmp_path}/dit") != before


def test_rows_that_are_no_images_are_refused(tmp_path):
    for X in (np.zeros((2, 10)), np.full((2, 12), 300.0), np.full((2, 12), -1.0)):
        with pytest.raises(ValueError, match="rows must be square images, three numbers of 0 to 255 a pixel"):
            DiffusionClassifier(folder=str(tmp_path)).fit(X, ["a", "b"])


def tiny_vae(diffusers):
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8), in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1,
    )  # fmt: skip


def tiny_dit(folder: Path, **scheduler) -> str:
    """Ten classes, latents of 4 x 4 of images of 8 x 8."""
    diffusers = pytest.importorskip("diffusers")
    import torch

    torch.manual_seed(0)
    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=1, sample_size=4,
        patch_size=2, num_embeds_ada_norm=10, norm_num_groups=4,
    )  # fmt: skip
    for one in model.parameters():  # its own start gives every class the same
        torch.nn.init.normal_(one, std=0.2)
    model.save_pretrained(folder / "transformer", safe_serialization=True)
    tiny_vae(diffusers).save_pretrained(folder / "vae", safe_serialization=True)
    write(folder / "scheduler/scheduler_config.json", {**SCHEDULER, **scheduler})
    write(folder / "model_index.json", {**DIT, "id2label": {"0": "tench, Tinca tinca", "1": "goldfish"}})
    return str(folder)


def images(n: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 3 * side * side)).astype(float)


def test_a_tiny_dit_classifies_images_and_batches_change_nothing(tmp_path):
    folder, X = tiny_dit(tmp_path / "dit"), images(6)
    made = DiffusionClassifier(folder=folder, schedule="1:5", batch=7).fit(X[:3], ["goldfish", "tench", "7"])
    found = made.errors(X)
    np.testing.assert_allclose(np.concatenate([made.errors(X[:1]), made.errors(X[1:])]), found, rtol=1e-4)
    assert np.ptp(found, axis=1).min() > 0
    again = DiffusionClassifier(**made.get_params()).from_state(made.state())
    np.testing.assert_allclose(again.errors(X), found, rtol=1e-5)
    staged = DiffusionClassifier(**{**made.get_params(), "schedule": "2:2 1:5"}).from_state(made.state())
    best = found.min(axis=1)
    assert (staged.errors(X).min(axis=1) >= best - 1e-6).all()
    larger = DiffusionClassifier(folder=folder, schedule="1:2").fit(images(3, side=12), ["goldfish", "tench", "7"])
    assert np.isfinite(larger.errors(images(2, side=12))).all()  # brought to the model's size
    other = DiffusionClassifier(folder=tiny_dit(tmp_path / "b", prediction_type="v_prediction"), schedule="1:5")
    assert not np.allclose(other.fit(X[:3], ["goldfish", "tench", "7"]).errors(X), found)
    with pytest.raises(ValueError, match="must be the model's names or numbers below 10, got 'shark'"):
        DiffusionClassifier(folder=folder).fit(X[:2], ["shark", "tench"])


def test_told_noise_of_a_tiny_dit_is_that_of_a_slow_pass(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    import torch

    folder, X = tiny_dit(tmp_path / "dit"), images(2)
    made = DiffusionClassifier(folder=folder, schedule="1:1").fit(X, ["goldfish", "tench"])  # one time: 500
    vae = diffusers.AutoencoderKL.from_pretrained(folder, subfolder="vae").eval()
    model = diffusers.DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer").eval()
    noise, share = noise_of(X, 1, d=64), signal_shares()[500]
    for row in range(2):
        image = torch.tensor(X[row].reshape(8, 8, 3).transpose(2, 0, 1)[None] / 127.5 - 1).float()
        with torch.no_grad():
            latent = vae.encode(image).latent_dist.mean * vae.config.scaling_factor
            eps = torch.tensor(noise[row, 0]).float().reshape(1, 4, 4, 4)
            noised = share**0.5 * latent + (1 - share) ** 0.5 * eps
            for of, name in ((1, "goldfish"), (0, "tench")):
                said = model(noised, timestep=torch.tensor([500]), class_labels=torch.tensor([of])).sample[:, :4]
                expected = float(((said - eps) ** 2).mean())
                assert made.errors(X)[row, list(made.classes_).index(name)] == pytest.approx(expected, rel=1e-3)


def test_a_tiny_stable_diffusion_takes_classes_as_prompts(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=4, block_out_channels=(8, 8), layers_per_block=1, cross_attention_dim=16, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=4,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    unet.save_pretrained(tmp_path / "unet", safe_serialization=True)
    tiny_vae(diffusers).save_pretrained(tmp_path / "vae", safe_serialization=True)
    signs = [*"abcdefghijklmnopqrstuvwxyz.", *(f"{one}</w>" for one in "abcdefghijklmnopqrstuvwxyz.")]
    vocabulary = {sign: at for at, sign in enumerate(["<|startoftext|>", "<|endoftext|>", *signs])}
    (tmp_path / "words").mkdir()
    (tmp_path / "words/vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "words/merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(tmp_path / "words").save_pretrained(tmp_path / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=24, eos_token_id=1, bos_token_id=0,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(tmp_path / "text_encoder", safe_serialization=True)
    write(tmp_path / "scheduler/scheduler_config.json", {**SCHEDULER, "beta_schedule": "scaled_linear"})
    write(tmp_path / "model_index.json", STABLE)
    X = images(3)
    made = DiffusionClassifier(folder=str(tmp_path), schedule="1:4", prompt="a {}.").fit(X, ["cat", "dog", "cat"])
    found = made.errors(X)
    assert np.ptp(found, axis=1).min() > 0
    same = DiffusionClassifier(folder=str(tmp_path), schedule="1:4", prompt="a pet.").fit(X, ["cat", "dog", "cat"])
    assert np.ptp(same.errors(X), axis=1).max() == pytest.approx(0, abs=1e-9)  # all classes are one prompt
    np.testing.assert_allclose(made.errors(X[1:]), found[1:], rtol=1e-4)
    assert made.errors(images(1)).shape == (1, 2)

"""The pretrain job, in this process: from tokens to a transformers folder."""

import json

import numpy as np
import pytest
import torch

from jobs.pretrain import Config, main
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder
from raypipe.train.engines.handles import plainly
from raypipe.train.loop.journal import read_journal
from tests.train.synthetic import finished, write_selection, write_tokens


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def config(tmp_path, tokenizer):
    tokens = write_tokens(tmp_path / "run/tokens")
    vocabulary = open_vocabulary(tokenizer)
    identity = {"tokenizer_sha256": vocabulary.sha256, "vocabulary_size": vocabulary.size}
    tokens.write("card.json", finished(identity))
    write_selection(
        tmp_path / "run/selection", tokens, weight=lambda n: 0.5 * (n % 4), heldout=lambda n: n % 10 == 9,
        identity={"share": 0.2},
    )  # fmt: skip
    return built(
        Config, output=str(tmp_path / "run"), tokenizer=tokenizer, length=32, batch_tokens=128, steps=6, save_every=3,
        heldout_every=3, cpus_per_worker=1, learning_rate=3e-3,
    )  # fmt: skip


def lines(config, stage="train"):
    return read_journal(Folder(config.run.output) / stage / "metrics")


def test_a_run_ends_in_a_model_that_transformers_opens(config, tmp_path):
    assert main(config) == 0
    folder = tmp_path / "run/train"
    curve = lines(config)
    assert [line["step"] for line in curve] == [1, 2, 3, 4, 5, 6]
    wanted = {"loss", "loss_by_domain", "learning_rate", "gradient_norm", "tokens_per_s", "mfu", "data_wait_s"}
    assert wanted | {"memory_bytes", "heldout_by_domain"} <= set(curve[2])
    card = json.loads((folder / "card.json").read_text())
    assert card["status"] == "finished"
    assert card["counts"]["tokens"] == 6 * 128
    assert 0 < card["times"]["busy_s"] < 600  # what --restart says it throws away
    assert '<section id="training">' in (tmp_path / "run/report.html").read_text()

    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    assert len(AutoTokenizer.from_pretrained(folder / "model")) == 270
    lineage = json.loads((folder / "model/raypipe.json").read_text())
    assert lineage["selection"] == {"share": 0.2}
    assert lineage["tokens"]["vocabulary_size"] == 270
    assert lineage["tokens_seen"] == 6 * 128
    assert lineage["order"] == curve[-1]["order"]
    assert "mix_sha256" in lineage["identity"]
    assert curve[-1]["order"] in (folder / "model/README.md").read_text()
    saved = main(config)  # the same command again does nothing
    assert saved == 0
    again = AutoModelForCausalLM.from_pretrained(folder / "model")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_tokens_of_another_run_give_the_same_model_here(config, tmp_path):
    assert main(config) == 0
    there = changed(config, output=str(tmp_path / "other"), read_from=config.run.output)
    assert main(there) == 0
    assert [line["loss"] for line in lines(there)] == [line["loss"] for line in lines(config)]
    told = json.loads((tmp_path / "other/train/model/raypipe.json").read_text())
    assert told["selection"] == {"share": 0.2}
    assert not (tmp_path / "other/tokens").exists()


def test_a_run_folder_on_s3_gets_the_same_model(config, tmp_path, s3_bucket):
    for file in (path for path in (tmp_path / "run").rglob("*") if path.is_file()):
        Folder(s3_bucket).write(f"run/{file.relative_to(tmp_path / 'run')}", file.read_bytes())
    there = changed(config, output=f"{s3_bucket}/run")
    assert main(config) == main(there) == 0
    assert [line["loss"] for line in lines(there)] == [line["loss"] for line in lines(config)]
    model = "train/model/model.safetensors"
    assert Folder(there.run.output).read(model) == (tmp_path / "run" / model).read_bytes()


def test_the_exported_model_has_the_loss_that_training_measured(config, tmp_path):
    main(config)
    from transformers import AutoModelForCausalLM

    from raypipe.train.data.index import read_listing, read_mix
    from raypipe.train.tasks.next_token import NextToken
    from tests.train.parts import HERE, Run, loader_of

    mix = read_mix(read_listing(Folder(f"{config.run.output}/tokens")), Folder(f"{config.run.output}/selection"))
    loader = loader_of(Run(f"{config.run.output}/tokens", "", length=32), HERE, mix)
    task = NextToken(AutoModelForCausalLM.from_pretrained(tmp_path / "run/train/model"))
    losses = [task.loss(plainly(task.models), task.collate(docs, HERE.device)).losses for docs, _ in loader.heldout()]
    assert float(torch.cat(losses).detach().mean()) == pytest.approx(lines(config)[-1]["heldout_loss"], abs=1e-5)


def test_going_on_from_weights_starts_where_they_ended(config, tmp_path):
    main(config)
    longer = changed(config, model=str(tmp_path / "run/train/model"), name="more", steps=2)
    assert main(longer) == 0
    assert lines(longer, "train-more")[0]["loss"] < lines(config)[0]["loss"] - 0.1


def test_a_file_of_sizes_is_a_shape(config, tmp_path):
    sizes = {"model_type": "llama", "vocab_size": 300, "hidden_size": 16, "intermediate_size": 32,
             "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
             "max_position_embeddings": 64}  # fmt: skip
    (tmp_path / "shape.json").write_text(json.dumps(sizes))
    config = changed(config, shape=str(tmp_path / "shape.json"), initialisation="scaled", steps=1, tensorboard=True)
    assert main(config) == 0
    assert json.loads((tmp_path / "run/train/model/config.json").read_text())["hidden_size"] == 16
    assert list((tmp_path / "run/train/tensorboard").glob("events*"))
    (tmp_path / "shape.json").write_text(json.dumps({**sizes, "vocab_size": 200}))
    with pytest.raises(ValueError, match=r"vocabulary must hold the 270 ids of the tokenizer, but .* has 200"):
        main(changed(config, name="small"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"length": 4096, "batch_tokens": 4096, "model": "MODEL"}, "length .*must be at most the 2048 tokens"),
        ({"length": 1}, "length must be at least 2"),
        ({"batch_tokens": 100}, "multiple of 32 .*nearest are 96 and 128"),
        ({"steps": None}, "either --steps or --train-tokens"),
        ({"shape": "huge"}, "shape must be one of tiny, 4m"),
        ({"warmup_fraction": 0.5}, "warmup_fraction [+] stable_fraction must be at most 1"),
        ({"tokens": "tokens-b"}, r"tokens-b isn't there \(the nearest is 'tokens'"),
        ({"selection": "selection-random"}, "no stage 'selection-random'; the nearest is 'selection'"),
        ({"engine": "deepspeed", "optimiser": "muon"}, "'muon' needs the torch engine"),
        ({"zero_stage": 5, "engine": "deepspeed"}, "zero_stage must be 0, 1, 2 or 3, got 5"),
    ],
)
def test_wrong_settings_end_before_training(config, tmp_path, other, message):
    if other.get("model"):
        main(changed(config, steps=1, name="short"))
        other = {**other, "model": str(tmp_path / "run/train-short/model")}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main(changed(config, **other))
    assert not (tmp_path / "run/train/checkpoints").exists()


def test_another_tokenizer_than_the_tokens_is_refused(config, tmp_path):
    train_tokenizer(["other words"] * 9, vocabulary_size=265, folder=tmp_path / "other")
    with pytest.raises(ValueError, match=r"--tokenizer must be the one that .* was made with .*270 ids.*, got .*26"):
        main(changed(config, tokenizer=str(tmp_path / "other")))


def test_a_run_of_other_settings_is_refused_and_kept(config):
    main(changed(config, steps=2))
    with pytest.raises(ValueError, match=r"n_steps was 2 and is now 6.*--name NEW.*--restart train"):
        main(config)
    assert len(lines(config)) == 2
    assert main(changed(config, restart="train", yes=True)) == 0
    assert len(lines(config)) == 6


def test_deepspeed_alone_gives_the_same_curve(config):
    main(config)
    zero = changed(config, name="zero", engine="deepspeed", zero_stage=1)
    assert main(zero) == 0
    assert np.allclose([line["loss"] for line in lines(config)], [line["loss"] for line in lines(zero, "train-zero")],
                       atol=1e-4)  # fmt: skip

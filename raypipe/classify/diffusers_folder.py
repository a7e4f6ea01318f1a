"""A trained diffusion model in a folder of the diffusers library, as what tells the noise of images under classes.

Two kinds are known: models of texts (Stable Diffusion: unet, vae, text_encoder, tokenizer), whose classes become
prompts, and models of numbered classes (DiT: transformer, vae, labels in model_index.json). The scheduler's file says
how much noise each time has; of weights only safetensors are read, and nothing of the folder is run.
Source: A. Li et al., Your Diffusion Model is Secretly a Zero-Shot Classifier, ICCV 2023, arXiv 2303.16203: the VAE's
posterior mean times its scale, no guidance, bicubic resizing; told velocity becomes noise by T. Salimans and J. Ho,
Progressive Distillation, ICLR 2022, appendix D. Betas in float64: float16 loses the last times.
Cost: a pass of the model for each image, class and time.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

Kind = Literal["text", "class"]
Json = dict[str, Any]
SCHEDULES = ("linear", "scaled_linear")
TELLS = ("epsilon", "v_prediction")


def read_json(path: Path) -> Json:
    """What a file of the folder says.

    Raises
    ------
    FileNotFoundError, ValueError
        If it isn't there, or isn't JSON.
    """
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise FileNotFoundError(f"a folder of diffusers must have {path.name}, but {path} isn't there.") from None
    except ValueError as error:
        raise ValueError(f"{path} isn't JSON ({error}).") from error


def kind_of_folder(folder: str) -> Kind:
    """Whether classes are texts or numbers.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is no folder of diffusers, or of another kind of model.
    """
    index = read_json(Path(folder) / "model_index.json")
    if {"unet", "vae", "text_encoder", "tokenizer", "scheduler"} <= index.keys():
        return "text"
    if {"transformer", "vae", "scheduler"} <= index.keys() and index["transformer"][1] in (
        "DiTTransformer2DModel",
        "Transformer2DModel",
    ):
        return "class"
    raise ValueError(
        f"{folder} must be of Stable Diffusion's kind (unet, vae, text_encoder, tokenizer, scheduler) or of DiT's "
        f"(transformer, vae, scheduler); its model_index.json has {', '.join(sorted(map(str, index)))}."
    )


def signal_shares_of(scheduler: Json) -> np.ndarray:
    """abar: the share of variance that is left at each time, float64, of a scheduler's settings.

    Raises
    ------
    ValueError
        If the betas are of another kind, or what is told is neither noise nor velocity.
    """
    kind, n = scheduler.get("beta_schedule", "linear"), int(scheduler.get("num_train_timesteps", 1000))
    first, last = float(scheduler.get("beta_start", 1e-4)), float(scheduler.get("beta_end", 0.02))
    if (tells := scheduler.get("prediction_type", "epsilon")) not in TELLS:
        raise ValueError(f"a model must tell one of {', '.join(TELLS)}, got {tells!r}.")
    if scheduler.get("trained_betas") is not None:
        betas = np.asarray(scheduler["trained_betas"], np.float64)
    elif kind == "linear":
        betas = np.linspace(first, last, n)
    elif kind == "scaled_linear":
        betas = np.linspace(first**0.5, last**0.5, n) ** 2
    else:
        raise ValueError(f"beta_schedule must be one of {', '.join(SCHEDULES)}, got {kind!r}.")
    found: np.ndarray = np.cumprod(1 - betas)
    return found


def class_numbers(folder: str, names: list[str]) -> list[int]:
    """The number of each class, by its number or by one of its names in model_index.json.

    Raises
    ------
    ValueError
        If a name is none of the model's.
    """
    labels = read_json(Path(folder) / "model_index.json").get("id2label") or {}
    n = int(read_json(Path(folder) / "transformer" / "config.json").get("num_embeds_ada_norm") or 1000)
    known = {one.strip(): int(number) for number, said in labels.items() for one in str(said).split(",")}
    known |= {str(number): number for number in range(n)}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"classes must be the model's names or numbers below {n}, got {unknown[0]!r}.")
    return [known[name] for name in names]


def digest_of(folder: str) -> str:
    """Changes when a settings file of the folder does, or the name or the size of any other."""
    digest = sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            said = path.read_bytes() if path.suffix == ".json" else str(path.stat().st_size).encode()
            digest.update(f"{path.relative_to(folder)}\0".encode() + said)
    return digest.hexdigest()


@dataclass
class FolderTeller:
    """An opened model: images to latents, noised latents to the error of the noise that it tells."""

    model: Any
    vae: Any
    states: Any
    """Of the classes: states of prompts [k, t, d], or numbers [k]."""
    kind: Kind
    shares: np.ndarray
    tells: str
    batch: int
    device: str

    @classmethod
    def open(cls, folder: str, names: list[str], *, prompt: str, batch: int) -> "FolderTeller":
        """The model of a folder, with the states of these classes.

        Raises
        ------
        ImportError
            If diffusers isn't installed.
        FileNotFoundError, ValueError
            If the folder is none of the known kinds, lacks a file, or a class is none of the model's.
        """
        kind, root = kind_of_folder(folder), Path(folder)
        scheduler = read_json(root / "scheduler" / "scheduler_config.json")
        shares = signal_shares_of(scheduler)
        numbers = class_numbers(folder, names) if kind == "class" else []
        try:
            import diffusers
        except ImportError as error:
            raise ImportError(f"a folder of diffusers needs that library ({error}): pip install diffusers.") from error
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        safely = {"use_safetensors": True, "local_files_only": True, "torch_dtype": torch.float32}
        vae = diffusers.AutoencoderKL.from_pretrained(folder, subfolder="vae", **safely).to(device).eval()
        if kind == "text":
            model = diffusers.UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **safely)
            states = _prompt_states(folder, [prompt.replace("{}", name) for name in names])
        else:
            model = diffusers.DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer", **safely)
            states = torch.tensor(numbers)
        tells = str(scheduler.get("prediction_type", "epsilon"))
        return cls(model.to(device).eval(), vae, states.to(device), kind, shares, tells, batch, device)

    @property
    def n_times(self) -> int:
        """Of its training."""
        return len(self.shares)

    def begun(self, X: np.ndarray) -> np.ndarray:
        """Images [n, 3 h w], of 0 to 255, pixel by pixel, to what noise is added to: [n, d] float64."""
        import torch

        size, side = self.model.config.sample_size, round((X.shape[1] / 3) ** 0.5)
        size *= 2 ** (len(self.vae.config.block_out_channels) - 1)
        found = []
        with torch.inference_mode():
            for row in X.reshape(len(X), side, side, 3):  # each by itself, so that batches change nothing
                image = torch.from_numpy(row.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
                if side != size:
                    image = torch.nn.functional.interpolate(image, (size, size), mode="bicubic", antialias=True)
                latent = self.vae.encode(image.clamp(-1, 1).to(self.device)).latent_dist.mean
                found.append((latent * self.vae.config.scaling_factor).double().cpu().numpy().ravel())
        return np.array(found)

    def error(self, Z: np.ndarray, noise: np.ndarray, time: int, classes: np.ndarray, *, loss: str) -> np.ndarray:
        """Error of the noise that is told for latents [n, d] under classes [n], mean over their numbers: [n]."""
        share = self.shares[time]
        noised, found = np.sqrt(share) * Z + np.sqrt(1 - share) * noise, np.empty(len(Z))
        for at in range(0, len(Z), self.batch):
            rows = slice(at, at + self.batch)
            said = self._told(noised[rows], time, classes[rows])
            if self.tells == "v_prediction":
                said = np.sqrt(share) * said + np.sqrt(1 - share) * noised[rows]
            gaps = np.abs(said - noise[rows])
            found[rows] = (gaps if loss == "l1" else gaps**2).mean(axis=1)
        return found

    def _told(self, noised: np.ndarray, time: int, classes: np.ndarray) -> np.ndarray:
        import torch

        channels, size = self.model.config.in_channels, self.model.config.sample_size
        with torch.inference_mode():
            rows = torch.from_numpy(noised.astype(np.float32)).reshape(-1, channels, size, size).to(self.device)
            times = torch.full((len(rows),), time, device=self.device)
            given = self.states[torch.from_numpy(classes).to(self.device)]
            more = {"encoder_hidden_states": given} if self.kind == "text" else {"class_labels": given}
            said = self.model(rows, timestep=times, **more).sample[:, :channels]  # DiT tells a variance behind it
        return np.asarray(said.double().cpu().numpy().reshape(len(noised), -1))


def _prompt_states(folder: str, prompts: list[str]) -> Any:
    """States of prompts by the folder's own encoder: [k, t, d]."""
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(
        folder, subfolder="text_encoder", local_files_only=True, use_safetensors=True
    ).eval()
    length = encoder.config.max_position_embeddings
    ids = tokenizer(prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
    with torch.inference_mode():
        return encoder(ids).last_hidden_state.float()

"""Classes by which language model finds a text likeliest, on prefixes that grow while classes are dropped.

The text analogue of the diffusion classifier: in place of the error of told noise stands -log p(x | class), of a small
language model for each class, or of one model after a prompt for each. After the first tokens the classes that are far
behind are dropped, and only the others read on.
Source: A. Li et al., Your Diffusion Model is Secretly a Zero-Shot Classifier, ICCV 2023, arXiv 2303.16203: staged
elimination; classes by class-conditional language models: D. Yogatama et al., Generative and Discriminative Text
Classification with Recurrent Neural Networks, 2017, arXiv 1703.01898.
Departures: there is no noise to share; all classes are alike before the text; a longer prefix is read from its start.
Cost: of a stage a pass over the prefix for each class that is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import softmax

from raypipe.arrays.elimination import levelled, stages_of, still_left
from raypipe.columns import REASON, TEXT
from raypipe.contracts.op import TOKENS
from raypipe.lm.device_errors import device_errors
from raypipe.lm.host_memory import keep_freed_memory
from raypipe.lm.plan import plan_batches
from raypipe.models.architecture import check_architecture
from raypipe.models.boundary import Continued, continued, scored_way
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import Vocabulary, open_vocabulary
from raypipe.settings.identity import counts_as

if TYPE_CHECKING:
    from raypipe.lm.decoder import Decoder

IDS, N_SCORED = "token_ids", "n_scored"
NO_TOKEN, NOT_FINITE = "no token to read", "likelihood isn't finite"
CLASSES = pa.schema(
    [
        ("label", pa.string()),
        ("probability", pa.float32()),
        ("margin", pa.float32()),
        ("losses", pa.list_(pa.float32())),
        ("n_tokens", pa.int32()),
        ("n_evaluated", pa.int64()),
    ]
)
"""The likeliest class; its probability, all alike before the text, not calibrated; nats a token to the next; nats a
token under each class, of one that was dropped at least that of who stayed; tokens of the prefix; tokens that models
read."""


@dataclass(frozen=True)
class ClassModel:
    """What says how likely a text is in a class."""

    label: str
    model: str
    """Folder, org/name@revision, GGUF file, or `sample`."""
    prompt: str = ""
    """What stands before the text."""


def _said(classes: tuple[ClassModel, ...]) -> Mapping[str, Any]:
    digests = {name: open_model(name).sha256() for name in dict.fromkeys(one.model for one in classes)}
    tokenizer = open_model(classes[0].model).tokenizer_sha256()
    said = [[one.label, digests[one.model], one.prompt] for one in classes]
    return {"classes": said, "tokenizer_sha256": tokenizer}


@dataclass
class ClassLikelihoods:
    """The Op: texts to token ids ahead of the device, token ids to classes on it."""

    classes: tuple[ClassModel, ...] = field(metadata=counts_as(_said))
    """At least two, of one tokenizer."""
    schedule: str = "4:64 1:512"
    """Classes kept and tokens read so far of each stage, KEEP:TOKENS."""
    dtype: str = "float32"
    """Of weights and activations: float32 or bfloat16."""
    token_budget: int = 4096
    """Tokens that go through a model together."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    adds: ClassVar[pa.Schema] = CLASSES
    version: ClassVar[int] = 1
    unit: ClassVar[str] = TOKENS
    padding: int = field(default=0, init=False, repr=False, compare=False)
    _decoders: dict[str, "Decoder"] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(one.prompt for one in self.classes))

    @property
    def models(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(one.model for one in self.classes))

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest prefix with its prompt, and one that begins the text."""
        vocabulary = open_vocabulary(self.classes[0].model)
        longest = max(len(way_of(vocabulary, prompt, "").ids) for prompt in self.prompts)
        return stages_of(self.schedule)[-1][1] + longest + 1

    def check(self) -> None:
        """Refuse what can't work before anything starts.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        labels = [one.label for one in self.classes]
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ValueError(f"classes must be two at least, each once, got {', '.join(labels) or 'none'}.")
        stages_of(self.schedule)
        if self.token_budget < self.max_tokens:
            raise ValueError(
                f"token_budget must hold a prefix and its prompt ({self.max_tokens} tokens), got {self.token_budget}."
            )
        digests = {}
        for name in self.models:
            model = open_model(name)
            check_architecture(model.config(), max_tokens=self.max_tokens)
            digests[model.tokenizer_sha256()] = name
        if len(digests) > 1:
            said = " and ".join(digests.values())
            raise ValueError(f"models of classes must have one tokenizer, those of {said} differ.")

    def prepare(self, table: pa.Table) -> pa.Table:
        """Tokenise: texts -> ids after each prompt, how many of them are the text's, and reason."""
        vocabulary, most = open_vocabulary(self.classes[0].model), stages_of(self.schedule)[-1][1]
        reasons = table[REASON].to_pylist()
        columns: dict[str, list[Any]] = {name: [None] * len(table) for name in ("n_tokens", "cost", IDS, N_SCORED)}
        for row in np.flatnonzero(pc.is_null(table[REASON]).to_numpy()):
            text = table[TEXT][int(row)].as_py()
            ways = [way_of(vocabulary, prompt, text) for prompt in self.prompts]
            # without a token before it, a text's first one can't be foretold
            numbers = [min(int(one.is_second.sum()), len(one.ids) - 1) for one in ways]
            kept = [ids_of(one.ids, n, min(n, most)) for one, n in zip(ways, numbers, strict=True)]
            if min(numbers) < 1:
                reasons[row] = NO_TOKEN
            columns[IDS][row], columns[N_SCORED][row] = kept, [min(n, most) for n in numbers]
            columns["n_tokens"][row] = min(min(numbers), most)
            columns["cost"][row] = max(map(len, kept))
        schema = pa.schema([
            ("n_tokens", pa.int32()), ("cost", pa.int64()), (IDS, pa.list_(pa.list_(pa.int32()))),
            (N_SCORED, pa.list_(pa.int32())), (REASON, pa.string()),
        ])  # fmt: skip
        return pa.table({**columns, REASON: reasons}, schema=schema)

    def setup(self, *, n_threads: int) -> None:
        """Load the models onto this worker's device."""
        import torch

        from raypipe.lm.decoder import Decoder

        torch.set_num_threads(n_threads)
        keep_freed_memory()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        for name in self.models:
            weights = open_model(name).weights(dtype=self.dtype, device=device)
            self._decoders[name] = Decoder(weights, max_tokens=self.max_tokens)

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        """Rows that are classified together; those with a reason are in none."""
        lengths = pc.fill_null(prepared["cost"], 0).to_numpy().copy()
        lengths[pc.is_valid(prepared[REASON]).to_numpy()] = 0
        return plan_batches(lengths, budget=self.token_budget)

    def cost(self, prepared: pa.Table) -> int:
        """Tokens of the longest prefix of these rows."""
        return int(pc.sum(prepared["cost"]).as_py() or 0)

    def limits(self) -> dict[str, int]:
        """The token budget."""
        return {"token_budget": self.token_budget}

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The classes of one batch of rows, same rows and order.

        Raises
        ------
        MemoryError
            If the batch doesn't fit into the device's memory.
        DeviceLost
            If the accelerator fails so that this process can't use it any more.
        """
        ids, n_scored = batch[IDS].to_pylist(), batch[N_SCORED].to_pylist()
        n, k = len(batch), len(self.classes)
        way_of = [self.prompts.index(one.prompt) for one in self.classes]
        left, losses, number = np.ones((n, k), bool), np.zeros((n, k)), np.zeros((n, k), np.int64)
        evaluated, before = np.zeros(n, np.int64), 0
        for keep, most in stages_of(self.schedule):
            grows = np.array([max(of) > before for of in n_scored])[:, None]
            for row, at in zip(*np.nonzero(left & ~grows), strict=True):
                number[row, at] = most  # it was read to its end: as good as at this prefix
            asked = [(int(row), int(at)) for row, at in zip(*np.nonzero(left & grows), strict=True)]
            for (row, at), (loss, size) in zip(asked, self._read(asked, ids, n_scored, way_of, most), strict=True):
                losses[row, at], number[row, at] = loss, most
                evaluated[row] += size
            left, before = still_left(left, losses, keep=keep), most
        found = levelled(losses, number)
        n_tokens = batch["n_tokens"].to_numpy()
        order = np.sort(found, axis=1)
        best = found.argmin(axis=1)
        probability = softmax(-found * n_tokens[:, None], axis=1)[np.arange(n), best] if n else np.zeros(0)
        is_finite = np.isfinite(found).all(axis=1)
        columns = {
            "label": pa.array([self.classes[at].label for at in best], pa.string()),
            "probability": pa.array(probability, pa.float32()),
            "margin": pa.array(order[:, 1] - order[:, 0], pa.float32()),
            "losses": pa.array(list(found.astype(np.float32)), pa.list_(pa.float32())),
            "n_evaluated": pa.array(evaluated),
        }
        return pa.table(columns).append_column(
            REASON, pa.array([None if one else NOT_FINITE for one in is_finite], pa.string())
        )

    def _read(
        self, asked: list[tuple[int, int]], ids: list[list[list[int]]], n_scored: list[list[int]], way_of: list[int],
        most: int,
    ) -> list[tuple[float, int]]:  # fmt: skip
        """Nats a token of prefixes of rows under classes, and the tokens that were read."""
        if not self._decoders:
            raise RuntimeError("ClassLikelihoods.setup() loads the models and must run before the first batch.")
        found = [(0.0, 0)] * len(asked)
        for name in self.models:
            own = [at for at, (_, of) in enumerate(asked) if self.classes[of].model == name]
            documents, numbers = [], []
            for at in own:
                row, way = asked[at][0], way_of[asked[at][1]]
                numbers.append(min(most, n_scored[row][way]))
                documents.append(np.array(ids_of(ids[row][way], n_scored[row][way], numbers[-1]), np.int64))
            lengths = np.array([len(one) for one in documents], np.int64)
            for rows in plan_batches(lengths, budget=self.token_budget):
                sums = self._sums(name, [documents[row] for row in rows], [numbers[row] for row in rows])
                for row, total in zip(rows, sums, strict=True):
                    found[own[row]] = (total / numbers[row], int(lengths[row]))
        return found

    def _sums(self, name: str, documents: list[np.ndarray], numbers: list[int]) -> list[float]:
        """Nats of the last tokens of documents, so many of each that are the text's."""
        import torch

        from raypipe.lm.loss import token_losses
        from raypipe.lm.packing import pack

        decoder = self._decoders[name]
        with device_errors(), torch.inference_mode():
            batch = pack(documents, device=decoder.device)
            self.padding += batch.padding
            nll = token_losses(decoder(batch)[0][batch.sources], decoder.head, batch.targets).cpu().numpy()
        ends = np.cumsum([len(one) - 1 for one in documents])
        return [float(nll[end - n : end].sum(dtype=np.float64)) for end, n in zip(ends, numbers, strict=True)]


def way_of(vocabulary: Vocabulary, prompt: str, text: str) -> Continued:
    """Ids of a text after a prompt, or after a begin of text, with which of them are the text's."""
    return continued(vocabulary, prompt, text) if prompt else scored_way(vocabulary, "", text)


def ids_of(ids: list[int], n_scored: int, n: int) -> list[int]:
    """What stands before a text and its first `n` of so many tokens."""
    return ids[: len(ids) - n_scored + n]

"""Turns, sides and prompts of a debate."""

import numpy as np
import pytest

from raypipe.label.debate.debate import DebateQuestion, Transcript, hold_debates, sides, turn_prompt
from raypipe.label.debate.transcripts import file_name, missing_ranges, read_transcripts, write_transcripts
from raypipe.storage.folder import Folder

ASKED = DebateQuestion("Is it green?", "no", "yes")
KEYS = np.random.default_rng(0).integers(-(2**62), 2**62, 1000)


class Debater:
    """Answers with a number, and remembers what it was asked."""

    def __init__(self):
        self.prompts, self.seeds = [], []

    def __call__(self, prompts, seeds):
        self.prompts += prompts
        self.seeds += seeds
        return [f"said{len(self.prompts) - len(prompts) + n}" for n in range(len(prompts))]


def test_each_turn_reads_the_text_its_side_and_all_that_was_said():
    debater = Debater()
    (held,) = hold_debates(["a leaf"], KEYS[:1], debater, ASKED, seed=1)
    mine, other = ("yes", "no") if held.first_side else ("no", "yes")
    assert held.turns == ("said0", "said1", "said2")
    for turn, prompt in enumerate(debater.prompts):
        assert "a leaf" in prompt
        assert "Is it green?" in prompt
        assert f'You speak for the answer "{mine if turn != 1 else other}"' in prompt
        assert [f"said{n}" in prompt for n in range(3)] == [n < turn for n in range(3)]
    assert "mistakes" in debater.prompts[1]
    assert "objections" in debater.prompts[2]
    assert held.text(ASKED).splitlines() == [
        f'Debater A, for "{mine}": said0', f'Debater B, for "{other}": said1', f'Debater A, for "{mine}": said2'
    ]  # fmt: skip


def test_sides_are_given_out_by_a_fair_coin_that_knows_only_text_and_seed():
    one, other = sides(KEYS, seed=1), sides(KEYS, seed=2)
    assert one.mean() == pytest.approx(0.5, abs=0.064)  # four standard deviations
    assert (one == other).mean() == pytest.approx(0.5, abs=0.064)
    assert np.array_equal(sides(KEYS[500:], seed=1), one[500:])


def test_every_turn_of_every_text_and_seed_has_a_seed_of_its_own():
    debater = Debater()
    for seed in (1, 2):
        hold_debates(["x"] * 50, KEYS[:50], debater, ASKED, seed=seed)
    assert len(set(debater.seeds)) == 2 * 50 * 3
    assert all(0 <= seed < 2**63 for seed in debater.seeds)


def test_a_prompt_names_both_answers_from_the_second_turn_on():
    prompt = turn_prompt("t", Transcript(0, ("first words",)), ASKED)
    assert '"yes"' in prompt
    assert 'Debater A, for "no": first words' in prompt


def test_transcripts_come_back_from_their_files_and_only_missing_ranges_are_asked_for(tmp_path):
    folder = Folder(str(tmp_path))
    assert list(missing_ranges(folder, seed=1, n_rows=10, rows_per_file=4)) == [range(4), range(4, 8), range(8, 10)]
    held = hold_debates(["x"] * 4, KEYS[:4], Debater(), ASKED, seed=1)
    places = [("rows.jsonl", n) for n in range(4)]
    write_transcripts(folder, file_name(1, range(4)), held, places=places, text_hash=KEYS[:4])
    assert read_transcripts(folder, seed=1) == dict(zip(KEYS[:4].tolist(), held, strict=True))
    assert list(missing_ranges(folder, seed=1, n_rows=10, rows_per_file=4)) == [range(4, 8), range(8, 10)]
    assert len(list(missing_ranges(folder, seed=2, n_rows=10, rows_per_file=4))) == 3
    assert read_transcripts(folder, seed=2) == {}
    with pytest.raises(ValueError, match="rows_per_file must be at least 1, got 0"):
        list(missing_ranges(folder, seed=1, n_rows=10, rows_per_file=0))

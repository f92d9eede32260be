"""Claims: what they count, print, refuse and log."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_notes import claims

UNITS = np.array([3, 4, 3, 5, 3, 3, 4, 3])


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    monkeypatch.delenv("VAE_NOTES_SEED", raising=False)
    monkeypatch.delenv("VAE_NOTES_CLAIMS", raising=False)


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and ". " not in text
    return text


# Seeds.


def test_seeds_start_at_zero():
    assert claims.base_seed() == 0
    assert claims.seeds() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_seeds_follow_the_environment(monkeypatch):
    monkeypatch.setenv("VAE_NOTES_SEED", "2000")
    assert claims.base_seed() == 2000
    assert claims.seeds(10) == list(range(2000, 2010))


@pytest.mark.parametrize("given", ["", "abc", "1.5", "-1", "1e3", " 7", "²", str(2**31)])
def test_a_base_seed_that_is_none_is_refused(monkeypatch, given):
    monkeypatch.setenv("VAE_NOTES_SEED", given)
    with pytest.raises(ValueError, match="VAE_NOTES_SEED is") as error:
        claims.base_seed()
    assert repr(given) in one_sentence(error)


def test_fewer_than_eight_seeds_are_refused():
    with pytest.raises(ValueError, match="got 7 seeds, expected at least 8") as error:
        claims.seeds(7)
    one_sentence(error)


# Checks.


@given(st.lists(st.booleans(), min_size=8, max_size=20), st.data())
def test_a_claim_fails_exactly_when_too_few_seeds_support_it(supports, data):
    needed = data.draw(st.none() | st.integers(1, len(supports)))
    enough = sum(supports) >= (len(supports) if needed is None else needed)
    if enough:
        assert claims.check("something holds", supports, at_least=needed) is None
    else:
        with pytest.raises(claims.ClaimFailed, match=f"holds for {sum(supports)} of"):
            claims.check("something holds", supports, at_least=needed)


def test_the_line_has_the_statement_and_the_count(capsys):
    claims.check("three units survive", UNITS >= 3, units=UNITS)
    assert capsys.readouterr().out == "holds for 8 of 8 seeds: three units survive\n"


def test_the_line_does_not_change_while_the_claim_holds(capsys):
    # Another thread count may move one seed across; the stored output must still compare equal.
    for holding in (6, 7, 8):
        claims.check("most survive", np.arange(8) < holding, at_least=6, number=np.full(8, holding))
    lines = set(capsys.readouterr().out.splitlines())
    assert lines == {"holds for at least 6 of 8 seeds: most survive"}


def test_a_failure_shows_every_seed_with_its_evidence(monkeypatch, capsys):
    monkeypatch.setenv("VAE_NOTES_SEED", "1000")
    elbo = np.linspace(-4.8, -4.1, 8)
    with pytest.raises(claims.ClaimFailed) as error:
        claims.check("four units survive", UNITS >= 4, units=UNITS, elbo=elbo)
    lines = str(error.value).splitlines()
    assert lines[0] == "holds for 3 of 8 seeds, 8 needed: four units survive"
    assert lines[1] == "  seed 1000: fails, units = 3, elbo = -4.8"
    assert lines[4] == "  seed 1003: holds, units = 5, elbo = -4.5"
    assert len(lines) == 9
    assert capsys.readouterr().out == ""


def test_booleans_are_evidence_too():
    with pytest.raises(claims.ClaimFailed, match="seed 2: fails, diverged = 1"):
        claims.check("none diverges", np.arange(8) != 2, diverged=np.arange(8) == 2)


def test_the_log_has_a_line_a_claim_failed_ones_included(monkeypatch, tmp_path):
    log = tmp_path / "claims.jsonl"
    monkeypatch.setenv("VAE_NOTES_CLAIMS", str(log))
    monkeypatch.setenv("VAE_NOTES_SEED", "1000")
    claims.check("three units survive, λ > σ²", UNITS >= 3, units=UNITS)
    gap = np.where(np.arange(8) == 7, np.nan, 0.25)
    with pytest.raises(claims.ClaimFailed):
        claims.check("the gap is positive", gap > 0, gap=gap)
    held, failed = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert held == {
        "statement": "three units survive, λ > σ²",
        "supporting": 8,
        "seeds": 8,
        "needed": 8,
        "base_seed": 1000,
        "supports": [True] * 8,
        "evidence": {"units": UNITS.tolist()},
    }
    assert (failed["supporting"], failed["needed"]) == (7, 8)
    assert failed["evidence"] == {"gap": [0.25] * 7 + [None]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(supports=[True] * 7), "rests on 7 seeds, expected at least 8"),
        (dict(supports=UNITS), "dtype int64, expected one boolean"),
        (dict(supports=np.ones((8, 2), bool)), r"shape \(8, 2\)"),
        (dict(supports=True), r"shape \(\)"),
        (dict(supports=[True] * 8, at_least=0), "at_least=0 is not a whole number from 1 to 8"),
        (dict(supports=[True] * 8, at_least=9), "at_least=9 is not"),
        (dict(supports=[True] * 8, at_least=6.5), "at_least=6.5 is not"),
        (dict(supports=[True] * 8, units=UNITS[:7]), r"evidence units has shape \(7,\)"),
        (dict(supports=[True] * 8, units=["3"] * 8), "evidence units .* dtype <U1"),
        (dict(supports=[True] * 8, statement=""), "the statement is ''"),
        (dict(supports=[True] * 8, statement="two\nlines"), "expected one line of text"),
    ],
)
def test_what_is_no_claim_is_refused_before_it_is_logged(monkeypatch, tmp_path, arguments, said):
    monkeypatch.setenv("VAE_NOTES_CLAIMS", str(tmp_path / "log"))
    with pytest.raises(ValueError, match=said) as error:
        claims.check(**{"statement": "it holds", **arguments})
    one_sentence(error)
    assert not (tmp_path / "log").exists()


# Glue; what it stores is tested against MyST-NB in test_glue.py.


def test_glue_outside_a_notebook_does_nothing(capsys):
    claims.glue("units", 3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["", "kl:per-unit", "a b", "`x`", 3])
def test_a_name_that_a_role_cannot_read_is_refused(name):
    with pytest.raises(ValueError, match="the name to glue is") as error:
        claims.glue(name, 1)
    one_sentence(error)


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), None, [1], np.ones(2), 1j])
def test_a_value_that_prose_cannot_show_is_refused(value):
    with pytest.raises(ValueError, match=r"'kl' is .*, expected text or a finite number") as error:
        claims.glue("kl", value)
    one_sentence(error)

"""What is cited: the papers that were used and no others, and a CITATION.cff that agrees."""

import dataclasses
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from grokinterp import bibliography, citing
from grokinterp.bibliography import BIBLIOGRAPHY, mention, papers_in, reference
from grokinterp.circuits import Algorithm
from grokinterp.citing import PRESET_SOURCES, PRESSURE_SOURCES, cite
from grokinterp.errors import ConfigError
from grokinterp.experiments import EXPERIMENTS, Scale, experiment_of
from grokinterp.experiments.claims import Findings
from grokinterp.experiments.experiment import PlannedRun
from grokinterp.experiments.reproduction import Reproduction
from grokinterp.measures import MEASURES, measure
from grokinterp.runs.config import PRESETS
from grokinterp.runs.pressures import PressureSpec
from grokinterp.tasks import TaskSpec
from grokinterp.training import train
from grokinterp.trajectory import analyze_run
from tests import synthetic, tiny

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CFF = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

# What cff-version 1.2.0 requires and allows, of what can occur here.
CFF_REQUIRED = {"authors", "cff-version", "message", "title"}
CFF_KEYS = CFF_REQUIRED | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords"),
    *("license", "license-url", "preferred-citation", "references", "repository"),
    *("repository-artifact", "repository-code", "type", "url", "version"),
}
REFERENCE_REQUIRED = {"authors", "title", "type"}
REFERENCE_KEYS = REFERENCE_REQUIRED | {
    *("collection-title", "conference", "date-published", "doi", "end", "identifiers", "issue"),
    *("journal", "month", "number", "pages", "publisher", "start", "url", "volume", "year"),
}
REFERENCE_TYPES = {"article", "blog", "book", "conference-paper", "software", "unpublished"}


def keys_of(bibtex):
    """Keys of the entries of a BibTeX text, in order."""
    return re.findall(r"^@\w+\{([^,]+),$", bibtex, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def permutation_analysis(tmp_path_factory):
    task = TaskSpec("permutation_composition", degree=3, train_fraction=0.7)
    config = dataclasses.replace(tiny.config(n_steps=20), task=task)
    run = train(config, tmp_path_factory.mktemp("s3") / "run", progress=False)
    return analyze_run(run, key_frequencies=["sign", "standard"], every=100)


def test_the_library_alone_has_one_entry_with_its_version():
    assert keys_of(cite()) == ["grokinterp"]
    assert f"Version {PROJECT['version']}" in cite()


def test_every_source_of_the_catalogue_is_in_the_bibliography():
    for standard in MEASURES:
        assert papers_in(standard.source), standard.name
        assert not bibliography.unknown_numbers(standard.source), standard.name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_paper_of_every_experiment_is_in_the_bibliography(name):
    paper = experiment_of(name).paper
    assert len(papers_in(paper)) == 1
    assert not bibliography.unknown_numbers(paper)


def test_every_other_source_that_can_be_cited_is_in_the_bibliography():
    named = {name: value for name, value in vars(citing).items() if re.fullmatch("_[A-Z]+", name)}
    keys = {**named, **PRESET_SOURCES, **PRESSURE_SOURCES}
    assert len(named) == 15
    for name, key in keys.items():
        assert key in BIBLIOGRAPHY, name
    assert set(PRESET_SOURCES) <= set(PRESETS)
    assert set(PRESET_SOURCES) == set(PRESETS) - {"quick"}
    assert set(PRESSURE_SOURCES) <= {f.name for f in dataclasses.fields(PressureSpec)}


def test_a_source_names_a_paper_by_its_key():
    assert papers_in("nanda2023progress, section 5") == ("nanda2023progress",)
    assert papers_in("nanda2023") == ()


def test_an_unknown_source_would_have_been_noticed():
    assert not papers_in("Doe 2024") and not papers_in("arXiv:2401.00001")
    assert bibliography.unknown_numbers("arXiv:2401.00001") == ("2401.00001",)


def test_a_reference_is_one_line_with_authors_title_venue_and_number():
    assert reference("nanda2023progress") == (
        "Nanda, Chan, Lieberum, Smith and Steinhardt, Progress measures for grokking via "
        "mechanistic interpretability, ICLR 2023, arXiv:2301.05217"
    )
    # No arXiv number; a journal; one author and no venue; more than five authors; a forum.
    assert reference("roy2007effective") == (
        "Roy and Vetterli, The Effective Rank: A Measure of Effective Dimensionality, EUSIPCO 2007"
    )
    assert "Sparsity, IEEE Transactions on Information Theory 2009, arXiv:0811.4706" in reference(
        "hurley2009comparing"
    )
    assert reference("gromov2023grokking").startswith("Gromov, Grokking modular arithmetic, 2023")
    assert reference("thilak2022slingshot").startswith("Thilak et al., The Slingshot")
    assert reference("chan2022causal").endswith("hypotheses, Alignment Forum 2022")
    assert mention("power2022grokking") == "Power et al. 2022, arXiv:2201.02177"
    assert mention("roy2007effective") == "Roy and Vetterli 2007"


@pytest.mark.parametrize("key", BIBLIOGRAPHY)
def test_the_reference_of_a_paper_names_that_paper_alone(key):
    line = reference(key)
    assert papers_in(line) == (key,)
    assert "\n" not in line and str(BIBLIOGRAPHY[key].year) in line
    # It is the title or the number that names it: authors, venue and year do not.
    assert papers_in(line.replace(BIBLIOGRAPHY[key].title, "").replace("arXiv:", "")) == ()


@pytest.mark.parametrize("key", ["nanda", "Nanda2023progress", ""])
def test_an_unknown_key_is_refused_with_the_known_ones(key):
    with pytest.raises(ConfigError, match="no paper .*Its keys: .*nanda2023progress"):
        reference(key)
    with pytest.raises(ConfigError, match="no paper .*Its keys: .*nanda2023progress"):
        mention(key)


def test_an_analysis_cites_its_measures_task_and_circuits_once_each(tiny_analysis):
    keys = keys_of(cite(tiny_analysis))
    assert keys[0] == "grokinterp" and len(keys) == len(set(keys))
    assert {"power2022grokking", "nanda2023progress", "tan2023understanding"} <= set(keys)
    assert {"hurley2009comparing", "roy2007effective", "zhong2023clock"} <= set(keys)
    # Nothing in it is of representations, of Omnigrok or of slingshots.
    assert not {"chughtai2023toy", "liu2022omnigrok", "thilak2022slingshot"} & set(keys)


def test_a_run_of_permutations_cites_nothing_about_frequencies(permutation_analysis):
    keys = set(keys_of(cite(permutation_analysis)))
    assert {"chughtai2023toy", "power2022grokking", "roy2007effective"} <= keys
    # No Gini coefficient of Fourier components; and composition does not commute.
    assert not {"hurley2009comparing", "tan2023understanding"} & keys
    # The clock and the pizza are cited for the gradient symmetricity alone, which it has.
    assert "zhong2023clock" in keys
    columns = ["step", "test_accuracy", "effective_rank_W_E"]
    kept = permutation_analysis.trajectory[columns]
    without = dataclasses.replace(permutation_analysis, trajectory=kept)
    assert "zhong2023clock" not in keys_of(cite(without))


def test_a_verdict_on_the_algorithm_is_cited_and_its_absence_is_not():
    judged = synthetic.grokked_analysis(20)
    columns = ["step", "test_accuracy"]
    judged = dataclasses.replace(judged, trajectory=judged.trajectory[columns])
    assert "zhong2023clock" in keys_of(cite(judged))
    unasked = dataclasses.replace(judged, algorithm=Algorithm("none", "nobody asked"))
    assert "zhong2023clock" not in keys_of(cite(unasked))


def test_one_measure_cites_its_own_paper_and_not_those_of_the_others(tiny_run):
    rank = next(m for m in MEASURES if m.name == "effective_rank_W_E")
    analysis = analyze_run(tiny_run, (rank,), every=100, deep=False)
    keys = set(keys_of(cite(analysis)))
    assert "roy2007effective" in keys
    assert not {"hurley2009comparing", "tan2023understanding", "zhong2023clock"} & keys


def test_the_source_of_a_custom_measure_is_cited_as_far_as_it_is_known(tiny_run):
    @measure(source="Doe, 2024, arXiv:2401.00001, section {2}")
    def of_a_paper(snapshot, key_frequencies):
        return 1.0

    @measure(source="notes of mine, me@home")
    def of_notes(snapshot, key_frequencies):
        return 2.0

    def of_nobody(snapshot, key_frequencies):
        return 3.0

    mine = (of_a_paper, of_notes, of_nobody)
    with_mine = cite(analyze_run(tiny_run, mine, every=100, deep=False))
    without = cite(analyze_run(tiny_run, (of_nobody,), every=100, deep=False))
    assert keys_of(with_mine) == [*keys_of(without), "arxiv2401_00001"]
    assert "  note = {Doe, 2024, arXiv:2401.00001, section (2)}," in with_mine
    assert with_mine.endswith("% notes of mine, me(at)home\n") and "%" not in without


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_cites_whose_settings_it_has_whatever_its_length(name):
    config = dataclasses.replace(PRESETS[name], n_steps=7, test_every=3)
    keys = keys_of(cite(fake_run(config)))
    expected = papers_in(PRESET_SOURCES.get(name, "nobody"))
    task = "liu2022omnigrok" if name == "digits" else "power2022grokking"
    assert keys == list(dict.fromkeys(["grokinterp", task, *expected]))


def test_a_preset_in_another_precision_is_still_that_preset():
    config = dataclasses.replace(PRESETS["nanda2023"], weight_dtype="float32")
    assert keys_of(cite(fake_run(config)))[2:] == ["nanda2023progress"]


def test_a_preset_with_other_settings_is_no_longer_that_preset():
    config = PRESETS["nanda2023"]
    other = dataclasses.replace(config, task=dataclasses.replace(config.task, p=97))
    assert keys_of(cite(fake_run(other))) == ["grokinterp", "power2022grokking"]


def test_pressures_losses_and_parents_are_cited():
    parent = tiny.config(pressures=PressureSpec(grokfast="ema", l1=1e-4))
    config = tiny.config(loss="stable_max", parent=parent)
    keys = keys_of(cite(fake_run(config)))
    assert keys == ["grokinterp", "power2022grokking", "prieto2025grokking", "lee2024grokfast"]
    muon = tiny.config(optimizer=dataclasses.replace(tiny.config().optimizer, algorithm="muon"))
    assert keys_of(cite(fake_run(muon))) == ["grokinterp", "power2022grokking", "tveit2025muon"]
    assert "Bj{\\o}rn" in cite(fake_run(muon))
    labels = dataclasses.replace(tiny.config(), task=TaskSpec("random_labels", p=13))
    assert keys_of(cite(fake_run(labels))) == ["grokinterp"]


def test_a_reproduction_cites_its_question_and_the_training_of_its_runs(tmp_path):
    varma = experiment_of("varma2023")
    result = reproduction_of(varma, tmp_path)
    assert keys_of(cite(result)) == ["grokinterp", "varma2023explaining", "power2022grokking"]
    slow = tiny.config(pressures=PressureSpec(perp_grad=True))
    other = dataclasses.replace(varma, plan=lambda scale: [PlannedRun(slow, {"seed": 0})])
    assert "prieto2025grokking" in keys_of(cite(reproduction_of(other, tmp_path)))


def test_a_list_cites_what_its_members_do_once(tiny_analysis, permutation_analysis):
    together = keys_of(cite([tiny_analysis, permutation_analysis]))
    apart = [*keys_of(cite(tiny_analysis)), *keys_of(cite(permutation_analysis))]
    assert together == list(dict.fromkeys(apart))
    assert keys_of(cite([])) == ["grokinterp"]


def test_something_else_is_refused_in_one_line(tiny_analysis):
    with pytest.raises(ConfigError, match=r"^str has nothing to cite\. Give analyses, runs"):
        cite([tiny_analysis, "ckpts/"])


def test_entries_are_bibtex_in_ascii_with_balanced_braces():
    everything = "\n".join(
        bibliography.entry(p.kind, key, p.fields()) for key, p in BIBLIOGRAPHY.items()
    )
    assert everything.isascii()
    assert r"Kram{\'a}r, J{\'a}nos" in everything
    assert everything.count("{") == everything.count("}")
    numbers = [paper.arxiv for paper in BIBLIOGRAPHY.values() if paper.arxiv]
    assert len(numbers) == len(set(numbers))
    for paper in BIBLIOGRAPHY.values():
        assert all(author.count(",") == 1 for author in paper.authors)


def test_citation_cff_has_the_fields_of_its_schema():
    assert CFF["cff-version"] == "1.2.0"
    assert CFF_REQUIRED <= set(CFF) <= CFF_KEYS
    assert CFF["type"] in ("software", "dataset") and CFF["authors"]
    for paper in CFF["references"]:
        assert REFERENCE_REQUIRED <= set(paper) <= REFERENCE_KEYS, paper["title"]
        assert paper["type"] in REFERENCE_TYPES
        assert all(set(a) <= {"family-names", "given-names"} for a in paper["authors"])
        assert isinstance(paper["year"], int)


def test_citation_cff_says_what_pyproject_and_the_library_say():
    assert str(CFF["version"]) == PROJECT["version"]
    assert CFF["title"] == citing.TITLE
    assert CFF["authors"] == [{"name": citing.AUTHORS}]
    assert CFF["repository-code"] == citing.REPOSITORY == PROJECT["urls"]["Repository"]
    assert CFF["license"] == PROJECT["license"] == "MIT"


def test_citation_cff_has_the_papers_of_the_bibliography():
    listed = {
        (
            paper["title"],
            paper["year"],
            tuple(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"]),
            paper.get("url", "").removeprefix("https://arxiv.org/abs/") or None,
        )
        for paper in CFF["references"]
    }
    known = {(p.title, p.year, p.authors, p.arxiv) for p in BIBLIOGRAPHY.values()}
    assert listed == known


def test_the_licence_is_there_and_named():
    (file,) = PROJECT["license-files"]
    text = (ROOT / file).read_text(encoding="utf-8")
    assert text.startswith("MIT License") and "WITHOUT WARRANTY OF ANY KIND" in text


def test_the_public_name_is_the_function():
    assert import_module("grokinterp").cite is cite


def fake_run(config):
    """A run of a config, without weights."""
    from grokinterp.runs.run import Run, WeightsInMemory
    from grokinterp.tasks import Split

    split = Split.unknown(synthetic.Task(TaskSpec(p=5)))
    return Run(config, split, WeightsInMemory({}), synthetic.curves(5, n_steps=2), "planted")


def reproduction_of(experiment, out):
    """A reproduction whose runs nobody has trained."""
    table = synthetic.curves(5, n_steps=2)
    return Reproduction(experiment, Scale(True), table, (), Findings(()), out, 0.0)

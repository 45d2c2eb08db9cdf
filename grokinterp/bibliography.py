"""The papers that the library's tasks, training, measures and circuits come from.

One table, from the key of a paper to what BibTeX needs of it. The code cites a paper by its key:
:func:`reference` makes a line of it for a reader, :func:`mention` a few words. A source that
somebody writes names a paper by its key, by its arXiv number, by its title or by the words in
:attr:`Paper.called`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from grokinterp.errors import ConfigError
from grokinterp.fields import shown

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_ACCENTS = {"á": r"{\'a}", "é": r"{\'e}", "è": r"{\`e}", "à": r"{\`a}", "ø": r"{\o}", "ü": r"{\"u}"}
MOST_NAMES = 5
"""Authors that a reference names; of more it names the first."""


@dataclass(frozen=True)
class Paper:
    """A paper as BibTeX needs it."""

    authors: tuple[str, ...]
    """Each as ``Family, Given``."""
    title: str
    year: int
    arxiv: str | None = None
    """Its number, such as ``2301.05217``."""
    conference: str | None = None
    """Proceedings; None for a journal article and for what is on arXiv alone."""
    journal: str | None = None
    other: tuple[tuple[str, str], ...] = ()
    """Further fields, such as pages."""
    called: tuple[str, ...] = ()
    """Words by which a source may name it that gives neither key, arXiv number nor title."""

    @property
    def kind(self) -> str:
        """Type of the BibTeX entry."""
        if self.conference is not None:
            return "inproceedings"
        return "misc" if self.journal is None else "article"

    def in_names(self, most: int) -> str:
        """Return the family names of the authors, or that of the first where they are more."""
        names = [author.partition(",")[0] for author in self.authors]
        if len(names) > most:
            return f"{names[0]} et al."
        return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])

    @property
    def reference(self) -> str:
        """The paper on one line: authors, title, venue and year, arXiv number."""
        venue = self.conference or self.journal or dict(self.other).get("howpublished")
        place = f"{_SHORT.get(venue, venue)} {self.year}" if venue else str(self.year)
        number = f"arXiv:{self.arxiv}" if self.arxiv else None
        parts = (self.in_names(MOST_NAMES), self.title, place, number)
        return ", ".join(part for part in parts if part)

    @property
    def mention(self) -> str:
        """The paper in a few words: authors and year, arXiv number."""
        words = f"{self.in_names(2)} {self.year}"
        return f"{words}, arXiv:{self.arxiv}" if self.arxiv else words

    def fields(self) -> dict[str, str]:
        """Return the fields of the BibTeX entry, plain text in Unicode."""
        venue = {"booktitle": self.conference, "journal": self.journal}
        archive = {"eprint": self.arxiv, "archiveprefix": self.arxiv and "arXiv"}
        fields = {
            "author": " and ".join(self.authors),
            "title": self.title,
            **venue,
            "year": str(self.year),
            **archive,
            **dict(self.other),
        }
        return {name: value for name, value in fields.items() if value}


_ICLR = "International Conference on Learning Representations"
_NEURIPS = "Advances in Neural Information Processing Systems"
_ICML = "International Conference on Machine Learning"
_EUSIPCO = "European Signal Processing Conference"
_SHORT = {_ICLR: "ICLR", _NEURIPS: "NeurIPS", _ICML: "ICML", _EUSIPCO: "EUSIPCO"}

BIBLIOGRAPHY: dict[str, Paper] = {
    "power2022grokking": Paper(
        (
            "Power, Alethea",
            "Burda, Yuri",
            "Edwards, Harri",
            "Babuschkin, Igor",
            "Misra, Vedant",
        ),
        "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets",
        2022,
        arxiv="2201.02177",
    ),
    "nanda2023progress": Paper(
        (
            "Nanda, Neel",
            "Chan, Lawrence",
            "Lieberum, Tom",
            "Smith, Jess",
            "Steinhardt, Jacob",
        ),
        "Progress measures for grokking via mechanistic interpretability",
        2023,
        arxiv="2301.05217",
        conference=_ICLR,
    ),
    "zhong2023clock": Paper(
        ("Zhong, Ziqian", "Liu, Ziming", "Tegmark, Max", "Andreas, Jacob"),
        "The Clock and the Pizza: Two Stories in Mechanistic Explanation of Neural Networks",
        2023,
        arxiv="2306.17844",
        conference=_NEURIPS,
    ),
    "chughtai2023toy": Paper(
        ("Chughtai, Bilal", "Chan, Lawrence", "Nanda, Neel"),
        "A Toy Model of Universality: Reverse Engineering How Networks Learn Group Operations",
        2023,
        arxiv="2302.03025",
        conference=_ICML,
    ),
    "lau2025local": Paper(
        (
            "Lau, Edmund",
            "Furman, Zach",
            "Wang, George",
            "Murfet, Daniel",
            "Wei, Susan",
        ),
        "The Local Learning Coefficient: A Singularity-Aware Complexity Measure",
        2025,
        arxiv="2308.12108",
        conference="International Conference on Artificial Intelligence and Statistics",
    ),
    "vehtari2021rank": Paper(
        (
            "Vehtari, Aki",
            "Gelman, Andrew",
            "Simpson, Daniel",
            "Carpenter, Bob",
            "Bürkner, Paul-Christian",
        ),
        "Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing "
        "Convergence of MCMC",
        2021,
        arxiv="1903.08008",
        journal="Bayesian Analysis",
    ),
    "farewell1982mixture": Paper(
        ("Farewell, Vern T.",),
        "The Use of Mixture Models for the Analysis of Survival Data with Long-Term Survivors",
        1982,
        journal="Biometrics",
        called=("Farewell 1982", "Farewell, Biometrics"),
    ),
    "vanhouwelingen2007dynamic": Paper(
        ("van Houwelingen, Hans C.",),
        "Dynamic Prediction by Landmarking in Event History Analysis",
        2007,
        journal="Scandinavian Journal of Statistics",
        called=("van Houwelingen, Scandinavian",),
    ),
    "candes2023conformalized": Paper(
        ("Candès, Emmanuel", "Lei, Lihua", "Ren, Zhimei"),
        "Conformalized Survival Analysis",
        2023,
        arxiv="2103.09763",
        journal="Journal of the Royal Statistical Society Series B",
    ),
    "stander2024grokking": Paper(
        ("Stander, Dashiell", "Yu, Qinan", "Fan, Honglu", "Biderman, Stella"),
        "Grokking Group Multiplication with Cosets",
        2024,
        arxiv="2312.06581",
        conference=_ICML,
    ),
    "mccracken2025uncovering": Paper(
        (
            "McCracken, Gavin",
            "Moisescu-Pareja, Gabriela",
            "Létourneau, Vincent",
            "Precup, Doina",
            "Love, Jonathan",
        ),
        "Uncovering a Universal Abstract Algorithm for Modular Addition in Neural Networks",
        2025,
        arxiv="2505.18266",
        conference=_NEURIPS,
    ),
    "varma2023explaining": Paper(
        (
            "Varma, Vikrant",
            "Shah, Rohin",
            "Kenton, Zachary",
            "Kramár, János",
            "Kumar, Ramana",
        ),
        "Explaining grokking through circuit efficiency",
        2023,
        arxiv="2309.02390",
    ),
    "liu2022omnigrok": Paper(
        ("Liu, Ziming", "Michaud, Eric J.", "Tegmark, Max"),
        "Omnigrok: Grokking Beyond Algorithmic Data",
        2023,
        arxiv="2210.01117",
        conference=_ICLR,
    ),
    "truong2026weight": Paper(
        ("Truong, Xuan Khanh", "Doan, Hoang Viet", "Luu, Duc Trung", "Phan, Thanh Duc"),
        "The Weight Norm Sets the Grokking Timescale: A Causal Delay Law",
        2026,
        arxiv="2606.13753",
    ),
    "kumar2023grokking": Paper(
        ("Kumar, Tanishq", "Bordelon, Blake", "Gershman, Samuel J.", "Pehlevan, Cengiz"),
        "Grokking as the Transition from Lazy to Rich Training Dynamics",
        2024,
        arxiv="2310.06110",
        conference=_ICLR,
    ),
    "thilak2022slingshot": Paper(
        (
            "Thilak, Vimal",
            "Littwin, Etai",
            "Zhai, Shuangfei",
            "Saremi, Omid",
            "Paiss, Roni",
            "Susskind, Joshua",
        ),
        "The Slingshot Mechanism: An Empirical Study of Adaptive Optimizers and the Grokking "
        "Phenomenon",
        2022,
        arxiv="2206.04817",
    ),
    "prieto2025grokking": Paper(
        ("Prieto, Lucas", "Barsbey, Melih", "Mediano, Pedro A. M.", "Birdal, Tolga"),
        "Grokking at the Edge of Numerical Stability",
        2025,
        arxiv="2501.04697",
        conference=_ICLR,
    ),
    "lee2024grokfast": Paper(
        ("Lee, Jaerin", "Kang, Bong Gyun", "Kim, Kihoon", "Lee, Kyoung Mu"),
        "Grokfast: Accelerated Grokking by Amplifying Slow Gradients",
        2024,
        arxiv="2405.20233",
    ),
    "tveit2025muon": Paper(
        ("Tveit, Amund", "Remseth, Bjørn", "Skogvold, Arve"),
        "Muon Optimizer Accelerates Grokking",
        2025,
        arxiv="2504.16041",
    ),
    "gromov2023grokking": Paper(
        ("Gromov, Andrey",), "Grokking modular arithmetic", 2023, arxiv="2301.02679"
    ),
    "tan2023understanding": Paper(
        ("Tan, Zhiquan", "Huang, Weiran"),
        "Understanding Grokking Through A Robustness Viewpoint",
        2023,
        arxiv="2311.06597",
    ),
    "gross2024compact": Paper(
        (
            "Gross, Jason",
            "Agrawal, Rajashree",
            "Kwa, Thomas",
            "Ong, Euan",
            "Yip, Chun Hei",
            "Gibson, Alex",
            "Noubir, Soufiane",
            "Chan, Lawrence",
        ),
        "Compact Proofs of Model Performance via Mechanistic Interpretability",
        2024,
        arxiv="2406.11779",
        conference=_NEURIPS,
    ),
    "hurley2009comparing": Paper(
        ("Hurley, Niall", "Rickard, Scott"),
        "Comparing Measures of Sparsity",
        2009,
        arxiv="0811.4706",
        journal="IEEE Transactions on Information Theory",
        other=(("volume", "55"), ("number", "10"), ("pages", "4723--4741")),
        called=("Hurley & Rickard 2009",),
    ),
    "roy2007effective": Paper(
        ("Roy, Olivier", "Vetterli, Martin"),
        "The Effective Rank: A Measure of Effective Dimensionality",
        2007,
        conference=_EUSIPCO,
        other=(("pages", "606--610"),),
        called=("Roy & Vetterli, EUSIPCO 2007",),
    ),
    "chan2022causal": Paper(
        (
            "Chan, Lawrence",
            "Garriga-Alonso, Adrià",
            "Goldowsky-Dill, Nicholas",
            "Greenblatt, Ryan",
            "Nitishinskaya, Jenny",
            "Radhakrishnan, Ansh",
            "Shlegeris, Buck",
            "Thomas, Nate",
        ),
        "Causal Scrubbing: a method for rigorously testing interpretability hypotheses",
        2022,
        other=(("howpublished", "Alignment Forum"),),
        called=("Chan et al. 2022, causal scrubbing",),
    ),
}
"""Every paper that a standard measure, an analysis, a task, a preset, a pressure or an experiment
rests on, by its BibTeX key."""


def reference(key: str) -> str:
    """Return a paper on one line: authors, title, venue and year, arXiv number.

    Parameters
    ----------
    key
        A key of :data:`BIBLIOGRAPHY`.

    Raises
    ------
    ConfigError
        If the bibliography has no paper under that key.

    Examples
    --------
    >>> reference("gromov2023grokking")
    'Gromov, Grokking modular arithmetic, 2023, arXiv:2301.02679'
    """
    return _paper(key).reference


def mention(key: str) -> str:
    """Return a paper in a few words: authors and year, arXiv number; see :func:`reference`.

    Examples
    --------
    >>> mention("zhong2023clock")
    'Zhong et al. 2023, arXiv:2306.17844'
    """
    return _paper(key).mention


def _paper(key: str) -> Paper:
    if key not in BIBLIOGRAPHY:
        raise ConfigError(
            f"the bibliography has no paper {shown(key)}. Its keys: {', '.join(BIBLIOGRAPHY)}."
        )
    return BIBLIOGRAPHY[key]


def papers_in(source: str) -> tuple[str, ...]:
    """Keys of the papers of the bibliography that a source names, in the table's order.

    A source names a paper by its key, its arXiv number, its title or the words it is called by.

    Examples
    --------
    >>> papers_in("Nanda et al., ICLR 2023, arXiv:2301.05217; Gini of Hurley & Rickard 2009")
    ('nanda2023progress', 'hurley2009comparing')
    """
    numbers = set(_ARXIV.findall(source))
    return tuple(
        key
        for key, paper in BIBLIOGRAPHY.items()
        if paper.arxiv in numbers
        or any(words in source for words in (key, paper.title, *paper.called))
    )


def unknown_numbers(source: str) -> tuple[str, ...]:
    """Return the arXiv numbers in a source that the bibliography does not have.

    Examples
    --------
    >>> unknown_numbers("after arXiv:2301.05217 and arXiv:2401.00001")
    ('2401.00001',)
    """
    known = {paper.arxiv for paper in BIBLIOGRAPHY.values()}
    return tuple(n for n in dict.fromkeys(_ARXIV.findall(source)) if n not in known)


def entry(kind: str, key: str, fields: dict[str, str]) -> str:
    r"""Return one BibTeX entry, in ASCII.

    Examples
    --------
    >>> print(entry("misc", "mine", {"author": "Kramár, János", "title": "On grokking"}))
    @misc{mine,
      author = {Kram{\'a}r, J{\'a}nos},
      title = {{On grokking}},
    }
    """
    # Styles set titles in lower case unless they stand in a second pair of braces.
    shown = {name: f"{{{text}}}" if name == "title" else text for name, text in fields.items()}
    lines = [f"  {name} = {{{_as_tex(text)}}}," for name, text in shown.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _as_tex(text: str) -> str:
    for letter, tex in _ACCENTS.items():
        text = text.replace(letter, tex)
    return text

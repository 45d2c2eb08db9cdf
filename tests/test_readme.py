"""The README's Python, run as it stands on a smaller network, and its links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 2
    preset = 'gi.PRESETS["quick"]'
    assert preset in blocks[0]
    code = "\n".join(blocks).replace(preset, "tiny.config(n_steps=60)")
    monkeypatch.chdir(tmp_path)
    exec(compile("from tests import tiny\n" + code, "README.md", "exec"), {})
    assert (tmp_path / "report.html").exists()
    assert "largest_logit" in capsys.readouterr().out


def test_every_link_of_the_readme_leads_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 4
    for target in targets:
        assert (ROOT / target).exists(), target


def test_every_link_between_the_docs_leads_somewhere():
    docs = ROOT / "docs"
    pages = [page for folder in (docs, docs / "experiments") for page in folder.glob("*.md")]
    assert len(pages) > 20
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"

"""What the README says of speed is of the kept run."""

from tests.bench.checkout import ROOT
from tests.bench.page import BEGIN, END
from tests.bench.references import typed


def test_no_figure_of_the_readme_is_typed() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Speed\n")[2].partition("\n## ")[0]
    before, _, rest = section.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end
    assert typed(before + after) == []

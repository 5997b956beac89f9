"""Check that the documents agree with the program, with each other and with the files."""

import re
from pathlib import Path

import pytest

from elsr_paddle.networks import NETWORKS, build

ROOT = Path(__file__).parent.parent
COMMANDS = ("", "prepare", "train", "train --model elsr-y", "test", "test-video", "models", "info",
            "export", "import --model espcn", "app")
FLAGS_OF_OTHERS = {"--nproc_per_node", "--backend",  # of Paddle's launcher
                   "--vo", "--glsl-shaders",  # of mpv
                   "--dir"}  # of Wasmtime


def figures(text):
    """The numbers of a text that have a decimal point."""
    return sorted(re.findall(r"(?<![\d.,])\d[\d,]*\.\d+(?![\d.])", text))


def commands(text):
    """The blocks of shell commands in a text, without their comments."""
    return [re.sub(r" *#.*", "", block) for block in re.findall(r"```bash\n(.*?)```", text, re.S)]


@pytest.mark.parametrize("part", [figures, commands])
@pytest.mark.parametrize("page", ["README", "docs/ai-studio"])
def test_a_chinese_page_says_the_same_as_the_english_one(page, part):
    english, chinese = ((ROOT / f"{page}{suffix}").read_text(encoding="utf-8")
                        for suffix in (".md", ".zh-CN.md"))  # fmt: skip
    assert part(chinese) == part(english)


DOCUMENTS = sorted(path for folder in ("", "docs", "benchmarks", "elsr_paddle/weights")
                   for path in (ROOT / folder).glob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_links_only_to_files_that_exist(document):
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text)
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.fixture(scope="module")
def flags(run_python):
    """Every flag of every command, as --help shows them."""
    helps = [run_python("-m", "elsr_paddle", *command.split(), "--help").stdout
             for command in COMMANDS]  # fmt: skip
    return set(re.findall(r"--[a-z][a-z_-]*", " ".join(helps)))


@pytest.mark.parametrize("document", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md",
                                      "docs/ai-studio.md", "docs/old-film.md", "docs/engineers.md",
                                      "docs/deploy.md", "docs/pipes.md", "docs/players.md",
                                      "elsr_paddle/weights/README.md", "benchmarks/ablation.md"])
def test_every_flag_that_a_document_names_exists(document, flags):
    text = (ROOT / document).read_text(encoding="utf-8")
    ours = "\n".join(line for line in text.splitlines() if "benchmarks/" not in line)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z_-]*", ours))
    assert named - flags - FLAGS_OF_OTHERS == set()


def test_the_network_that_contributing_adds_is_one(monkeypatch):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (source,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
                 if "class Toy" in block)  # fmt: skip
    names = {"__name__": __name__}
    exec(source, names)
    monkeypatch.setitem(NETWORKS, "toy", names["Toy"])
    toy = build("toy", {"scale": 3})
    assert (toy.graph.scale, toy.channels) == (3, 1)
    # 3x3 to 8 channels and 3x3 to 3 * 3, multiply-adds a pixel of the input
    assert toy.graph.multiply_adds == 9 * 8 + 9 * 8 * 9

"""From a number to a mutant: the same number gives the same one."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field, replace

from baton_lint.arguments import COMMANDS, DRAWINGS, FORMATS

from tests.fuzz import corpus

KINDS = ("text", "text", "text", "text", "notebook", "configuration", "cache", "command")
MODES = (
    ("--format", "json"),
    ("--format", "full"),
    ("--format", "sarif"),
    ("--diff", "--unsafe-fixes"),
    ("graph",),
    ("emit",),
)
"""How a mutant is looked at."""

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
OPTIONS = (
    *(
        "--select",
        "--extend-select",
        "--ignore",
        "--exclude",
        "--format",
        "--jobs",
        "--cache-dir",
        "--flow",
        "--output",
    ),
    *("--checker", "--python", "--stdin-filename", "--strict", "--fix", "--unsafe-fixes", "--diff", "--statistics"),
    *("--quiet", "--no-cache", "--version", "--help", "-h", "-q", "-V", "-j", "-", "--", "--nope", "---", "-x"),
)
VALUES = (
    *(
        "ALL",
        "BTN1",
        "BTN102",
        "baton-cycle",
        "btn",
        "",
        ",",
        " , ",
        "1",
        "0",
        "-1",
        "9" * 5_000,
        "٣",
        "*",
        "[",
        "[!",
        "**/*",
    ),
    *(
        "flows.py",
        ".",
        "..",
        "nowhere",
        "nb.ipynb",
        "pyproject.toml",
        "x\ny",
        "\udcff",
        "é",
        "\x1b[31m",
        "out",
        "a/b/c",
    ),
    *(*FORMATS, *DRAWINGS, *COMMANDS, "shop", "=", "--", "klingon"),
)


@dataclass(frozen=True)
class Mutant:
    """One thing to be looked at.

    Attributes:
        kind: What was mutated.
        files: By name.
        arguments: The command line.
        cache: What stands in the cache; None for nothing.
        cache_is: What the cache is: a file, a link, a folder or a pipe.
        stdin: What comes on the standard input.
    """

    kind: str
    files: dict[str, bytes]
    arguments: tuple[str, ...]
    cache: bytes | None = None
    cache_is: str = "file"
    stdin: bytes = field(default=b"", repr=False)


def mutant_of(seed: int, number: int) -> Mutant:
    """The mutant with a number."""
    chance = random.Random(f"{seed} {number}")
    kind = chance.choice(KINDS)
    mode = MODES[number % len(MODES)]
    program = chance.choice(corpus.programs()) if chance.random() < 0.7 else corpus.RICH
    plain = Mutant(kind, {"flows.py": program.encode()}, (*mode, *_more(chance, mode)))
    match kind:
        case "text":
            files = {"flows.py": text_of(chance, program)}
            if chance.random() < 0.3:
                files["steps.py"] = text_of(chance, chance.choice(corpus.programs()))
            if chance.random() < 0.1:
                plain = replace(plain, arguments=(*mode, "-", "--stdin-filename", "x.py"), stdin=files["flows.py"])
            return replace(plain, files=files)
        case "notebook":
            whole = corpus.as_notebook(program)
            data = text_of(chance, whole) if chance.random() < 0.5 else _cells(chance, program)
            return replace(plain, files={"nb.ipynb": data})
        case "configuration":
            files = {**plain.files, "pyproject.toml": text_of(chance, chance.choice(corpus.CONFIGURATIONS))}
            if chance.random() < 0.5:
                files["sub/pyproject.toml"] = text_of(chance, chance.choice(corpus.CONFIGURATIONS))
                files["sub/flows.py"] = program.encode()
            return replace(plain, files=files)
        case "cache":
            data = bytes(chance.randbytes(chance.choice((0, 3, 40, 400))))
            data = chance.choice((data, bytes(32) + data, b"mutate"))
            return replace(
                plain, cache=data, cache_is=chance.choice(("file", "file", "file", "link", "folder", "pipe"))
            )
        case _:
            return replace(plain, arguments=_command_line(chance))


def _more(chance: random.Random, mode: tuple[str, ...]) -> tuple[str, ...]:
    more = ["--strict"] if chance.random() < 0.5 else []
    if mode[0].startswith("-") and chance.random() < 0.5:
        more += ["--extend-select", "ALL"]
    return (*more, "--no-cache") if chance.random() < 0.7 else tuple(more)


def _command_line(chance: random.Random) -> tuple[str, ...]:
    words = [chance.choice(COMMANDS)] if chance.random() < 0.5 else []
    for _ in range(chance.randrange(6)):
        word = chance.choice(OPTIONS) if chance.random() < 0.6 else chance.choice(VALUES)
        words.append(f"{word}={chance.choice(VALUES)}" if chance.random() < 0.2 else word)
    return tuple(words)


def _cells(chance: random.Random, program: str) -> bytes:
    return corpus.as_notebook(text_of(chance, program).decode(errors="replace")).encode()


def text_of(chance: random.Random, text: str) -> bytes:
    """A text with a few changes."""
    data: str | bytes = text
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        data = _bytes(chance, data) if isinstance(data, bytes) else chance.choice(_CHANGES)(chance, data)
    return data.encode(errors="surrogatepass") if isinstance(data, str) else data


def _bytes(chance: random.Random, data: bytes) -> bytes:
    position = chance.randrange(len(data) + 1)
    if chance.random() < 0.5:
        return data[:position] + chance.choice(corpus.BYTES) + data[position:]
    return data[:position] + bytes([chance.randrange(256)]) + data[position + 1 :]


def _to_bytes(chance: random.Random, text: str) -> bytes:
    encoding = chance.choice(("utf-8", "utf-8", "utf-16", "latin-1", "cp037"))
    return _bytes(chance, text.encode(encoding, "replace"))


def _token(chance: random.Random, text: str) -> str:
    tokens = _TOKEN.findall(text)
    if not tokens:
        return chance.choice(corpus.TOKENS)
    position, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
    match chance.randrange(5):
        case 0:
            del tokens[position]
        case 1:
            tokens.insert(position, chance.choice(corpus.TOKENS))
        case 2:
            tokens[position] = chance.choice(corpus.TOKENS)
        case 3:
            tokens[position] = tokens[other]
        case _:
            tokens[position], tokens[other] = tokens[other], tokens[position]
    return "".join(tokens)


def _lines(chance: random.Random, text: str) -> str:
    lines = text.split("\n")
    position, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(6):
        case 0:
            del lines[position]
        case 1:
            lines.insert(position, lines[other])
        case 2:
            lines[position], lines[other] = lines[other], lines[position]
        case 3:
            lines[position] = "    " + lines[position]
        case 4:
            lines[position] = lines[position].lstrip()
        case _:
            lines[position:position] = chance.choice(corpus.programs()).split("\n")[: chance.randrange(20)]
    return "\n".join(lines)


def _nest(chance: random.Random, text: str) -> str:
    """One word many levels deep."""
    words = list(re.finditer(r"\w+", text))
    if not words:
        return text
    word = chance.choice(words)
    deep = chance.choice((3, 60, 61, 190, 250, 900, 1_300, 3_000))
    before, after = chance.choice(
        (
            *(("(", ")"), ("[", "]"), ("- ", ""), ("not ", ""), ("lambda: ", ""), ("", ".a"), ("", "()"), ("", "[0]")),
            *(
                ("1 + ", ""),
                ("1 | ", ""),
                ("f(", ")"),
                ("list[", "]"),
                ("x if x else ", ""),
                ("", " < 1"),
                ("await ", ""),
            ),
            *(
                ("", ".add('a', b)"),
                ("", ".named('x')"),
                ("{1: ", "}"),
                ("'", "'"),
                ("*", ""),
                ("x = ", ""),
                ("@", "\n"),
            ),
        )
    )
    return text[: word.start()] + before * deep + word[0] + after * deep + text[word.end() :]


def _rename(chance: random.Random, text: str) -> str:
    """One name becomes another one everywhere."""
    names = sorted(set(re.findall(r"[A-Za-z_]\w+", text)))
    if len(names) < 2:
        return text
    old, new = chance.sample(names, 2)
    return re.sub(rf"\b{old}\b", new, text)


_CHANGES = (_token, _token, _token, _lines, _lines, _nest, _rename, _rename, _to_bytes)

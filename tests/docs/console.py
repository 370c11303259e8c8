"""A terminal that keeps what a reader would see; supports what click and rich need."""

import os
import pty
import re
import subprocess
from pathlib import Path

_PIECES = re.compile(
    r"\x1b\[(?P<number>\d*)(?P<action>[A-Za-z])|\x1b\[\?\d+[hl]|\x1b\[[\d;]+m|(?P<text>[^\x1b])", re.DOTALL
)


def seen(output: str) -> list[str]:
    """The lines on the screen after all output, redrawn ones once, without colours."""
    lines, row, column = [""], 0, 0
    for piece in _PIECES.finditer(output):
        text = piece["text"]
        if piece["action"] == "A":
            row = max(0, row - int(piece["number"] or 1))
        elif piece["action"] == "K":
            lines[row] = ""
        elif text == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif text == "\r":
            column = 0
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + 1 :]
            column += 1
        if text == "\n":
            column = 0
    return [line.rstrip() for line in lines]


def run(command: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """Run a command in a terminal, and return the visible lines."""
    terminal, their_end = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=their_end, stdout=their_end, stderr=their_end
    )
    os.close(their_end)
    output = b""
    while chunk := _read(terminal):
        output += chunk
    process.wait()
    os.close(terminal)
    return seen(output.decode().replace("\r\n", "\n"))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # what Linux says when the other end is closed
        return b""

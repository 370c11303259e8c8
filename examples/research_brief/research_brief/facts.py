"""The values that steps pass to each other."""

from typing import Literal

from pydantic import BaseModel, Field


class Source(BaseModel):
    title: str
    text: str


class Note(BaseModel):
    """What one source says about the question."""

    title: str
    points: list[str]


class Verdict(BaseModel):
    """The verdict of one model on all notes."""

    answer: Literal["yes", "no", "unclear"]
    confidence: float = Field(ge=0, le=1)
    reasons: list[str]


class Brief(BaseModel):
    question: str
    answers: dict[str, str]
    summary: str

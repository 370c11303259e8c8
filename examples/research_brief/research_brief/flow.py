"""The flow: sources, a note on each, two verdicts in parallel, and a brief."""

from importlib.resources import files

from pydantic import BaseModel

from baton_dsl import Each, Flow, Input, StepContext, step
from research_brief.asking import MOST_TOKENS, ask
from research_brief.facts import Brief, Note, Source, Verdict

SMALL = "openai:gpt-5-mini"
LARGE = "anthropic:claude-sonnet-4-6"


class Points(BaseModel):
    points: list[str]


class Summary(BaseModel):
    summary: str


@step
def sources() -> list[Source]:
    """The sources to read: the texts that come with this example."""
    found = sorted(files("research_brief").joinpath("sources").iterdir(), key=lambda it: it.name)
    texts = (it.read_text("utf-8").partition("\n") for it in found if it.name.endswith(".txt"))
    return [Source(title=title, text=text.strip()) for title, _, text in texts]


@step(models=SMALL, max_attempts=4, max_concurrency=3, max_input_tokens=4_000, max_output_tokens=MOST_TOKENS)
async def notes(sources: Each[Source], question: Input[str], context: StepContext) -> Note:
    """A note on one source, by a small model, because there are many."""
    task = f"You take notes for this question: {question} List what the text says about it, a sentence a point."
    found = await ask(context, task, f"{sources.title}\n\n{sources.text}", Points)
    return Note(title=sources.title, points=found.points)


@step(models=(LARGE, SMALL), max_attempts=4, max_input_tokens=8_000, max_output_tokens=MOST_TOKENS)
async def verdicts(notes: list[Note], question: Input[str], context: StepContext) -> Verdict:
    """The verdict of each of two models on the same notes."""
    task = f"You judge the evidence on this question: {question} Say yes, no or unclear, how sure you are, and why."
    return await ask(context, task, _written(notes), Verdict)


@step(models=LARGE, max_attempts=4, max_input_tokens=8_000, max_output_tokens=MOST_TOKENS)
async def brief(verdicts: dict[str, Verdict], notes: list[Note], question: Input[str], context: StepContext) -> Brief:
    """What the models agree on, and what they don't."""
    told = "\n".join(f"{model}: {verdict.model_dump_json()}" for model, verdict in verdicts.items())
    task = f"You write a brief on this question: {question} Say what the verdicts agree on, and on what they do not."
    found = await ask(context, task, f"{_written(notes)}\n\nVerdicts:\n{told}", Summary)
    answers = {model: f"{verdict.answer}, {verdict.confidence:.0%} sure" for model, verdict in verdicts.items()}
    return Brief(question=question, answers=answers, summary=found.summary)


def _written(notes: list[Note]) -> str:
    return "\n\n".join("\n".join([note.title, *(f"- {point}" for point in note.points)]) for note in notes)


research_brief = Flow("research_brief", sources, notes, verdicts, brief)

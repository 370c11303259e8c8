"""`baton-lint`: from a command line to an exit status.

Most runs find nothing, in files that do not use baton. Modules that such a run does not need are imported inside
functions. That makes a run on ten thousand files as fast as grep.
"""

from __future__ import annotations

import gc
import os
import sys

from baton_lint.arguments import USAGE, Arguments, UsageError
from baton_lint.printing import counted, put, put_bytes, shown, tell, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from baton_lint.findings import Finding
    from baton_lint.session import Report, Session
    from baton_lint.source.facts import CommentFacts
    from baton_lint.target import Target

CLEAN, FOUND, WRONG = 0, 1, 2


def main(given: list[str] | None = None) -> int:
    """Run `baton-lint`.

    Args:
        given: The command line without the program's name; default: `sys.argv`.

    Returns:
        0 if nothing was found, 1 if something was, 2 for wrong usage or a file that can't be read.

    Example:
        >>> main(["--version"])
        baton-lint 0.1.0
        0
    """
    enabled = gc.isenabled()
    gc.disable()  # the process is short-lived and keeps most objects: garbage collection would take a third of its time
    try:
        status = _run_command(Arguments.of(sys.argv[1:] if given is None else given))
        sys.stdout.flush()
        return status
    except UsageError as error:
        tell("\n".join(map(visible, f"baton-lint: {error}".split("\n"))))
        return WRONG
    except BrokenPipeError:  # the reader of the output has closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed with the process
        return FOUND
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # the output can't be written, or the current folder is gone
        tell(f"baton-lint: {visible(error.strerror or str(error))}")
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed with the process
        return WRONG
    finally:
        if given is None:
            gc.freeze()  # the process ends: without this, Python's last collection would visit all objects
        elif enabled:
            gc.enable()


def _run_command(arguments: Arguments) -> int:
    if arguments.has("--help"):
        put(USAGE.rstrip())
        return CLEAN
    if arguments.has("--version"):
        from baton_dsl.version import __version__

        put(f"baton-lint {__version__}")
        return CLEAN
    match arguments.command:
        case "explain":
            from baton_lint.commands import explain

            return explain(arguments.paths, put)
        case "rules":
            from baton_lint.commands import rules

            return rules(put)
        case "graph":
            return _graph(arguments)
        case "types":
            return _types(arguments)
        case "emit":
            return _emit(arguments)
        case _:
            return _check(arguments)


def _target(arguments: Arguments) -> Target:
    from baton_lint.target import Target

    return Target(arguments)


def _check(arguments: Arguments) -> int:
    target = _target(arguments)
    session = target.session()
    report = _run(arguments, target, session)
    findings = _chosen(target, report)
    if arguments.has("--fix") or arguments.has("--unsafe-fixes") or arguments.has("--diff"):
        from baton_lint.fixes.mending import mend

        mended = mend(arguments, target, findings, report)
        if arguments.has("--diff"):
            if mended.difference:
                put(mended.difference)
            status = FOUND if mended.difference else CLEAN
            return max(_tell_problems(arguments, target, report), status)
        if mended.files:
            report = _run(arguments, target, session)
            findings = _chosen(target, report)
        if target.stdin is not None:
            put_bytes(target.buffers[target.stdin])
    status = _tell_problems(arguments, target, report)
    _output(arguments, target, findings, report)
    return max(status, FOUND if findings else CLEAN)


def _tell_problems(arguments: Arguments, target: Target, report: Report) -> int:
    """Print what could not be checked and, with `--strict`, what was skipped."""
    problems = [*target.all_problems, *report.problems]
    for problem in problems:
        tell(problem)
    if arguments.has("--strict") or target.config.strict:
        for path, reason in sorted(report.left):
            if target.holds(path):
                tell(f"{shown(path)}: left alone: {reason}")
        _tell_unresolved(target, report)
    return WRONG if problems else CLEAN


def _tell_unresolved(target: Target, report: Report) -> None:
    unresolved = [item for item in report.unresolved if target.holds(item[0])]
    if unresolved:
        from baton_lint.formats.placing import spot_of

        for path, line, column, sentence in unresolved:
            spot = spot_of(path, (line, column, line, column), report.cells, target.shown)
            tell(f"{spot}: left alone: {visible(sentence)}")


def _run(arguments: Arguments, target: Target, session: Session) -> Report:
    if arguments.has("--no-cache"):
        return session.run()
    from zlib import crc32

    from baton_dsl.version import __version__
    from baton_lint.search.cache import key_of

    excluded = (target.config.root, target.config.exclude, arguments.exclude)
    settings = (target.root, session.folders, session.extra, session.sources, excluded)
    folder = _cache_folder(arguments, target)
    name = f"{crc32(repr((session.folders, session.extra)).encode()):08x}"
    return session.run(os.path.join(folder, name), key_of(__version__, settings))


def _cache_folder(arguments: Arguments, target: Target) -> str:
    from baton_lint.search.cache import FOLDER

    return arguments.cache_dir or os.path.join(target.root, FOLDER)


def _chosen(target: Target, report: Report) -> list[Finding]:
    """The selected findings that no comment ignores, and the comments that ignore nothing."""
    if not report.catalogue:
        return []
    wanted, unused = _wanted(target, report)
    if unused:
        from baton_lint.reporting import unused_comment
        from baton_lint.suppress import UNUSED, is_rule

        for path, comment, code in unused:
            selection = target.selection(path, report.catalogue)
            exists = is_rule(code, report.catalogue)
            asked = not exists or not code or selection.has(code)
            if asked and selection.wants(UNUSED, path):
                span = next((span for name, span in comment["codes"] if name == code), comment["span"])
                wanted.append(unused_comment(path, span, code, exists=exists))
        wanted.sort(key=lambda item: item[:6])
    return wanted


def _wanted(target: Target, report: Report) -> tuple[list[Finding], list[tuple[str, CommentFacts, str]]]:
    """The selected findings that are not ignored, and for each comment the codes that ignore nothing."""
    catalogue = report.catalogue
    target.selection(os.path.join(target.root, ""), catalogue)  # report a wrong selection even if nothing is found
    wanted = [
        item
        for item in report.findings
        if target.holds(item.path) and target.selection(item.path, catalogue).wants(item.code, item.path)
    ]
    if not report.comments:
        return wanted, []
    from baton_lint.suppress import suppress

    comments = {path: here for path, here in report.comments.items() if target.holds(path)}
    return suppress(wanted, comments, catalogue)


def _output(arguments: Arguments, target: Target, findings: list[Finding], report: Report) -> None:
    _show_all(arguments, target, findings, report)
    seen = f"{counted(report.flows, 'flow')} ({counted(report.steps, 'step')})"
    if not findings:
        _say(arguments, f"nothing found in {seen}" if report.flows else "no flows found")
        return
    fixable = sum(1 for item in findings if item.fix and item.fix[1] and item.path not in report.cells)
    hint = f"; {fixable} fixable with --fix" if fixable else ""
    _say(arguments, f"{counted(len(findings), 'finding')} in {seen}{hint}")


def _show_all(arguments: Arguments, target: Target, findings: list[Finding], report: Report) -> None:
    fixes = arguments.has("--fix") or arguments.has("--unsafe-fixes")
    write = tell if target.stdin is not None and fixes else put  # the standard output is only for the fixed text
    if arguments.has("--statistics"):
        counts: dict[tuple[str, str], int] = {}
        for item in findings:
            counts[item.code, item.slug] = counts.get((item.code, item.slug), 0) + 1
        for (code, slug), count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            write(f"{count:>5}  {code}  {slug}")
        return
    form = arguments.format or "text"
    if not findings and form == "text":
        return
    from baton_lint.formats import renderer
    from baton_lint.formats.placing import Sources, placed

    located = placed(findings, report.cells, target.shown)
    text = renderer(form)(located, Sources(target.buffers))
    if text:
        write(text)


def _graph(arguments: Arguments) -> int:
    target = _target(arguments)
    from baton_lint.commands import graph

    found, report = target.session().flows()
    flows = [flow for flow in found if arguments.flow in (None, flow.name)]
    status = _tell_problems(arguments, target, report)
    if not flows:
        tell("no flows found" if arguments.flow is None else f'no flow called "{visible(arguments.flow)}" found')
    graph(flows, arguments.format or "mermaid", put)
    return status


def _types(arguments: Arguments) -> int:
    target = _target(arguments)
    from baton_lint.proof.proving import types

    project, report = target.session().importable()
    target.selection(target.root, report.catalogue)
    checker = arguments.checker or ""
    cache = None if arguments.has("--no-cache") else _cache_folder(arguments, target)
    report.findings, proof = types(project, checker, arguments.python, cache)
    # unused comments are not reported, because most are for rules that a type checker does not check
    findings, _ = _wanted(target, report)
    report.problems += proof.problems
    status = _tell_problems(arguments, target, report)
    _show_all(arguments, target, findings, report)
    edges = counted(proof.claims, "edge")
    found = counted(len(findings), "finding") if findings else "nothing found"
    _say(arguments, f"{found} in {edges}, asked of {checker}" if report.flows else "no flows found")
    return max(status, FOUND if findings else CLEAN)


def _emit(arguments: Arguments) -> int:
    target = _target(arguments)
    from baton_lint.proof.proving import emit_to

    project, report = target.session().importable()
    status = _tell_problems(arguments, target, report)
    edges = emit_to(project, arguments.output, put)
    _say(arguments, f"{counted(edges, 'edge')} written" if report.flows else "no flows found")
    return status


def _say(arguments: Arguments, text: str) -> None:
    if not arguments.has("--quiet"):
        tell(text)


if __name__ == "__main__":
    sys.exit(main())

"""--mode=report: reports the results of many runs' evaluations."""

from __future__ import annotations

from vie_tf.commands.flags import FLAGS
from vie_tf.output import whole, writable
from vie_tf.report import findings, tables, text
from vie_tf.report.pictures import pictures


def run() -> None:
    """Writes the results of many runs' evaluations: report.md, report.csv and pictures."""
    out = writable(FLAGS.out, "report.md")
    found = findings.gather(FLAGS.workdirs)
    last = findings.latest(found)
    papers, rest = tables.in_the_paper(last)
    plain = tables.others(rest)
    with whole(out) as part:
        part.mkdir()
        drawn = pictures(found, tables.others(last), part)
        said = text.markdown(papers, plain)
        shown = "".join(f"\n![{name}]({name})\n" for name in drawn)
        (part / "report.md").write_text(said + shown, encoding="utf-8")
        (part / "report.csv").write_text(text.comma_separated(papers, plain), encoding="utf-8")
    print(said)
    print(f"report: {', '.join(str(out / name) for name in ('report.md', 'report.csv', *drawn))}")

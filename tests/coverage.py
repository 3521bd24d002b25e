"""Sums what gcov counted, a folder a line: python3 coverage.py SOURCE OBJECTS [--missed FILE]

SOURCE is the root of the source, OBJECTS the folder of the build that ran. A header that is compiled several times counts as
run where one of its compilations was; the branches of a line are joined by their order. --missed writes every line that
was not run and every branch that was not taken as FILE:LINE, for whoever writes the next test.
"""
import collections
import json
import os
import subprocess
import sys


def counts_of(objects):
    """Each file that gcov names, with its lines, once for every compilation."""
    for folder, _, names in os.walk(objects):
        data = [os.path.join(folder, name) for name in names if name.endswith(".gcda")]
        for start in range(0, len(data), 50):
            answer = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout"] + data[start:start + 50],
                                    cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
            for line in answer.stdout.splitlines():
                counted = json.loads(line)
                for file in counted["files"]:
                    yield os.path.normpath(os.path.join(counted["current_working_directory"], file["file"])), file["lines"]


def joined(source, objects):
    """{file: {line: [was run, [was taken, ...]]}} of the files below SOURCE/host."""
    files = collections.defaultdict(dict)
    for path, lines in counts_of(objects):
        name = os.path.relpath(path, source)
        if not name.startswith("host" + os.sep):
            continue
        for line in lines:
            entry = files[name].setdefault(line["line_number"], [False, []])
            entry[0] |= line["count"] > 0
            taken = [branch["count"] > 0 for branch in line["branches"] if not branch["throw"]]
            entry[1].extend([False] * (len(taken) - len(entry[1])))
            for place, one in enumerate(taken):
                entry[1][place] |= one
    return files


def tally(lines):
    branches = [taken for _, all_taken in lines.values() for taken in all_taken]
    return (sum(run for run, _ in lines.values()), len(lines), sum(branches), len(branches))


def show(name, tallies):
    run, lines, taken, branches = (sum(numbers) for numbers in zip(*tallies))
    print("%-28s %6.1f %% of %6d lines   %6.1f %% of %6d branches" %
          (name, 100 * run / max(lines, 1), lines, 100 * taken / max(branches, 1), branches))


def write_missed(path, files):
    with open(path, "w", encoding="utf-8") as out:
        for name in sorted(files):
            for line, (run, taken) in sorted(files[name].items()):
                if not run:
                    out.write("%s:%d: not run\n" % (name, line))
                elif not all(taken):
                    out.write("%s:%d: %d of %d branches taken\n" % (name, line, sum(taken), len(taken)))


def main(arguments):
    files = joined(os.path.abspath(arguments[0]), os.path.abspath(arguments[1]))
    if not files:
        sys.exit("coverage: no counts below " + arguments[1])
    if arguments[2:3] == ["--missed"]:
        write_missed(arguments[3], files)
    tallies = {name: tally(lines) for name, lines in files.items()}
    for folder in sorted({os.path.dirname(name) for name in tallies}):
        show(folder, [t for name, t in tallies.items() if os.path.dirname(name) == folder])
    show("host without cli", [t for name, t in tallies.items() if not name.startswith("host/cli")])
    show("host", tallies.values())


main(sys.argv[1:])

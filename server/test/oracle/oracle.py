"""Compares the reports of the runtime profile with pandas, file by file and column by column.

The files are those that packages of PyPI carry as examples. For each column that both take
for numbers, the smallest and largest value, the mean and the sum are compared to the digits
that the report shows. A file is equal, said (they differ, and the report says in a note what
it did), or silent (they differ and nothing is said): of these there should be none.

    oracle.py ERRAND FOLDER [PART]    the binary, where the packages are, and a part of the names
"""

import decimal
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import warnings

import pandas

LARGEST = 20 << 20  # bytes
SEPARATORS = {"commas": ",", "semicolons": ";", "tabs": "\t", "pipes": "|"}


class Server:
    """One server of its own, which profiles files."""

    def __init__(self, binary):
        self.data = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [binary, "serve", "--data", self.data.name, "--addr", "127.0.0.1:0"], stderr=subprocess.DEVNULL
        )
        address = pathlib.Path(self.data.name, "address")
        while not address.exists():
            if self.process.poll() is not None:
                sys.exit("the server does not start")
            time.sleep(0.05)
        self.url = address.read_text().strip()
        self.key = pathlib.Path(self.data.name, "admin.key").read_text().strip()
        self.call("PUT", "/v1/agents/oracle", json.dumps({"name": "oracle", "runtime": "profile"}).encode())

    def call(self, method, path, body, kind="application/json"):
        request = urllib.request.Request(self.url + path, body, {"x-api-key": self.key, "content-type": kind}, method=method)
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)

    def report(self, name, content):
        file = self.call("POST", "/v1/files?name=" + urllib.parse.quote(name), content, "application/octet-stream")
        task = self.call(
            "POST", "/v1/agents/oracle/invoke?wait=250", json.dumps({"input": {"text": "?", "files": [file["url"]]}}).encode()
        )
        return task.get("result") or task.get("error") or ""

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.data.cleanup()


def plain(cell):
    """The text of a cell of Markdown."""
    cell = re.sub(r"\\([^\w\s])|\\(_)", lambda m: m.group(1) or m.group(2), cell.strip())
    return cell.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def cells(line):
    return [plain(c) for c in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def numbers(report):
    """The table of numbers: by column, a dictionary by figure."""
    found, head = {}, None
    for line in report.partition("# Numbers\n")[2].splitlines():
        if line.startswith("#"):
            break
        if not line.startswith("|"):
            continue
        row = cells(line)
        if head is None:
            head = row
        elif not row[0].startswith("---"):
            found.setdefault(row[0], dict(zip(head, row)))
    return found


def notes(report):
    """What the report says of how it read the file."""
    said = re.findall(r"no header line was found, so columns are named by position", report)
    return said + re.findall(r"^- (?!Sum of|Largest|Missing:|Sums and|Share,|Q1,|A dash)(.*)", report, re.M)


def same(shown, value):
    """Whether a figure is a value, to the digits that are shown."""
    text = re.sub(r"[^0-9eE.+-]", "", shown.replace(",", ""))
    try:
        figure = decimal.Decimal(text)
    except decimal.InvalidOperation:
        return False
    if math.isclose(float(figure), value, rel_tol=1e-9, abs_tol=1e-12):
        return True
    if "e" in text.lower():
        return math.isclose(float(figure), value, rel_tol=1e-5)
    places = -figure.as_tuple().exponent if figure.as_tuple().exponent < 0 else 0
    return abs(float(figure) - value) <= 10.0**-places * 0.51 + abs(value) * 1e-9


def named(column):
    """The name in the report of a column of pandas."""
    unnamed = re.fullmatch(r"Unnamed: (\d+)", str(column))
    return f"column {int(unnamed.group(1)) + 1}" if unnamed else " ".join(str(column).split())


def differences(path, report):
    """What differs, one sentence each."""
    text = re.search(r"separated by (\w+)", report)
    if not text:
        return ["no table"]
    found, differ = numbers(report), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frame = pandas.read_csv(path, sep=SEPARATORS[text.group(1)], encoding_errors="replace", low_memory=False)
        except (ValueError, UnicodeError) as e:
            return [f"pandas: {type(e).__name__}: {str(e)[:80]}"]
    rows = re.search(r"\*\*([\d,]+) rows?\*\*", report)
    if rows and int(rows.group(1).replace(",", "")) != len(frame):
        differ.append(f"{rows.group(1)} rows, pandas {len(frame)}")
    for name in frame.columns:
        series = frame[name]
        if not pandas.api.types.is_numeric_dtype(series) or pandas.api.types.is_bool_dtype(series):
            continue
        series = series.replace([math.inf, -math.inf], math.nan).dropna()
        shown = found.get(named(name))
        if shown is None or len(series) == 0 or len(frame.columns) != len({named(c) for c in frame.columns}):
            continue
        for figure, value in (("Min", series.min()), ("Max", series.max()), ("Mean", series.mean()), ("Sum", series.sum())):
            if shown[figure] != "–" and not same(shown[figure], float(value)):
                differ.append(f"{name}: {figure} {shown[figure]}, pandas {value}")
    missing = [str(n) for n in frame.columns if pandas.api.types.is_float_dtype(frame[n]) and frame[n].notna().any() and named(n) not in found]
    if missing and len(missing) < len(frame.columns):
        differ.append("no numbers here, numbers for pandas: " + ", ".join(missing[:5]))
    return differ


def main():
    binary, folder, part = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""
    files = sorted(
        p for p in pathlib.Path(folder).rglob("*") if p.suffix in (".csv", ".tsv") and part in str(p) and p.stat().st_size <= LARGEST
        and "/tests/" not in str(p) and not p.name.startswith("._")  # what macOS leaves in archives
    )
    server = Server(os.path.abspath(binary))
    counts = {"equal": 0, "said": 0, "silent": 0}
    try:
        for path in files:
            report = server.report(path.name, path.read_bytes())
            differ = differences(path, report)
            kind = "equal" if not differ else "said" if notes(report) else "silent"
            counts[kind] += 1
            if kind != "equal":
                print(f"{kind}: {path.relative_to(folder)}: {'; '.join(differ[:4])}")
                for note in notes(report)[:4] if kind == "said" else ():
                    print(f"    {note[:200]}")
    finally:
        server.close()
    print(f"{len(files)} files: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    sys.exit(counts["silent"] > 0)


if __name__ == "__main__":
    main()

"""Makes the files here with other programs than those that read them: pip install pyarrow==26.0.1 openpyxl==3.1.5 xlsxwriter==3.3.1"""
import datetime as dt
import decimal

import openpyxl
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import xlsxwriter

sales = csv.read_csv("../../../../../examples/data/sales_data.csv")
pq.write_table(sales, "sales.parquet", row_group_size=100, compression="zstd")

D = decimal.Decimal
moment = dt.datetime(2025, 1, 15, 23, 59, 59, 999000)
types = pa.table({
    "small": pa.array([D("12.34"), D("-0.05"), None], pa.decimal128(7, 2)),
    "wide": pa.array([D("12345678901234567890123456789012345678901234567890.123"), D("-1.5"), None], pa.decimal256(60, 3)),
    "day": pa.array([dt.date(2025, 1, 15), dt.date(1969, 12, 31), None]),
    "clock": pa.array([dt.time(23, 59, 59, 999000), dt.time(1), None], pa.time32("ms")),
    "milli": pa.array([moment, moment, None], pa.timestamp("ms")),
    "micro": pa.array([moment, moment, None], pa.timestamp("us", tz="UTC")),
    "nano": pa.array([moment, moment, None], pa.timestamp("ns")),
    "unsigned": pa.array([2**64 - 1, 0, None], pa.uint64()),
    "byte": pa.array([200, 0, None], pa.uint8()),
    "big": pa.array([2**53 + 1, -1, None], pa.int64()),
    "half": pa.array([0.5, -1.5, None], pa.float16()),
    "single": pa.array([0.1, 1e-9, None], pa.float32()),
    "double": pa.array([0.1, float("nan"), None]),
    "yes": pa.array([True, False, None]),
    "text": pa.array(["00123", "a,\"b\"", None]),
    "choice": pa.array(["x", "y", None]).dictionary_encode(),
    "raw": pa.array([b"\xff\x00", b"\xfe", None]),
    "list": pa.array([[1, 2], [], None], pa.list_(pa.int64())),
    "record": pa.array([{"a": 1}, {"a": 2}, None]),
})
pq.write_table(types, "types.parquet", data_page_version="2.0", compression="snappy")
pq.write_table(pa.table({"old": pa.array([moment, None], pa.timestamp("ns"))}), "int96.parquet", use_deprecated_int96_timestamps=True, compression="gzip")

book = openpyxl.Workbook()
book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
sheet = book.active
for row in [("when", "at", "took", "share", "sum"), (dt.datetime(2025, 1, 15, 18), dt.time(6, 30), dt.timedelta(hours=36), 0.125, "=1+1"),
            (dt.datetime(2025, 1, 16), dt.time(7), dt.timedelta(minutes=90), 0.1 + 0.2, "=2+2")]:
    sheet.append(row)
sheet["D2"].number_format = "0%"
sheet.merge_cells("A4:B4")
book.create_sheet("Notes").sheet_state = "hidden"
book.save("formulas.xlsx")

with xlsxwriter.Workbook("uncomputed.xlsx") as other:
    sheet = other.add_worksheet()
    sheet.write_row(0, 0, ["n", "double"])
    for i in range(1, 4):
        sheet.write_number(i, 0, i)
        sheet.write_formula(i, 1, f"=A{i + 1}*2")

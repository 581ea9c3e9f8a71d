"""The payload log: what models were asked and what they answered, as Parquet files in the artifact store.

The server process keeps batches in memory for some milliseconds, then a thread appends them to a segment file in the
spool folder. A second process, the writer, turns closed segments into Parquet files and uploads them. So a request pays
for an append to a list, neither process loses what is in the spool when it is killed, and there is one way from a
segment to the store, be the segment a minute old or left over by a predecessor.

What can be lost: a killed server loses what came in the last `GATHER_SECONDS` and a little; a killed writer loses
nothing; a machine without power loses what its kernel hadn't written to disk yet.

The server imports this package and gets NumPy and orjson with it, nothing heavier. Reading what was recorded:
`records`; labels that come later: `feedback`, and what has one: `labelled`.
"""

from modelyard.serving.payloads.batches import Columns, Matrix, PayloadBatch
from modelyard.serving.payloads.log import PayloadLog
from modelyard.serving.payloads.settings import PayloadSettings, StoreAddress
from modelyard.serving.payloads.stats import PayloadStats

__all__ = ["Columns", "Matrix", "PayloadBatch", "PayloadLog", "PayloadSettings", "PayloadStats", "StoreAddress"]

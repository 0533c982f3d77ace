# SPDX-License-Identifier: Apache-2.0
"""What the seeds of this field do with Spark, tuned: `spark_job.py FOLDER DATABASE_URL FILES_PER_BATCH`.

Two queries of Structured Streaming over the same files of JSON trades: one parses them and keeps the raw rows, by COPY;
one aggregates windows of 15 seconds and keeps those, by COPY and an upsert. Two shuffle partitions, large batches, lines
of COPY made by the JVM rather than row by row in Python. Prints the seconds from the start of both to the end of both.
"""
import sys
import time

import psycopg
from pyspark.sql import SparkSession
from pyspark.sql import functions as f

folder, database, files = sys.argv[1], sys.argv[2], int(sys.argv[3])

spark = (SparkSession.builder.master("local[2]").appName("trades")
         .config("spark.sql.shuffle.partitions", "2").config("spark.ui.enabled", "false")
         .config("spark.driver.memory", "2g").config("spark.sql.session.timeZone", "UTC")
         .config("spark.sql.streaming.metricsEnabled", "false").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")


def trades():
    lines = spark.readStream.option("maxFilesPerTrigger", files).text(folder)
    parsed = f.from_json("value", "ts_us LONG, symbol STRING, price DOUBLE, size DOUBLE, trade_id LONG")
    return lines.select(parsed.alias("trade")).select("trade.*").withColumn("ts", f.timestamp_micros("ts_us"))


def copy_lines(statement):
    def copy(rows):
        with psycopg.connect(database) as connection, connection.cursor() as cursor, cursor.copy(statement) as target:
            block = []
            for row in rows:
                block.append(row[0])
                if len(block) == 5000:
                    target.write("\n".join(block) + "\n")
                    block = []
            if block:
                target.write("\n".join(block) + "\n")
    return copy


def keep_raw(batch, _):
    line = f.concat_ws("\t", "symbol", f.date_format("ts", "yyyy-MM-dd HH:mm:ss.SSSSSSXXX"), "price", "size", "trade_id")
    batch.select(line).foreachPartition(copy_lines("COPY spark_trades (symbol, ts, price, size, trade_id) FROM STDIN"))


def keep_windows(batch, _):
    line = f.concat_ws("\t", "symbol", f.date_format("window.start", "yyyy-MM-dd HH:mm:ssXXX"), "price_volume_multiply")
    rows = [row[0] for row in batch.select(line).collect()]
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE changed (LIKE spark_stats) ON COMMIT DROP")
        with cursor.copy("COPY changed (symbol, ts, price_volume_multiply) FROM STDIN") as target:
            target.write("\n".join(rows) + "\n" if rows else "")
        cursor.execute("""INSERT INTO spark_stats SELECT * FROM changed ON CONFLICT (symbol, ts) DO UPDATE
            SET price_volume_multiply = excluded.price_volume_multiply""")


windows = (trades().withWatermark("ts", "1 minute").groupBy("symbol", f.window("ts", "15 seconds"))
           .agg(f.avg(f.col("price") * f.col("size")).alias("price_volume_multiply")))
start = time.monotonic()
queries = [
    trades().writeStream.foreachBatch(keep_raw).trigger(availableNow=True).start(),
    windows.writeStream.outputMode("update").foreachBatch(keep_windows).trigger(availableNow=True).start()]
for query in queries:
    query.awaitTermination()
print(f"seconds {time.monotonic() - start:.3f}")
spark.stop()

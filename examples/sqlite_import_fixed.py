"""The images in a table of SQLite, as the JPEG, PNG or WebP files that they are.

A file knows its size, and is about a tenth of its pixels. Nothing is decoded. Chunk and name make a second run replace
what the first one stored.

python sqlite_import_fixed.py JOB DATABASE
"""

import io
import sqlite3
import sys

from PIL import Image

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]
DATABASE = sys.argv[2]  # such as images.db

connection = sqlite3.connect(DATABASE)
with connection:  # one transaction: all of them or none
    connection.execute(
        "CREATE TABLE IF NOT EXISTS images (chunk TEXT, name TEXT, label TEXT, file BLOB, PRIMARY KEY (chunk, name))"
    )
    connection.executemany(
        "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?)",
        ((one.chunk_id, one.member, one.label, one.data) for one in load_dataset(JOB_ID).iter_encoded()),
    )

print(connection.execute("SELECT count(*) FROM images").fetchone()[0], "images stored")
label, file = connection.execute("SELECT label, file FROM images LIMIT 1").fetchone()
image = Image.open(io.BytesIO(file))
print(f"the first is a {label}: {image.format}, {image.width} x {image.height} pixels")
connection.close()

"""The images in a table of SQLite.

This is how it is commonly written. The pixels alone do not tell the image's height and width: it cannot be shown again.
See sqlite_import_fixed.py.

python sqlite_import.py JOB DATABASE
"""

import sqlite3
import sys

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]
DATABASE = sys.argv[2]  # such as images.db

connection = sqlite3.connect(DATABASE)
connection.execute("CREATE TABLE IF NOT EXISTS images (id INTEGER PRIMARY KEY, label TEXT, image BLOB)")

for image, label in load_dataset(JOB_ID):
    connection.execute("INSERT INTO images (label, image) VALUES (?, ?)", (label, image.tobytes()))

connection.commit()
print(connection.execute("SELECT count(*) FROM images").fetchone()[0], "images stored")
connection.close()

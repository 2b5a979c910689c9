"""The images in a table of PostgreSQL.

Height and width stand beside the pixels, so that they can be an image again. COPY is several times as fast as INSERT.

python postgresql_import.py JOB DATABASE
"""

import sys

import numpy as np
import psycopg

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]
DATABASE = sys.argv[2]  # such as postgresql://user:password@localhost/images

with psycopg.connect(DATABASE) as connection, connection.cursor() as cursor:
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS images"
        " (id BIGSERIAL PRIMARY KEY, label TEXT, height INTEGER, width INTEGER, pixels BYTEA)"
    )
    with cursor.copy("COPY images (label, height, width, pixels) FROM STDIN") as copy:
        for image, label in load_dataset(JOB_ID):
            height, width, _ = image.shape
            copy.write_row((label, height, width, image.tobytes()))

    cursor.execute("SELECT label, height, width, pixels FROM images ORDER BY id LIMIT 1")
    label, height, width, pixels = cursor.fetchone() or (None, 0, 0, b"")
    image = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
    cursor.execute("SELECT count(*) FROM images")
    print(*cursor.fetchone() or (), f"images stored; the first is a {label}, {image.shape}")

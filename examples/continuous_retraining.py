"""Train a model on each finished job of a project that has not been trained on yet, newest first.

Started again and again, for instance by cron every hour, it finds what is new. Which jobs are done is told by a file of
your own.

python continuous_retraining.py PROJECT FOLDER
"""

import sys
from pathlib import Path

import joblib
from sklearn.ensemble import RandomForestClassifier

from pixcrawler import Job, PixCrawlerClient, load_dataset

PROJECT_ID = sys.argv[1]
FOLDER = Path(sys.argv[2])  # where models go
DONE = FOLDER / "done.txt"


def next_job() -> Job | None:
    done = DONE.read_text().split() if DONE.exists() else []
    with PixCrawlerClient() as client:
        jobs = client.list_jobs(project_id=PROJECT_ID, status="completed")
    return next((job for job in jobs if job.id not in done), None)


def train(job: Job) -> None:
    with load_dataset(job.id, image_size=32) as dataset:
        X, y = dataset.to_arrays()
    model = RandomForestClassifier(n_estimators=50, random_state=42)
    model.fit(X.reshape(len(X), -1), y)
    joblib.dump(model, FOLDER / f"{job.id}.joblib")
    print(f"{job.id} ({job.name}): trained on {len(X)} images of {len(model.classes_)} classes")


def mark_as_done(job: Job) -> None:
    with DONE.open("a") as file:
        file.write(f"{job.id}\n")


FOLDER.mkdir(parents=True, exist_ok=True)
while (job := next_job()) is not None:
    train(job)
    mark_as_done(job)
print("nothing new to train on")

"""A random forest over pixels.

python sklearn_forest.py JOB
"""

import sys

from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

X, y = load_dataset(JOB_ID, image_size=32).to_arrays()
X = X.reshape(len(X), -1)  # a row an image

X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42, stratify=y)
model = RandomForestClassifier(n_estimators=100, random_state=42)
model.fit(X_train, y_train)

print(f"trained on {len(X_train)} images, tested on {len(X_test)}")
print(f"accuracy: {accuracy_score(y_test, model.predict(X_test)):.3f}")

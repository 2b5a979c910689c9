"""The best parameters of a random forest, by cross-validation.

python sklearn_grid_search.py JOB
"""

import sys

from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

X, y = load_dataset(JOB_ID, image_size=32).to_arrays()
X = X.reshape(len(X), -1)

search = GridSearchCV(
    RandomForestClassifier(random_state=42),
    {"n_estimators": [20, 50], "max_depth": [5, None]},
    cv=3,
    n_jobs=-1,
)
search.fit(X, y)

print(f"best parameters: {search.best_params_}")
print(f"accuracy: {search.best_score_:.3f}")

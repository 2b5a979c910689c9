-- The store's catalogue, version 1 (PRAGMA user_version). A change of this file is a new version.

CREATE TABLE projects (
    id TEXT PRIMARY KEY CHECK (id <> '')
);

CREATE TABLE jobs (
    -- The order of creation: "newest first" must not depend on the clock.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    project_id TEXT REFERENCES projects (id),
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    progress REAL NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    created_at TEXT NOT NULL,  -- ISO 8601 with zone
    updated_at TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    chunk_size INTEGER NOT NULL CHECK (chunk_size > 0),
    num_images INTEGER NOT NULL DEFAULT 0,
    num_chunks INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    image_height INTEGER,  -- both set when all images share one size
    image_width INTEGER
);

CREATE INDEX jobs_by_project ON jobs (project_id, number);

CREATE TABLE chunks (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    size_bytes INTEGER NOT NULL,
    num_images INTEGER NOT NULL,
    PRIMARY KEY (job_id, position)
) WITHOUT ROWID;

CREATE INDEX chunks_by_content ON chunks (sha256);

CREATE TABLE labels (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    num_images INTEGER NOT NULL,
    PRIMARY KEY (job_id, name)
) WITHOUT ROWID;

CREATE TABLE tags (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (job_id, name)
) WITHOUT ROWID;

CREATE INDEX tags_by_name ON tags (name, job_id);

CREATE TABLE keys (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),  -- SHA-256 of the key; the key itself is nowhere
    name TEXT NOT NULL,
    created_at TEXT NOT NULL
) WITHOUT ROWID;

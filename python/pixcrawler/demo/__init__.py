"""The main job, shown: photographs into a store, over HTTP, into batches. PROVENANCE.md says where they are from."""

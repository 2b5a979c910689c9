"""A whole job onto the disk: as arrays, as an image folder, or as its chunks."""

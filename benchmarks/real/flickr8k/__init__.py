"""Image-text retrieval on photographs with captions (Flickr8k), with and without knowledge."""

"""Knowledge: collections of a workspace's own documents, cut into passages that pipelines search."""

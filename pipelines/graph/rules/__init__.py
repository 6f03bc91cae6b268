"""The rules a document must keep to be published, one module per subject."""

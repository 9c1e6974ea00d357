"""The models, a file each, and what a model declares (`mfm.models.model`)."""
